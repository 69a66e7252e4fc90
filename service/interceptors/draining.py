"""What becomes of the calls in flight when the server ends: watches end at once, the others when their time is over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from service.errors import ShuttingDown
from service.interceptors.wrapping import AroundInterceptor

# Calls that would never end by themselves.
_WATCHES = ("/interleaf.v1.Monitor/WatchInjections", "/grpc.health.v1.Health/Watch")
_LAST_WORDS = 0.1  # seconds in which a watch of health still hears that the server ends


class Draining(AroundInterceptor):
    """Ends calls with ShuttingDown: whoever made them is told why, which gRPC's own end of calls does not do."""

    def __init__(self) -> None:
        super().__init__()
        self._calls: dict[asyncio.Timeout, bool] = {}  # whether it is a watch
        self._ends: dict[bool, float] = {}  # of watches and others, by the loop's clock; none while it serves

    def begin(self, grace_seconds: float) -> None:
        """The server ends, and calls may go on for so long; called once more, for less."""
        now = asyncio.get_running_loop().time()
        for is_watch, seconds in ((True, min(_LAST_WORDS, grace_seconds)), (False, grace_seconds)):
            self._ends[is_watch] = min(self._ends.get(is_watch, now + seconds), now + seconds)
        for scope, is_watch in self._calls.items():
            if not scope.expired():
                scope.reschedule(self._ends[is_watch])

    @asynccontextmanager
    async def around(self, method: str, context: Any) -> AsyncIterator[None]:
        """Stops the call when its time is up."""
        is_watch = method in _WATCHES
        scope = asyncio.timeout_at(self._ends.get(is_watch))
        try:
            async with scope:
                self._calls[scope] = is_watch
                yield
        except TimeoutError:
            if scope.expired():
                raise ShuttingDown from None
            raise
        finally:
            self._calls.pop(scope, None)
