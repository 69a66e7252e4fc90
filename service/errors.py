"""What the service itself refuses, and the one table from every domain error to what a client sees.

ServiceError
├── MalformedMessage     bytes that are not a message of the method's type
├── TooBusy              more calls at once than are admitted
├── NotSearchableYet     the index has not come as far as min_revision
├── NoModel              the server runs without a model
├── NoEncoder            the server's model has no encoder for facts
├── EncoderWorkOff       the server does not train, measure or calibrate encoders
├── EncoderWorkRefused   work on an encoder that cannot be done as it was asked for
├── EncoderWorkFailed    the process that did the work died of it
├── EditWorkOff          the server does not compute or apply edits
├── EditAffectsOthers    an edit of weights would change other namespaces' answers
├── EngineNotEditable    the server has no model, or one whose weights cannot be changed
├── EngineNotStudied     the server has no model, or one that cannot be looked into
├── StudiesOff           the server does not run long diagnostics
├── StudyDisturbed       an edit was applied or taken back during a study
├── NoFactFits           no stored fact fits the prompt
├── TooLargeToTune       a copy of the model is more than the server fine-tunes
├── NotWithoutKey        nothing that says who calls, or nobody who is known
├── NotAllowed           the caller's grants do not cover the call
├── RateExceeded         a namespace is called more often than its quota
├── DeadlinePassed       the caller's deadline, or the server's limit on a call's duration
└── ShuttingDown         the server drains
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import grpc
from google.protobuf import duration_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from circuits import errors as circuit
from editors.weights import errors as edit
from engines import errors as engine
from kb_store import errors as store
from service.error_details import quota_failure

DOMAIN = "interleaf"
_MAX_TEXT = 1000
_MAX_VALUE = 200


class ServiceError(Exception):
    """Base of the service's own errors. `details` holds every dynamic part of the message."""

    reason = "SERVICE_ERROR"

    def __init__(self, message: str, **details: str | float) -> None:
        super().__init__(message)
        self.message = message
        self.details = {key: str(value) for key, value in details.items()}


class MalformedMessage(ServiceError):
    """Bytes that are not a message of the method's type."""

    reason = "MALFORMED_MESSAGE"


class TooBusy(ServiceError):
    """More calls at once than are admitted."""

    reason = "TOO_BUSY"

    def __init__(self, what: str, limit: int, retry_seconds: float) -> None:
        super().__init__(f"{limit} {what} already: try again later", what=what, limit=limit)
        self.retry_seconds = retry_seconds


class NotSearchableYet(ServiceError):
    """The index has not come as far as min_revision."""

    reason = "NOT_SEARCHABLE_YET"

    def __init__(self, namespace: str, wanted: int, reached: int) -> None:
        super().__init__(
            f"namespace {namespace!r} is searchable at revision {reached}, {wanted} was asked for: try again",
            namespace=namespace,
            wanted=wanted,
            reached=reached,
        )


class NoModel(ServiceError):
    """The server runs without a model."""

    reason = "NO_MODEL"

    def __init__(self) -> None:
        super().__init__(
            'this server runs without a model (engine.kind = "none"): it stores and finds facts only'
        )


class NoEncoder(ServiceError):
    """The server's model has no encoder for facts."""

    reason = "NO_ENCODER"

    def __init__(self) -> None:
        super().__init__(
            'this server has no encoder for its model (engine.encoder = "none"): facts cannot be injected; '
            "use retrieval.disabled, or train one with `interleaf encoder train`"
        )


class EncoderWorkOff(ServiceError):
    """The server does not train, measure or calibrate encoders."""

    reason = "ENCODER_WORK_OFF"

    def __init__(self) -> None:
        super().__init__(
            "this server lists encoders and does no work on them (encoders.work = false): "
            "set it, or use `interleaf encoder` on the server's machine"
        )


class EncoderWorkRefused(ServiceError):
    """Work on an encoder that cannot be done as it was asked for."""

    reason = "ENCODER_WORK_REFUSED"


class EncoderWorkFailed(ServiceError):
    """The process that did the work died of it."""

    reason = "ENCODER_WORK_FAILED"

    def __init__(self, exit_code: int) -> None:
        super().__init__(f"the process that did the work ended with {exit_code}", exit_code=exit_code)


class EditWorkOff(ServiceError):
    """The server does not compute or apply edits."""

    reason = "EDIT_WORK_OFF"

    def __init__(self) -> None:
        super().__init__("this server lists edits and does no work on them (edits.work = false)")


class EditAffectsOthers(ServiceError):
    """An edit of weights would change other namespaces' answers."""

    reason = "EDIT_AFFECTS_OTHERS"

    def __init__(self, edit_id: str, others: int, allowed: bool) -> None:
        need = (
            "say so with all_namespaces" if allowed else "the server does not allow it (edits.all_namespaces)"
        )
        super().__init__(
            f"an edit of weights is for the whole engine: {others} other namespaces would be answered with it; {need}",
            edit=edit_id,
            others=others,
        )


