"""interleaf.v1.Monitor."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from interleaf.v1 import monitor_pb2, monitor_pb2_grpc
from service.commands.watching import Watching
from service.convert.monitor import injection_message, status_message
from service.limits import LimitSettings
from service.validation import namespace_of, not_negative, page_size


class MonitorServicer(monitor_pb2_grpc.MonitorServicer):  # type: ignore[misc]
    """See protos/interleaf/v1/monitor.proto for what each call does."""

    def __init__(self, watching: Watching, limits: LimitSettings) -> None:
        self._watching, self._limits = watching, limits

    async def ListInjections(self, request: Any, context: Any) -> Any:  # noqa: N802
        """The last answers."""
        found = self._watching.list(*self._asked(request))
        return monitor_pb2.ListInjectionsResponse(
            injections=[injection_message(entry, texts=self._watching.texts) for entry in found],
            last_sequence=self._watching.last,
        )

    async def WatchInjections(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        """Answers as they are given."""
        async with aclosing(self._watching.watch(*self._asked(request))) as entries:
            async for entry in entries:
                yield injection_message(entry, texts=self._watching.texts)

    async def GetStatus(self, request: Any, context: Any) -> Any:  # noqa: N802
        """How the service stands."""
        return status_message(self._watching.status())

    def _asked(self, request: Any) -> tuple[int, str, int]:
        limits = self._limits
        return (
            not_negative("after_sequence", request.after_sequence),
            namespace_of("parent", request.parent) if request.parent else "",
            page_size(request.page_size, limits.default_page_size, limits.max_page_size),
        )
