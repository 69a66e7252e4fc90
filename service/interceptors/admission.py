"""How many calls of a kind run at once. One more is refused at once and told when to come back: a queue that
only grows helps nobody."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from service.calls import KINDS
from service.config import AdmissionSettings
from service.errors import TooBusy
from service.interceptors.wrapping import AroundInterceptor


class Admission(AroundInterceptor):
    """Counts calls by kind; health and reflection are always admitted."""

    def __init__(self, settings: AdmissionSettings) -> None:
        super().__init__()
        self._settings = settings
        self._running: Counter[str] = Counter()

    @asynccontextmanager
    async def around(self, method: str, context: Any) -> AsyncIterator[None]:
        """Lets the call in, or refuses it with TooBusy."""
        kind = KINDS.get(method)
        if kind is None:
            yield
            return
        limit: int = getattr(self._settings, kind)
        if self._running[kind] >= limit:
            raise TooBusy(f"calls are in progress (admission.{kind})", limit, self._settings.retry_seconds)
        self._running[kind] += 1
        try:
            yield
        finally:
            self._running[kind] -= 1
