"""How many live facts a namespace may have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class FactQuotas:
    """`everywhere`: of namespaces that are not named; None: as many as there is room for."""

    everywhere: int | None = None
    named: Mapping[str, int] = field(default_factory=dict)

    def of(self, namespace: str) -> int | None:
        """The most that this one may have."""
        return self.named.get(namespace, self.everywhere)


UNLIMITED = FactQuotas()
