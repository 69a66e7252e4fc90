"""Interleaf's client: stored facts become key/value tokens in the attention of a frozen language model.

    from interleaf import Client

    with Client() as client:
        client.add("Anna Keller", "employer", "Nordlicht Werft")
        print(client.ask("Who does Anna Keller work for?"))

Needs only grpcio and protobuf. Whatever is exported here is stable; the modules behind it are not.
"""

from interleaf._async_client import AsyncClient
from interleaf._client import Client
from interleaf._errors import (
    Aborted,
    AlreadyExists,
    Cancelled,
    ConflictingFact,
    DeadlineExceeded,
    EtagMismatch,
    FailedPrecondition,
    FieldViolation,
    InterleafError,
    InterruptedTransfer,
    InvalidArgument,
    LimitExceeded,
    NotFound,
    OutOfRange,
    PermissionDenied,
    RequestIdReused,
    ResourceExhausted,
    ServerFault,
    Unauthenticated,
    Unavailable,
    Unimplemented,
)
from interleaf._fact_calls import KEEP
from interleaf._options import DEFAULT_NAMESPACE, DEFAULT_TARGET, TLS, Retry, Timeout
from interleaf._streams import AnswerStream, AsyncAnswerStream
from interleaf._types import (
    Answer,
    ChatMessage,
    Citation,
    Comparison,
    ContinuationScore,
    Fact,
    FactState,
    FinishReason,
    Grounding,
    ImportFailure,
    ImportReport,
    Namespace,
    NewFact,
    Operation,
    Revision,
    Scores,
    SearchHit,
    Timings,
    ValueCheck,
)

__version__ = "0.1.0"

__all__ = [
    "DEFAULT_NAMESPACE",
    "DEFAULT_TARGET",
    "KEEP",
    "TLS",
    "Aborted",
    "AlreadyExists",
    "Answer",
    "AnswerStream",
    "AsyncAnswerStream",
    "AsyncClient",
    "Cancelled",
    "ChatMessage",
    "Citation",
    "Client",
    "Comparison",
    "ConflictingFact",
    "ContinuationScore",
    "DeadlineExceeded",
    "EtagMismatch",
    "Fact",
    "FactState",
    "FailedPrecondition",
    "FieldViolation",
    "FinishReason",
    "Grounding",
    "ImportFailure",
    "ImportReport",
    "InterleafError",
    "InterruptedTransfer",
    "InvalidArgument",
    "LimitExceeded",
    "Namespace",
    "NewFact",
    "NotFound",
    "Operation",
    "OutOfRange",
    "PermissionDenied",
    "RequestIdReused",
    "ResourceExhausted",
    "Retry",
    "Revision",
    "Scores",
    "SearchHit",
    "ServerFault",
    "Timeout",
    "Timings",
    "Unauthenticated",
    "Unavailable",
    "Unimplemented",
    "ValueCheck",
    "__version__",
]
