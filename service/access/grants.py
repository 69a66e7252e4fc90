"""What a caller may do: scopes, each in one namespace or in all.

A grant is written `SCOPE[,SCOPE...]@NAMESPACE`, with `*` for all namespaces: `read,write@films`, `ops@*`. No scope
contains another: who may write and not read sees what it wrote, and nothing else.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable
from dataclasses import dataclass

EVERYWHERE = "*"
_GRANT = re.compile(r"(?P<scopes>[a-z]+(?:,[a-z]+)*)@(?P<namespace>\*|[a-z0-9][a-z0-9-]{0,62})")


class Scope(enum.StrEnum):
    """read: facts and answers. write: facts. edit: the model's weights. ops: how the service works inside, from
    injections to attention, which can show facts. admin: namespaces themselves."""

    READ = "read"
    WRITE = "write"
    EDIT = "edit"
    OPS = "ops"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Grants:
    """Pairs of scope and namespace (or `*`)."""

    pairs: frozenset[tuple[Scope, str]]

    @classmethod
    def parse(cls, texts: Iterable[str]) -> Grants:
        """ValueError with a sentence when one is not a grant."""
        pairs: set[tuple[Scope, str]] = set()
        for text in texts:
            found = _GRANT.fullmatch(text)
            unknown = [] if found is None else sorted(set(found["scopes"].split(",")) - set(Scope))
            if found is None or unknown:
                problem = (
                    f"there is no scope {unknown[0]!r}" if unknown else "that is not SCOPE,...@NAMESPACE"
                )
                raise ValueError(f"{text!r}: {problem}; scopes are {', '.join(Scope)}")
            pairs |= {(Scope(scope), found["namespace"]) for scope in found["scopes"].split(",")}
        return cls(frozenset(pairs))

    def allows(self, scope: Scope, namespace: str) -> bool:
        """Whether the scope is granted there; `*` asks for all namespaces."""
        return (scope, EVERYWHERE) in self.pairs or (scope, namespace) in self.pairs
