"""google.longrunning.Operations."""

from __future__ import annotations

from typing import Any

from google.longrunning import operations_pb2, operations_pb2_grpc
from google.protobuf import empty_pb2

from kb_store.errors import InvalidInput
from service.calls import current
from service.convert import facts as convert
from service.limits import LimitSettings
from service.operations import Operations
from service.page_tokens import PageTokens
from service.validation import operation_of, page_size

_LIST = "ListOperations"
_LONGEST_WAIT = 3600.0
_MARGIN = 0.05  # so that the answer arrives before the client's own deadline


class OperationsServicer(operations_pb2_grpc.OperationsServicer):  # type: ignore[misc]
    """See google/longrunning/operations.proto for what each call does."""

    def __init__(self, operations: Operations, tokens: PageTokens, limits: LimitSettings) -> None:
        self._operations, self._tokens, self._limits = operations, tokens, limits

    async def ListOperations(self, request: Any, context: Any) -> Any:  # noqa: N802
        """A page of operations."""
        if request.name not in ("", "operations"):
            raise InvalidInput("name", "must be `operations`")
        if request.filter:
            raise InvalidInput("filter", "is not supported for operations: leave it empty")
        limits = self._limits
        page, after = await self._operations.list(
            limit=page_size(request.page_size, limits.default_page_size, limits.max_page_size),
            after=self._tokens.text(request.page_token, _LIST),
        )
        return operations_pb2.ListOperationsResponse(
            operations=map(convert.operation_message, page),
            next_page_token=self._tokens.make(after, _LIST) if after else "",
        )

    async def GetOperation(self, request: Any, context: Any) -> Any:  # noqa: N802
        """How an operation stands."""
        record = await self._operations.get(operation_of("name", request.name))
        return convert.operation_message(record)

    async def WaitOperation(self, request: Any, context: Any) -> Any:  # noqa: N802
        """The operation when it is done, or when the time is over."""
        operation_id = operation_of("name", request.name)
        seconds = _LONGEST_WAIT
        if request.HasField("timeout"):
            seconds = request.timeout.seconds + request.timeout.nanos / 1e9
            if seconds < 0:
                raise InvalidInput("timeout", "must not be negative")
        allowed = max(0.0, current().remaining(seconds + _MARGIN) - _MARGIN)
        return convert.operation_message(await self._operations.wait(operation_id, allowed))

    async def CancelOperation(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Asks an operation to stop."""
        await self._operations.cancel(operation_of("name", request.name))
        return empty_pb2.Empty()

    async def DeleteOperation(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Forgets an operation that is done."""
        await self._operations.delete(operation_of("name", request.name))
        return empty_pb2.Empty()
