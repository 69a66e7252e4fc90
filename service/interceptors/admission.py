"""How many calls of a kind are let in at once. One more is refused at once and told when to come back: a queue that
only grows helps nobody. Whose turn it is among them is decided behind, where the namespace is known (`turns`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from service.calls import GENERATE, KINDS, READ, TRANSFER, WRITE
from service.config import AdmissionSettings
from service.errors import TooBusy
from service.interceptors.wrapping import AroundInterceptor
from service.turns import Turns


@dataclass(frozen=True, slots=True)
class Load:
    """Of a kind: calls in progress, the most that may be, and those that were one too many since the start."""

    kind: str
    running: int
    limit: int
    refused: int


class Admission(AroundInterceptor):
    """Counts calls by kind; health and reflection are always admitted. `batch`: answers that are made together."""

    def __init__(self, settings: AdmissionSettings, batch: int) -> None:
        super().__init__()
        self._settings = settings
        self.turns: Mapping[str, Turns] = {
            kind: self._turns(kind, running)
            for kind, running in (
                (READ, settings.read_running),
                (WRITE, settings.write_running),
                (GENERATE, settings.generate_running or batch + (batch + 1) // 2),
                (TRANSFER, settings.transfer),
            )
        }
        self._running: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()

    @property
    def load(self) -> tuple[Load, ...]:
        """How full each kind is."""
        return tuple(
            Load(kind, self._running[kind], getattr(self._settings, kind), self._refusals(kind))
            for kind in sorted(set(KINDS.values()))
        )

    def _refusals(self, kind: str) -> int:
        return self._refused[kind] + (self.turns[kind].refused if kind in self.turns else 0)

    def _turns(self, kind: str, running: int) -> Turns:
        settings = self._settings
        places: int = min(running, getattr(settings, kind))
        return Turns(
            kind,
            places,
            getattr(settings, kind) - places,
            wait_seconds=settings.wait_seconds,
            retry_seconds=settings.retry_seconds,
        )

    @asynccontextmanager
    async def around(self, method: str, context: Any) -> AsyncIterator[None]:
        """Lets the call in, or refuses it with TooBusy."""
        kind = KINDS.get(method)
        if kind is None:
            yield
            return
        limit: int = getattr(self._settings, kind)
        if self._running[kind] >= limit:
            self._refused[kind] += 1
            raise TooBusy(f"calls are in progress (admission.{kind})", limit, self._settings.retry_seconds)
        self._running[kind] += 1
        try:
            yield
        finally:
            self._running[kind] -= 1
