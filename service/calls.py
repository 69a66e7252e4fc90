"""What is known of a call while it runs: who calls, what, and until when."""

from __future__ import annotations

import contextvars
import time
from collections.abc import Mapping
from dataclasses import dataclass

from service.access.grants import Grants

ANONYMOUS = "anonymous"

# The kinds of calls, each with its own admission and deadline; health and reflection have none.
READ, WRITE, GENERATE, TRANSFER, OPERATION = "read", "write", "generate", "transfer", "operation"

_FACTS, _INFERENCE = "/interleaf.v1.Facts/", "/interleaf.v1.Inference/"
_ENCODERS, _EDITS = "/interleaf.v1.Encoders/", "/interleaf.v1.Edits/"
_MONITOR = "/interleaf.v1.Monitor/"
_CIRCUITS = "/interleaf.v1.Circuits/"
_REVIEWS = "/interleaf.v1.Reviews/"
_NAMESPACES, _OPERATIONS = "/interleaf.v1.Namespaces/", "/google.longrunning.Operations/"

KINDS: Mapping[str, str] = {
    **{
        _FACTS + name: READ
        for name in ("GetFact", "ListFacts", "BatchGetFacts", "ListFactRevisions", "SearchFacts")
    },
    **{
        _FACTS + name: WRITE
        for name in (
            "CreateFact",
            "UpdateFact",
            "DeleteFact",
            "UndeleteFact",
            "BatchCreateFacts",
            "BatchDeleteFacts",
            "RollbackFact",
        )
    },
    **{_FACTS + name: TRANSFER for name in ("ImportFacts", "ExportFacts")},
    **{
        _INFERENCE + name: GENERATE
        for name in ("Generate", "StreamGenerate", "Score", "Compare", "WeighFacts")
    },
    **{_ENCODERS + name: READ for name in ("GetEncoder", "ListEncoders")},
    **{
        _ENCODERS + name: WRITE
        for name in ("TrainEncoder", "EvaluateEncoder", "CalibrateEncoder", "SweepLayers")
    },
    **{_EDITS + name: READ for name in ("GetEdit", "GetEditReceipt", "ListEdits")},
    **{
        _EDITS + name: WRITE
        for name in ("CreateEdit", "ApplyEdit", "RevertEdit", "DeleteEdit", "CompareEdits")
    },
    **{_MONITOR + name: READ for name in ("ListInjections", "GetStatus")},
    _MONITOR + "WatchInjections": TRANSFER,
    **{_CIRCUITS + name: GENERATE for name in ("CheckHallucination", "TraceAnswers")},
    **{
        _CIRCUITS + name: WRITE
        for name in (
            *("StudyHeads", "StudyKnockout", "StudyRecall", "ExplainFacts"),
            *("DiscoverCircuit", "LocateHeads", "StudyEmergence", "StudyGrafting"),
        )
    },
    **{_REVIEWS + name: READ for name in ("GetReview", "ListReviews")},
    **{_REVIEWS + name: WRITE for name in ("ApproveReview", "RejectReview")},
    **{_NAMESPACES + name: READ for name in ("GetNamespace", "ListNamespaces")},
    **{
        _NAMESPACES + name: WRITE
        for name in ("CreateNamespace", "UpdateNamespace", "DeleteNamespace", "ReindexNamespace")
    },
    **{
        _OPERATIONS + name: OPERATION
        for name in (
            "ListOperations",
            "GetOperation",
            "DeleteOperation",
            "CancelOperation",
            "WaitOperation",
        )
    },
}


@dataclass(slots=True)
class Call:
    """A call in progress. `deadline` is on time.monotonic's clock."""

    method: str
    server_id: str
    principal: str = ANONYMOUS
    deadline: float | None = None
    grants: Grants | None = None  # None: whatever there is, where nobody is asked for a key
    reason: str = ""  # of ErrorInfo, once the call has failed

    def remaining(self, at_most: float) -> float:
        """Seconds that the call may still take."""
        if self.deadline is None:
            return at_most
        return max(0.0, min(at_most, self.deadline - time.monotonic()))


_current: contextvars.ContextVar[Call | None] = contextvars.ContextVar("interleaf_call", default=None)


def current() -> Call:
    """The call that runs now; one without a caller outside of calls (maintenance)."""
    return _current.get() or Call("", "")


def enter(call: Call) -> None:
    """Makes it the current one for this task."""
    _current.set(call)
