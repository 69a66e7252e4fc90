"""Everything a call can fail with.

InterleafError
├── InvalidArgument        a field breaks a rule (`violations` name the fields)
│   ├── LimitExceeded      a field is over a limit of the server (the message names the limit)
│   └── RequestIdReused    the request_id belongs to a different request
├── NotFound               no such fact, revision, namespace or operation
├── AlreadyExists          the id is taken
│   └── ConflictingFact    the relation is single-valued and the subject has another object (`fact_id`)
├── Aborted                somebody else wrote in between
│   └── EtagMismatch       the etag is not the current one: read again, then write
├── FailedPrecondition     not in this state (update of a deleted fact, namespace with facts, ...)
│   └── ClientClosed       the client was closed before the call
├── OutOfRange             past the end
├── Unauthenticated        no API key, or one the server does not know
├── PermissionDenied       the key lacks the scope
├── ResourceExhausted      over a quota, too busy (`retry_after`), or the disk is full
├── Unavailable            the server cannot be reached, or is shutting down
├── DeadlineExceeded       the timeout ran out first
├── Cancelled              the call was cancelled
├── Unimplemented          the server does not know this method: it is older than the client
├── ServerFault            a defect or damage on the server's side
└── InterruptedTransfer    a stream ended before its last message
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

STATUS_DETAILS_KEY = "grpc-status-details-bin"


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """A field that breaks a rule: `field` is its path in the request, `description` says what is wrong."""

    field: str
    description: str


class InterleafError(Exception):
    """Base of all errors of a call.

    `code` is the canonical gRPC code ("NOT_FOUND"), `reason` the server's stable reason ("CONFLICTING_FACT",
    empty when it gave none), `metadata` every dynamic part of the message. `retry_after` is in seconds and
    set when the server asked to wait.
    """

    code = "UNKNOWN"

    def __init__(
        self,
        message: str,
        *,
        reason: str = "",
        metadata: Mapping[str, str] | None = None,
        violations: Sequence[FieldViolation] = (),
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason
        self.metadata = dict(metadata or {})
        self.violations = tuple(violations)
        self.retry_after = retry_after


class InvalidArgument(InterleafError):
    """A field breaks a rule."""

    code = "INVALID_ARGUMENT"


class LimitExceeded(InvalidArgument):
    """A field is over a limit of the server."""


class RequestIdReused(InvalidArgument):
    """The request_id was used for a different request."""


class NotFound(InterleafError):
    """There is no such thing, or not any more."""

    code = "NOT_FOUND"


class AlreadyExists(InterleafError):
    """The id is taken."""

    code = "ALREADY_EXISTS"


class ConflictingFact(AlreadyExists):
    """The relation is single-valued and the subject already has another object."""

    @property
    def fact_id(self) -> str:
        """The fact that stands in the way."""
        return self.metadata.get("fact_id", "")


class Aborted(InterleafError):
    """Somebody else wrote in between."""

    code = "ABORTED"


class EtagMismatch(Aborted):
    """The resource was changed since it was read."""


class FailedPrecondition(InterleafError):
    """The resource is not in a state that allows this."""

    code = "FAILED_PRECONDITION"


class ClientClosed(FailedPrecondition):
    """The client was closed before the call."""

    def __init__(self, message: str = "the client is closed: make another one", **details: Any) -> None:
        super().__init__(message, **details)


class OutOfRange(InterleafError):
    """Past the end."""

    code = "OUT_OF_RANGE"


class Unauthenticated(InterleafError):
    """No API key, or one that the server does not know."""

    code = "UNAUTHENTICATED"


class PermissionDenied(InterleafError):
    """The key lacks the scope."""

    code = "PERMISSION_DENIED"


class ResourceExhausted(InterleafError):
    """Over a quota, too busy, or the disk is full."""

    code = "RESOURCE_EXHAUSTED"


class Unavailable(InterleafError):
    """The server cannot be reached, or is shutting down."""

    code = "UNAVAILABLE"


class DeadlineExceeded(InterleafError):
    """The timeout ran out first. A write may have happened: sent again with its request_id it is safe."""

    code = "DEADLINE_EXCEEDED"


class Cancelled(InterleafError):
    """The call was cancelled."""

    code = "CANCELLED"


class Unimplemented(InterleafError):
    """The server does not know this method."""

    code = "UNIMPLEMENTED"


class ServerFault(InterleafError):
    """A defect or damage on the server's side."""

    code = "INTERNAL"


class InterruptedTransfer(InterleafError):
    """A stream ended before its last message."""

    code = "DATA_LOSS"


BY_CODE: Mapping[str, type[InterleafError]] = {
    "CANCELLED": Cancelled,
    "UNKNOWN": ServerFault,
    "INVALID_ARGUMENT": InvalidArgument,
    "DEADLINE_EXCEEDED": DeadlineExceeded,
    "NOT_FOUND": NotFound,
    "ALREADY_EXISTS": AlreadyExists,
    "PERMISSION_DENIED": PermissionDenied,
    "RESOURCE_EXHAUSTED": ResourceExhausted,
    "FAILED_PRECONDITION": FailedPrecondition,
    "ABORTED": Aborted,
    "OUT_OF_RANGE": OutOfRange,
    "UNIMPLEMENTED": Unimplemented,
    "INTERNAL": ServerFault,
    "UNAVAILABLE": Unavailable,
    "DATA_LOSS": ServerFault,
    "UNAUTHENTICATED": Unauthenticated,
}

# A reason makes the class narrower, never another one: it counts only under its own code.
BY_REASON: Mapping[str, type[InterleafError]] = {
    "LIMIT_EXCEEDED": LimitExceeded,
    "REQUEST_ID_REUSED": RequestIdReused,
    "CONFLICTING_FACT": ConflictingFact,
    "ETAG_MISMATCH": EtagMismatch,
}


def error_class(code: str, reason: str) -> type[InterleafError]:
    """The class for a canonical code and an ErrorInfo reason."""
    broad = BY_CODE.get(code, ServerFault)
    narrow = BY_REASON.get(reason, broad)
    return narrow if issubclass(narrow, broad) else broad


def from_status(code: str, message: str, details: Iterable[Any] = ()) -> InterleafError:
    """Builds the error from a canonical code and the packed details (google.rpc.Status.details)."""
    info = error_details_pb2.ErrorInfo()
    bad_request = error_details_pb2.BadRequest()
    retry = error_details_pb2.RetryInfo()
    retry_after = None
    for detail in details:
        for known in (info, bad_request, retry):
            if detail.Is(known.DESCRIPTOR):
                detail.Unpack(known)
        if detail.Is(retry.DESCRIPTOR):
            retry_after = retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9
    cls = error_class(code, info.reason)
    error = cls(
        message,
        reason=info.reason,
        metadata=dict(info.metadata),
        violations=[FieldViolation(v.field, v.description) for v in bad_request.field_violations],
        retry_after=retry_after,
    )
    if cls is ServerFault:
        error.code = code
    return error


def from_rpc_error(error: grpc.RpcError) -> InterleafError:
    """Builds the error from what a sync or async gRPC call raised."""
    details: Iterable[Any] = ()
    for key, value in error.trailing_metadata() or ():
        if key == STATUS_DETAILS_KEY:
            status = status_pb2.Status()
            try:
                status.ParseFromString(value)
            except DecodeError:
                continue  # the code and the message are still good
            details = status.details
    return from_status(error.code().name, error.details() or error.code().name, details)
