"""No call takes longer than its client or the server allows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from service.calls import KINDS, current
from service.config import DeadlineSettings
from service.errors import DeadlinePassed
from service.interceptors.wrapping import AroundInterceptor


class Deadlines(AroundInterceptor):
    """Sets the call's deadline: the client's, or the server's where that is sooner."""

    def __init__(self, settings: DeadlineSettings) -> None:
        super().__init__()
        self._settings = settings

    @asynccontextmanager
    async def around(self, method: str, context: Any) -> AsyncIterator[None]:
        """Stops the call when its time is up."""
        kind = KINDS.get(method)
        if kind is None:
            yield
            return
        allowed: float = getattr(self._settings, kind)
        asked = context.time_remaining()
        seconds = allowed if asked is None else max(0.0, min(allowed, asked))
        current().deadline = time.monotonic() + seconds
        try:
            async with asyncio.timeout(seconds) as scope:
                yield
        except TimeoutError:
            if scope.expired():
                raise DeadlinePassed(kind, seconds, seconds < allowed) from None
            raise
