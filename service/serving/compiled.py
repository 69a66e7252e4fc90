"""Facts compiled to key/value tokens: kept by the most recent use, within a bound of memory."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from editors.kv.contract import FactEncoder, FactText
from engines.contract import KVTokens
from kb_store.model import Fact

Version = tuple[str, int]  # uid and revision


def version_of(fact: Fact) -> Version:
    """What is compiled once."""
    return fact.uid, fact.revision


def version_key(fact: Fact) -> str:
    """Names a fact's revision in the engine: attention comes back under this key."""
    return f"{fact.uid}@{fact.revision}"


def size_of(tokens: KVTokens) -> int:
    """Bytes of a fact's tokens."""
    return sum(tensor.numel() * tensor.element_size() for tensor in (tokens.keys, tokens.values))


@dataclass(frozen=True, slots=True)
class CacheFigures:
    """Of a cache of tokens, since the start."""

    facts: int = 0
    used_bytes: int = 0
    capacity_bytes: int = 0
    hits: int = 0
    misses: int = 0


class CompiledFacts:
    """Tokens by (uid, revision) for one encoder. May be called from any thread.

    A revision never changes, so nothing here can be out of date. What is deleted is forgotten when somebody has
    looked through its namespace (the compile worker), or falls out unused.
    """

    def __init__(self, encoder: FactEncoder, capacity_bytes: int, batch: int) -> None:
        self.encoder = encoder
        self._capacity, self._batch = capacity_bytes, batch
        self._kept: OrderedDict[Version, tuple[str, KVTokens]] = OrderedDict()  # with the namespace
        self._bytes = 0
        self._hits = self._misses = 0
        self._lock = threading.Lock()

    @property
    def figures(self) -> CacheFigures:
        """How full it is, and how well it serves."""
        with self._lock:
            return CacheFigures(len(self._kept), self._bytes, self._capacity, self._hits, self._misses)

    def ready(self, fact: Fact) -> bool:
        """Whether this revision's tokens are at hand."""
        with self._lock:
            return version_of(fact) in self._kept

    def full(self) -> bool:
        """Whether further facts would push others out soon."""
        with self._lock:
            return self._bytes >= 0.9 * self._capacity

    def tokens(self, facts: Sequence[Fact], *, ahead: bool = False) -> list[KVTokens]:
        """The tokens of each fact, compiling those that are missing. Blocks while it does.

        `ahead`: no question waits for them, so that it says nothing of how well the cache serves.
        """
        found = self._look_up(facts)
        if not ahead:
            with self._lock:
                self._hits += len(found)
                self._misses += len(facts) - len(found)
        missing = [fact for fact in facts if version_of(fact) not in found]
        for start in range(0, len(missing), self._batch):
            chunk = missing[start : start + self._batch]
            for fact, tokens in zip(
                chunk, self.encoder.compile([_text(fact) for fact in chunk]), strict=True
            ):
                found[version_of(fact)] = tokens
                self._keep(fact, tokens)
        return [found[version_of(fact)] for fact in facts]

    def namespaces(self) -> set[str]:
        """Whose facts are kept."""
        with self._lock:
            return {of for of, _ in self._kept.values()}

    def forget_others(self, namespace: str, live: Collection[Version]) -> None:
        """Drops what is kept of a namespace and not among these versions: nobody will ask for it again."""
        with self._lock:
            dead = [
                version for version, (of, _) in self._kept.items() if of == namespace and version not in live
            ]
            for version in dead:
                self._bytes -= size_of(self._kept.pop(version)[1])

    def _look_up(self, facts: Sequence[Fact]) -> dict[Version, KVTokens]:
        found: dict[Version, KVTokens] = {}
        with self._lock:
            for fact in facts:
                version = version_of(fact)
                if version in self._kept:
                    self._kept.move_to_end(version)
                    found[version] = self._kept[version][1]
        return found

    def _keep(self, fact: Fact, tokens: KVTokens) -> None:
        with self._lock:
            if version_of(fact) in self._kept:
                return
            self._kept[version_of(fact)] = (fact.namespace, tokens)
            self._bytes += size_of(tokens)
            while self._bytes > self._capacity and len(self._kept) > 1:
                _, (_, oldest) = self._kept.popitem(last=False)
                self._bytes -= size_of(oldest)


def _text(fact: Fact) -> FactText:
    content = fact.content
    return FactText(version_key(fact), content.subject, content.relation, content.object)
