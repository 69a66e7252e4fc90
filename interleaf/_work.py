"""Long work on the server, such as training an encoder: how it stands, its result, its end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, Protocol, Self, TypeVar

from google.longrunning import operations_pb2

from interleaf import _decode
from interleaf._calls import Call, Polled
from interleaf._namespace_calls import OPERATIONS, cancel_call, raise_failure

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far work has come: `share` of `stage`, 0..1. `details` are the other fields of its metadata."""

    stage: str = ""
    share: float = 0.0
    start_time: datetime | None = None
    details: Mapping[str, object] = field(default_factory=dict, hash=False)


OnProgress = Callable[[Progress], None]


class _Seen(Generic[T]):
    """The operation as it was last seen."""

    def __init__(self, operation: Any, decode: Callable[[Any], T]) -> None:
        self._operation, self._decode = operation, decode

    @property
    def name(self) -> str:
        """operations/{operation}: `wait` takes it too, from any client. Empty with `validate_only`."""
        return str(self._operation.name)

    @property
    def done(self) -> bool:
        """Whether it had ended, well or not, when it was last asked for."""
        return bool(self._operation.done)

    @property
    def metadata(self) -> Progress:
        """How far it had come when it was last asked for; with `validate_only`, what it would begin with."""
        return progress_of(self._operation)

    def __repr__(self) -> str:
        state = "done" if self.done else f"{self.metadata.stage} {self.metadata.share:.0%}"
        return f"<{type(self).__name__} {self.name or 'validated only'}: {state}>"

    def _polled(self, timeout: float | None, progress: OnProgress | None) -> Polled[Any]:
        def done(operation: Any) -> bool:
            self._operation = operation
            if progress is not None:
                progress(self.metadata)
            return self.done

        return Polled(_standing(self.name), done, timeout, f"operation {self.name}")

    def _outcome(self) -> T:
        if not self.name:
            raise ValueError("with validate_only nothing is done, and there is no result")
        raise_failure(self._operation)
        return self._decode(self._operation.response)


class _Carrier(Protocol):
    def _call(self, call: Call[R]) -> R: ...
    def _poll(self, polled: Polled[R]) -> R: ...


class _AsyncCarrier(Protocol):
    async def _call(self, call: Call[R]) -> R: ...
    async def _poll(self, polled: Polled[R]) -> R: ...


class Work(_Seen[T]):
    """Long work that was begun.

    work = client.encoders.train("mine", steps=500)
    encoder = work.result(progress=lambda seen: print(seen.stage, seen.share))
    """

    def __init__(self, carrier: _Carrier, operation: Any, decode: Callable[[Any], T]) -> None:
        super().__init__(operation, decode)
        self._carrier = carrier

    def refresh(self) -> Self:
        """Asks how it stands; `done` and `metadata` say so."""
        self._operation = self._carrier._call(_standing(self.name))
        return self

    def result(self, *, timeout: float | None = None, progress: OnProgress | None = None) -> T:
        """Waits for the end and returns the result, or raises the error that it ended with.

        After `timeout` seconds DeadlineExceeded is raised, and the work goes on: `cancel` ends it. `progress` is
        called with how it stands, about every second.
        """
        if not self.done:
            self._carrier._poll(self._polled(timeout, progress))
        return self._outcome()

    def cancel(self) -> None:
        """Ends it; `result` raises Cancelled then. What has ended stays as it is."""
        self._carrier._call(cancel_call(self.name))


class AsyncWork(_Seen[T]):
    """Long work that was begun.

    work = await client.encoders.train("mine", steps=500)
    encoder = await work.result(progress=lambda seen: print(seen.stage, seen.share))
    """

    def __init__(self, carrier: _AsyncCarrier, operation: Any, decode: Callable[[Any], T]) -> None:
        super().__init__(operation, decode)
        self._carrier = carrier

    async def refresh(self) -> Self:
        """Asks how it stands; `done` and `metadata` say so."""
        self._operation = await self._carrier._call(_standing(self.name))
        return self

    async def result(self, *, timeout: float | None = None, progress: OnProgress | None = None) -> T:
        """Waits for the end and returns the result, or raises the error that it ended with.

        After `timeout` seconds DeadlineExceeded is raised, and the work goes on: `cancel` ends it. `progress` is
        called with how it stands, about every second.
        """
        if not self.done:
            await self._carrier._poll(self._polled(timeout, progress))
        return self._outcome()

    async def cancel(self) -> None:
        """Ends it; `result` raises Cancelled then. What has ended stays as it is."""
        await self._carrier._call(cancel_call(self.name))


def progress_of(operation: Any) -> Progress:
    """An operation's metadata, whatever work it is."""
    fields = _decode.operation_metadata(operation.metadata)
    stage, share, start = (fields.pop(name, None) for name in ("stage", "share", "start_time"))
    return Progress(
        stage=str(stage or ""),
        share=share if isinstance(share, float) else 0.0,
        start_time=start if isinstance(start, datetime) else None,
        details=fields,
    )


def unpacked(kinds: Mapping[Any, Callable[[Any], T]]) -> Callable[[Any], T]:
    """Reads an operation's packed response, which is one of these messages."""

    def decode(packed: Any) -> T:
        for kind, value in kinds.items():
            message = kind()
            if packed.Is(message.DESCRIPTOR):
                packed.Unpack(message)
                return value(message)
        names = " or ".join(kind.DESCRIPTOR.full_name for kind in kinds)
        raise ValueError(f"this operation's result is no {names} but {packed.TypeName() or 'nothing'}")

    return decode


def unnamed(name: str) -> Any:
    """An operation of which only the name is known."""
    return operations_pb2.Operation(name=name if name.startswith("operations/") else f"operations/{name}")


def _standing(name: str) -> Call[Any]:
    request = operations_pb2.GetOperationRequest(name=name)
    return Call(OPERATIONS + "GetOperation", request, operations_pb2.Operation, lambda message: message)
