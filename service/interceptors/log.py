"""The outermost layer: every call gets an id, and a line in the log. Ids, codes and times; never texts."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import structlog

from service.calls import KINDS, Call, current, enter
from service.interceptors.wrapping import AroundInterceptor

_QUIET = frozenset({grpc.StatusCode.OK, grpc.StatusCode.CANCELLED})
_log = structlog.get_logger("interleaf.calls")


class CallLog(AroundInterceptor):
    """Names calls and logs how they ended; calls that went well only at level debug."""

    @asynccontextmanager
    async def around(self, method: str, context: Any) -> AsyncIterator[None]:
        """One line a call."""
        if method not in KINDS:  # health and reflection
            enter(Call(method, _new_id()))
            yield
            return
        call = Call(method, _new_id())
        enter(call)
        structlog.contextvars.clear_contextvars()
        began = time.perf_counter()
        code = grpc.StatusCode.OK
        try:
            yield
        except grpc.aio.AbortError:
            code = status_code(context)
            raise
        except asyncio.CancelledError:
            code = grpc.StatusCode.CANCELLED
            raise
        finally:
            log = _log.debug if code in _QUIET else _log.info
            log(
                "call",
                method=method,
                code=code.name,
                server_request_id=call.server_id,
                principal=current().principal,
                ms=round(1000 * (time.perf_counter() - began), 2),
            )


def _new_id() -> str:
    """Names a call in the log; nobody gains by guessing it, so it needs no system call for its chance."""
    return f"{random.getrandbits(80):020x}"


def status_code(context: Any) -> grpc.StatusCode:
    """How an aborted call ended."""
    code = context.code()
    if isinstance(code, grpc.StatusCode):
        return code
    return next((known for known in grpc.StatusCode if known.value[0] == code), grpc.StatusCode.UNKNOWN)