class EngineNotEditable(ServiceError):
    """The server has no model, or one whose weights cannot be changed."""

    reason = "ENGINE_NOT_EDITABLE"

    def __init__(self) -> None:
        super().__init__("this server has no model whose weights can be changed")


class EngineNotStudied(ServiceError):
    """The server has no model, or one that cannot be looked into."""

    reason = "ENGINE_NOT_STUDIED"

    def __init__(self) -> None:
        super().__init__("this server has no model that can be looked into (the engine must be transformers)")


class StudiesOff(ServiceError):
    """The server does not run long diagnostics."""

    reason = "STUDIES_OFF"

    def __init__(self) -> None:
        super().__init__("this server checks answers and runs no long diagnostics: set circuits.work = true")


class StudyDisturbed(ServiceError):
    """An edit was applied or taken back during a study."""

    reason = "STUDY_DISTURBED"

    def __init__(self) -> None:
        super().__init__("an edit was applied or taken back while the model was studied: try again")


class NoFactFits(ServiceError):
    """No stored fact fits the prompt."""

    reason = "NO_FACT_FITS"

    def __init__(self) -> None:
        super().__init__("no stored fact fits this prompt: there is nothing injected to be explained")


class TooLargeToTune(ServiceError):
    """A copy of the model is more than the server fine-tunes."""

    reason = "TOO_LARGE_TO_TUNE"

    def __init__(self) -> None:
        super().__init__("too large a model to tune a copy of on this server: set circuits.tuned_parameters")


class NotWithoutKey(ServiceError):
    """Nothing that says who calls, or nobody who is known."""

    reason = "UNAUTHENTICATED"

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem}: {remedy}")


class NotAllowed(ServiceError):
    """The caller's grants do not cover the call."""

    reason = "NOT_ALLOWED"

    def __init__(self, scope: str, namespace: str) -> None:
        where = "all namespaces" if namespace == "*" else f"namespace {namespace!r}"
        super().__init__(f"this needs the scope {str(scope)!r} in {where}", scope=scope, namespace=namespace)


class RateExceeded(ServiceError):
    """A namespace is called more often than its quota."""

    reason = "RATE_EXCEEDED"

    def __init__(self, quota: str, rate: float, retry_seconds: float) -> None:
        super().__init__(
            f"the namespace may have {rate:g} such calls a second ({quota}): try again later", quota=quota
        )
        self.retry_seconds = retry_seconds


class DeadlinePassed(ServiceError):
    """The caller's deadline, or the server's limit on a call's duration where that is sooner."""

    reason = "DEADLINE_PASSED"

    def __init__(self, kind: str, seconds: float, asked: bool) -> None:
        whose = "the caller's deadline" if asked else f"deadlines.{kind}"
        figure = f"{seconds:.3g}" if seconds < 100 else f"{seconds:.0f}"
        super().__init__(f"the call took longer than {figure} s ({whose})", kind=kind)


class ShuttingDown(ServiceError):
    """The server drains."""

    reason = "SHUTTING_DOWN"

    def __init__(self) -> None:
        super().__init__("the server is shutting down")


Code = grpc.StatusCode
Details = Callable[[Exception], list[Message]]
_RETRY_SECONDS = 1.0


def _bad_request(error: Exception) -> list[Message]:
    violation = error_details_pb2.BadRequest.FieldViolation(
        field=_printable(str(getattr(error, "field", "")), _MAX_VALUE),
        description=_printable(str(error), _MAX_TEXT),
        reason=_reason(error),
    )
    return [error_details_pb2.BadRequest(field_violations=[violation])]


def _retry(error: Exception) -> list[Message]:
    delay = duration_pb2.Duration()
    delay.FromMilliseconds(int(1000 * getattr(error, "retry_seconds", _RETRY_SECONDS)))
    return [error_details_pb2.RetryInfo(retry_delay=delay)]


@dataclass(frozen=True, slots=True)
class Row:
    """What a client sees of an error: its code, and the details beside ErrorInfo.

    `hidden`: the message is about our inside; clients get a sentence with an id that the log has too.
    """

    code: grpc.StatusCode
    details: Details = field(default=lambda error: [])
    hidden: bool = False


