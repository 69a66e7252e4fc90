"""Who calls, where callers must be known: a key, a token, or the connection's certificate."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from service.access.callers import Callers
from service.calls import current
from service.interceptors.wrapping import AroundInterceptor

_HEALTH = "/grpc.health.v1.Health/"


class Authentication(AroundInterceptor):
    """Lets only known callers in; health checks need no name."""

    def __init__(self, callers: Callers | None) -> None:
        super().__init__()
        self._callers = callers

    @asynccontextmanager
    async def around(self, method: str, context: Any) -> AsyncIterator[None]:
        """Names the caller in the call, and what it may do."""
        if self._callers is not None and not method.startswith(_HEALTH):
            transport = {} if self._callers.certificates is None else context.auth_context()
            caller, call = self._callers.identify(context.invocation_metadata(), transport), current()
            call.principal, call.grants = caller.name, caller.grants
        yield
