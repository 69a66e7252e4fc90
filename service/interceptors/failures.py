"""Every exception becomes a status by the one table; what nobody foresaw is logged and hidden."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import structlog

from service.calls import current
from service.errors import row_of, to_status
from service.interceptors.wrapping import AroundInterceptor

_STATUS_DETAILS = "grpc-status-details-bin"
_log = structlog.get_logger("interleaf.failures")


class Failures(AroundInterceptor):
    """Maps exceptions to canonical codes with ErrorInfo."""

    @asynccontextmanager
    async def around(self, method: str, context: Any) -> AsyncIterator[None]:
        """Aborts the call with the error's status."""
        try:
            yield
        except grpc.aio.AbortError:
            raise
        except Exception as error:
            await _abort(context, error)


async def _abort(context: Any, error: Exception) -> None:
    row, call = row_of(error), current()
    if row.hidden:
        _log.error("call failed", method=call.method, server_request_id=call.server_id, exc_info=error)
    status = to_status(error, call.server_id)
    structlog.contextvars.bind_contextvars(reason=getattr(error, "reason", type(error).__name__))
    call.reason = "INTERNAL" if row.hidden else str(getattr(error, "reason", "INTERNAL"))
    await context.abort(row.code, status.message, ((_STATUS_DETAILS, status.SerializeToString()),))
