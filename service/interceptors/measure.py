"""Counts calls and their time, by method, status and reason; over gRPC and HTTP alike."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc

from service.calls import KINDS, current
from service.interceptors.log import status_code
from service.interceptors.wrapping import AroundInterceptor
from service.observability.meters import Meters


class Measure(AroundInterceptor):
    """Stands where codes are known: outside of what turns failures into them. Health and reflection are not
    counted."""

    def __init__(self, meters: Meters) -> None:
        super().__init__()
        self._meters = meters

    @asynccontextmanager
    async def around(self, method: str, context: Any) -> AsyncIterator[None]:
        """One call."""
        kind = KINDS.get(method)
        if kind is None:
            yield
            return
        began, code = time.perf_counter(), grpc.StatusCode.OK
        self._meters.call_began(kind)
        try:
            yield
        except grpc.aio.AbortError:
            code = status_code(context)
            raise
        except asyncio.CancelledError:
            code = grpc.StatusCode.CANCELLED
            raise
        finally:
            seconds = time.perf_counter() - began
            self._meters.call_ended(kind, method, code.name, current().reason, seconds)