TABLE: dict[type[Exception], Row] = {
    store.StoreError: Row(Code.INTERNAL, hidden=True),
    store.InvalidInput: Row(Code.INVALID_ARGUMENT, _bad_request),
    store.LimitExceeded: Row(Code.INVALID_ARGUMENT, _bad_request),
    store.RequestIdReused: Row(Code.INVALID_ARGUMENT, _bad_request),
    store.NotFound: Row(Code.NOT_FOUND),
    store.AlreadyExists: Row(Code.ALREADY_EXISTS),
    store.ConflictingFact: Row(Code.ALREADY_EXISTS),
    store.EtagMismatch: Row(Code.ABORTED),
    store.WrongState: Row(Code.FAILED_PRECONDITION),
    store.ImportRunning: Row(Code.UNAVAILABLE, _retry),
    store.RevisionNotReached: Row(Code.FAILED_PRECONDITION),
    store.StorageFull: Row(Code.RESOURCE_EXHAUSTED),
    store.QuotaExceeded: Row(Code.RESOURCE_EXHAUSTED, quota_failure),
    store.StoreUnavailable: Row(Code.UNAVAILABLE, _retry),
    store.StoreClosed: Row(Code.UNAVAILABLE),
    store.IndexCorrupt: Row(Code.INTERNAL, hidden=True),
    engine.EngineError: Row(Code.INTERNAL, hidden=True),
    engine.InvalidRequest: Row(Code.INVALID_ARGUMENT, _bad_request),
    engine.EngineBusy: Row(Code.RESOURCE_EXHAUSTED, _retry),
    engine.UnsupportedModel: Row(Code.FAILED_PRECONDITION),
    engine.ModelMissing: Row(Code.FAILED_PRECONDITION),
    engine.EngineClosed: Row(Code.UNAVAILABLE),
    engine.EngineLost: Row(Code.UNAVAILABLE, _retry),
    edit.EditError: Row(Code.FAILED_PRECONDITION),
    edit.InvalidEdit: Row(Code.INVALID_ARGUMENT, _bad_request),
    circuit.CircuitError: Row(Code.FAILED_PRECONDITION),
    circuit.InvalidIntervention: Row(Code.INVALID_ARGUMENT),
    circuit.InvalidProbe: Row(Code.INVALID_ARGUMENT, _bad_request),
    circuit.Cancelled: Row(Code.CANCELLED),
    ServiceError: Row(Code.INTERNAL, hidden=True),
    MalformedMessage: Row(Code.INVALID_ARGUMENT),
    TooBusy: Row(Code.RESOURCE_EXHAUSTED, _retry),
    NotSearchableYet: Row(Code.UNAVAILABLE, _retry),
    NoModel: Row(Code.FAILED_PRECONDITION),
    NoEncoder: Row(Code.FAILED_PRECONDITION),
    EncoderWorkOff: Row(Code.FAILED_PRECONDITION),
    EncoderWorkRefused: Row(Code.FAILED_PRECONDITION),
    EncoderWorkFailed: Row(Code.INTERNAL, hidden=True),
    EditWorkOff: Row(Code.FAILED_PRECONDITION),
    EditAffectsOthers: Row(Code.FAILED_PRECONDITION),
    EngineNotEditable: Row(Code.FAILED_PRECONDITION),
    EngineNotStudied: Row(Code.FAILED_PRECONDITION),
    StudiesOff: Row(Code.FAILED_PRECONDITION),
    StudyDisturbed: Row(Code.ABORTED, _retry),
    NoFactFits: Row(Code.FAILED_PRECONDITION),
    TooLargeToTune: Row(Code.FAILED_PRECONDITION),
    NotWithoutKey: Row(Code.UNAUTHENTICATED),
    NotAllowed: Row(Code.PERMISSION_DENIED),
    RateExceeded: Row(Code.RESOURCE_EXHAUSTED, _retry),
    DeadlinePassed: Row(Code.DEADLINE_EXCEEDED),
    ShuttingDown: Row(Code.UNAVAILABLE),
}
_UNKNOWN = Row(Code.INTERNAL, hidden=True)


def row_of(error: Exception) -> Row:
    """The row of the error's class, or of the nearest base that has one."""
    return next((TABLE[cls] for cls in type(error).__mro__ if cls in TABLE), _UNKNOWN)


def to_status(error: Exception, request_id: str) -> status_pb2.Status:
    """The google.rpc.Status of an error: one ErrorInfo, and what the table adds."""
    row = row_of(error)
    if row.hidden:
        message = f"the server failed; its log says why under request {request_id}"
        details: dict[str, str] = {}
        extra: list[Message] = []
        reason = "INTERNAL"
    else:
        message, reason = str(error), _reason(error)
        details, extra = getattr(error, "details", {}), row.details(error)
    info = error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN)
    for key, value in {**details, "server_request_id": request_id}.items():
        info.metadata[key] = _printable(value, _MAX_VALUE)
    status = status_pb2.Status(code=row.code.value[0], message=_printable(message, _MAX_TEXT))
    for detail in (info, *extra):
        status.details.add().Pack(detail)
    return status


def _reason(error: Exception) -> str:
    return str(getattr(error, "reason", "INTERNAL"))


def _printable(text: str, maximum: int) -> str:
    """What comes from outside may be long, or not be text that can be sent: headers take neither."""
    short = text if len(text) <= maximum else text[: maximum - 1] + "…"
    return short.encode("utf-8", "backslashreplace").decode("utf-8")
