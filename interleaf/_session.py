"""What the calls of a client share: its namespace, and what it wrote."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from interleaf._types import Fact

FactRef = str | Fact
"""A fact: its id in the client's namespace, its full name, or the `Fact` itself."""


class Revisions:
    """The highest revision that was written to each namespace. Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._highest: dict[str, int] = {}

    def wrote(self, namespace: str, revision: int) -> None:
        """Notes a write."""
        with self._lock:
            self._highest[namespace] = max(revision, self._highest.get(namespace, 0))

    def highest(self, namespace: str) -> int:
        """The revision that reads must see (0: any)."""
        with self._lock:
            return self._highest.get(namespace, 0)

    def forget(self, namespace: str) -> None:
        """A namespace that is deleted starts at 0 when it is made again."""
        with self._lock:
            self._highest.pop(namespace, None)


@dataclass(frozen=True, slots=True)
class Session:
    """The client's namespace, and the memory that makes it read its own writes."""

    namespace: str
    read_your_writes: bool = True
    revisions: Revisions = field(default_factory=Revisions)

    @property
    def parent(self) -> str:
        """The namespace's resource name."""
        return namespace_name(self.namespace)

    def fact_name(self, fact: FactRef) -> str:
        """The resource name of a fact."""
        if isinstance(fact, Fact):
            return fact.name
        if not isinstance(fact, str):
            raise ValueError(f"give a fact's id, its full name, or the Fact itself; got {fact!r}")
        return fact if "/" in fact else f"{self.parent}/facts/{fact}"

    def wrote(self, name: str, revision: int) -> None:
        """Notes that the namespace of this resource is at least at `revision`."""
        self.revisions.wrote(namespace_of(name), revision)

    def min_revision(self, name: str | None = None) -> int:
        """What reads of the namespace of this resource must have seen."""
        if not self.read_your_writes:
            return 0
        return self.revisions.highest(namespace_of(name or self.parent))


def namespace_name(namespace: str) -> str:
    """namespaces/{namespace}, given either form."""
    return namespace if namespace.startswith("namespaces/") else f"namespaces/{namespace}"


def namespace_of(name: str) -> str:
    """The namespace part of a resource name."""
    parts = name.split("/")
    return parts[1] if len(parts) > 1 and parts[0] == "namespaces" else name
