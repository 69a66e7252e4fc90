"""Which scope each call needs, and where: one row for every method, and no method without a row.

A call that concerns one namespace needs its scope there; one that concerns the engine, or more than a namespace, needs
it in all. The namespace is read from the request, before anything is looked up: who may not read a namespace does not
learn whether it exists.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from service.access.grants import EVERYWHERE, Scope

_PREFIX = "namespaces/"


@dataclass(frozen=True, slots=True)
class Rule:
    """`scope`: what is needed; None: any caller that is known. `paths`: the fields that name the namespace; none:
    the call is about all of them, as it is where they are empty. `bare`: the field is the id alone."""

    scope: Scope | None
    paths: tuple[str, ...] = ()
    bare: bool = False

    def namespaces(self, request: Any) -> frozenset[str]:
        """Those that the request concerns; `*` where it is all, or cannot be told."""
        if not self.paths:
            return frozenset({EVERYWHERE})
        values = [value for path in self.paths for value in _values(request, path)]
        return frozenset(value if self.bare and value else _namespace(value) for value in values or [""])


def _values(message: Any, path: str) -> list[str]:
    *outer, last = path.split(".")
    for name in outer:
        message = getattr(message, name)
    value = getattr(message, last)
    return [value] if isinstance(value, str) else list(value)


def _namespace(name: str) -> str:
    return (name.removeprefix(_PREFIX).split("/")[0] if name.startswith(_PREFIX) else "") or EVERYWHERE


_PARENT, _NAME = ("parent",), ("name",)


def _rows(service: str, rows: Mapping[str, Rule]) -> dict[str, Rule]:
    return {f"/{service}/{name}": rule for name, rule in rows.items()}


RULES: Mapping[str, Rule] = {
    **_rows(
        "interleaf.v1.Facts",
        {
            "CreateFact": Rule(Scope.WRITE, _PARENT),
            "GetFact": Rule(Scope.READ, _NAME),
            "ListFacts": Rule(Scope.READ, _PARENT),
            "UpdateFact": Rule(Scope.WRITE, ("fact.name",)),
            "DeleteFact": Rule(Scope.WRITE, _NAME),
            "UndeleteFact": Rule(Scope.WRITE, _NAME),
            "BatchCreateFacts": Rule(Scope.WRITE, _PARENT),
            "BatchGetFacts": Rule(Scope.READ, ("parent", "names")),
            "BatchDeleteFacts": Rule(Scope.WRITE, ("parent", "names")),
            "ListFactRevisions": Rule(Scope.READ, _NAME),
            "RollbackFact": Rule(Scope.WRITE, _NAME),
            "SearchFacts": Rule(Scope.READ, _PARENT),
            "ImportFacts": Rule(Scope.WRITE, ("header.parent",)),
            "ExportFacts": Rule(Scope.READ, _PARENT),
        },
    ),
    **_rows(
        "interleaf.v1.Inference",
        {
            name: Rule(Scope.READ, _PARENT)
            for name in ("Generate", "StreamGenerate", "Score", "Compare", "WeighFacts")
        },
    ),
    **_rows(
        "interleaf.v1.Encoders",
        {
            "ListEncoders": Rule(None),
            "GetEncoder": Rule(None),
            **{
                name: Rule(Scope.OPS)
                for name in ("TrainEncoder", "EvaluateEncoder", "CalibrateEncoder", "SweepLayers")
            },
        },
    ),
    # An edit is for the whole engine, whichever namespace it came from.
    **_rows(
        "interleaf.v1.Edits",
        {
            name: Rule(Scope.EDIT)
            for name in (
                "CreateEdit",
                "ListEdits",
                "GetEdit",
                "GetEditReceipt",
                "ApplyEdit",
                "RevertEdit",
                "DeleteEdit",
                "CompareEdits",
            )
        },
    ),
    **_rows(
        "interleaf.v1.Circuits",
        {
            "CheckHallucination": Rule(Scope.OPS, _PARENT),
            **{
                name: Rule(Scope.OPS, _PARENT) for name in ("ExplainFacts", "StudyEmergence", "StudyGrafting")
            },
            **{
                name: Rule(Scope.OPS)
                for name in (
                    "TraceAnswers",
                    "StudyHeads",
                    "StudyKnockout",
                    "StudyRecall",
                    "DiscoverCircuit",
                    "LocateHeads",
                )
            },
        },
    ),
    **_rows(
        "interleaf.v1.Monitor",
        {
            "ListInjections": Rule(Scope.OPS, _PARENT),
            "WatchInjections": Rule(Scope.OPS, _PARENT),
            "GetStatus": Rule(None),
        },
    ),
    # Who lets rows in answers for what the model is told: more than to write, for what one writes oneself.
    **_rows(
        "interleaf.v1.Reviews",
        {
            "ListReviews": Rule(Scope.ADMIN, _PARENT),
            **{name: Rule(Scope.ADMIN, _NAME) for name in ("GetReview", "ApproveReview", "RejectReview")},
        },
    ),
    **_rows(
        "interleaf.v1.Namespaces",
        {
            "CreateNamespace": Rule(Scope.ADMIN, ("namespace_id",), bare=True),
            "GetNamespace": Rule(Scope.READ, _NAME),
            "ListNamespaces": Rule(Scope.READ),
            "UpdateNamespace": Rule(Scope.ADMIN, ("namespace.name",)),
            "DeleteNamespace": Rule(Scope.ADMIN, _NAME),
            "ReindexNamespace": Rule(Scope.OPS, _NAME),
        },
    ),
    **_rows(
        "google.longrunning.Operations",
        {
            name: Rule(Scope.OPS)
            for name in (
                "ListOperations",
                "GetOperation",
                "DeleteOperation",
                "CancelOperation",
                "WaitOperation",
            )
        },
    ),
}
