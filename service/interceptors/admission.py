"""How many calls of a kind run at once. One more is refused at once and told when to come back: a queue that
only grows helps nobody."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from service.calls import KINDS
from service.config import AdmissionSettings
from service.errors import TooBusy
from service.interceptors.wrapping import AroundInterceptor


@dataclass(frozen=True, slots=True)
class Load:
    """Of a kind: calls in progress, the most that may be, and those that were one too many since the start."""

    kind: str
    running: int
    limit: int
    refused: int


class Admission(AroundInterceptor):
    """Counts calls by kind; health and reflection are always admitted."""

    def __init__(self, settings: AdmissionSettings) -> None:
        super().__init__()
        self._settings = settings
        self._running: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()

    @property
    def load(self) -> tuple[Load, ...]:
        """How full each kind is."""
        return tuple(
            Load(kind, self._running[kind], getattr(self._settings, kind), self._refused[kind])
            for kind in sorted(set(KINDS.values()))
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
