"""What surrounds every call, the outermost first."""

from __future__ import annotations

import grpc

from service.access.callers import Callers
from service.config import Settings
from service.interceptors.admission import Admission
from service.interceptors.auth import Authentication
from service.interceptors.deadline import Deadlines
from service.interceptors.decode import Decode
from service.interceptors.draining import Draining
from service.interceptors.failures import Failures
from service.interceptors.log import CallLog
from service.interceptors.measure import Measure
from service.interceptors.trace import Trace
from service.observability.meters import Meters
from service.observability.tracing import Traces

__all__ = ["chain"]


def chain(
    settings: Settings, callers: Callers | None, meters: Meters, traces: Traces | None, draining: Draining
) -> list[grpc.aio.ServerInterceptor]:
    """The interceptors of a server."""
    tracing = [] if traces is None else [Trace(traces)]
    return [
        CallLog(),
        Measure(meters),
        *tracing,
        Failures(),
        draining,
        Authentication(callers),
        Admission(settings.admission, settings.engine.max_batch),
        Deadlines(settings.deadlines),
        Decode(),
    ]
