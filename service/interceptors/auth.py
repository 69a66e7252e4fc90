"""Who calls: the API key in `authorization: Bearer KEY`, where keys are configured."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from service.calls import current
from service.errors import NotWithoutKey
from service.interceptors.wrapping import AroundInterceptor
from service.keys import Caller, KeyRing

_HEALTH = "/grpc.health.v1.Health/"
_SCHEME = "bearer "


class Authentication(AroundInterceptor):
    """Lets only known keys in; health checks need none."""

    def __init__(self, keys: KeyRing | None) -> None:
        super().__init__()
        self._keys = keys

    @asynccontextmanager
    async def around(self, method: str, context: Any) -> AsyncIterator[None]:
        """Names the caller in the call, and what it may do."""
        if self._keys is not None and not method.startswith(_HEALTH):
            caller, call = self._identify(self._keys, context.invocation_metadata()), current()
            call.principal, call.grants = caller.name, caller.grants
        yield

    def _identify(self, keys: KeyRing, metadata: Any) -> Caller:
        given = [value for key, value in metadata or () if key == "authorization"]
        if len(given) != 1 or not isinstance(given[0], str):
            raise NotWithoutKey("there is no API key" if not given else "there is more than one API key")
        header = given[0]
        if header[: len(_SCHEME)].lower() != _SCHEME:
            raise NotWithoutKey("the authorization is not of the Bearer kind")
        caller = keys.caller(header[len(_SCHEME) :].strip())
        if caller is None:
            raise NotWithoutKey("the API key is not known")
        return caller
