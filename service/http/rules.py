"""Which path stands for which call: what `google.api.http` says in other APIs, as a table.

A path's `{name=namespaces/*/facts/*}` becomes the field `name`; a star is one part of a path. `body` names the field
that the JSON is read into, `*` the whole request; all other fields may be given in the query.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

_VARIABLE = re.compile(r"\{([a-z_.]+)(?:=([^}]+))?\}")
_FACTS, _INFERENCE = "/interleaf.v1.Facts/", "/interleaf.v1.Inference/"
_NAMESPACES, _OPERATIONS = "/interleaf.v1.Namespaces/", "/google.longrunning.Operations/"
_ENCODERS, _EDITS = "/interleaf.v1.Encoders/", "/interleaf.v1.Edits/"
_MONITOR = "/interleaf.v1.Monitor/"
_CIRCUITS = "/interleaf.v1.Circuits/"
_REVIEWS = "/interleaf.v1.Reviews/"
_SPACE, _FACT = "namespaces/*", "namespaces/*/facts/*"
_REVIEW = "namespaces/*/reviews/*"


@dataclass(frozen=True)
class Rule:
    """One way to make a call."""

    verb: str
    path: str
    method: str
    body: str = ""

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """Matches the path behind `/v1/`; a group for each variable."""
        pattern, end = "", 0
        for found in _VARIABLE.finditer(self.path):
            pattern += re.escape(self.path[end : found.start()])
            shape = re.escape(found[2] or "*").replace(r"\*", "[^/:]+")
            pattern += f"(?P<{found[1].replace('.', '__')}>{shape})"
            end = found.end()
        return re.compile(pattern + re.escape(self.path[end:]))

    def match(self, verb: str, path: str) -> dict[str, str] | None:
        """The values of the path's variables; None when this is not the rule."""
        if verb != self.verb:
            return None
        found = self.pattern.fullmatch(path)
        return (
            None
            if found is None
            else {name.replace("__", "."): text for name, text in found.groupdict().items()}
        )


IMPORT, EXPORT = _FACTS + "ImportFacts", _FACTS + "ExportFacts"
WATCH = _MONITOR + "WatchInjections"
_STREAMED = (EXPORT, WATCH)  # would do all of their work for a HEAD

RULES: tuple[Rule, ...] = (
    Rule("POST", f"{{parent={_SPACE}}}/facts", _FACTS + "CreateFact", "fact"),
    Rule("GET", f"{{parent={_SPACE}}}/facts", _FACTS + "ListFacts"),
    Rule("GET", f"{{name={_FACT}}}", _FACTS + "GetFact"),
    Rule("PATCH", f"{{fact.name={_FACT}}}", _FACTS + "UpdateFact", "fact"),
    Rule("DELETE", f"{{name={_FACT}}}", _FACTS + "DeleteFact"),
    Rule("POST", f"{{name={_FACT}}}:undelete", _FACTS + "UndeleteFact", "*"),
    Rule("POST", f"{{name={_FACT}}}:rollback", _FACTS + "RollbackFact", "*"),
    Rule("GET", f"{{name={_FACT}}}/revisions", _FACTS + "ListFactRevisions"),
    Rule("POST", f"{{parent={_SPACE}}}/facts:batchCreate", _FACTS + "BatchCreateFacts", "*"),
    Rule("POST", f"{{parent={_SPACE}}}/facts:batchDelete", _FACTS + "BatchDeleteFacts", "*"),
    Rule("GET", f"{{parent={_SPACE}}}/facts:batchGet", _FACTS + "BatchGetFacts"),
    Rule("POST", f"{{parent={_SPACE}}}/facts:search", _FACTS + "SearchFacts", "*"),
    Rule("POST", f"{{parent={_SPACE}}}/facts:import", IMPORT),
    Rule("GET", f"{{parent={_SPACE}}}/facts:export", EXPORT),
    Rule("POST", f"{{parent={_SPACE}}}:generate", _INFERENCE + "Generate", "*"),
    Rule("POST", f"{{parent={_SPACE}}}:streamGenerate", _INFERENCE + "StreamGenerate", "*"),
    Rule("POST", f"{{parent={_SPACE}}}:compare", _INFERENCE + "Compare", "*"),
    Rule("POST", f"{{parent={_SPACE}}}:score", _INFERENCE + "Score", "*"),
    Rule("POST", f"{{parent={_SPACE}}}:weighFacts", _INFERENCE + "WeighFacts", "*"),
    Rule("POST", "namespaces", _NAMESPACES + "CreateNamespace", "namespace"),
    Rule("GET", "namespaces", _NAMESPACES + "ListNamespaces"),
    Rule("GET", f"{{name={_SPACE}}}", _NAMESPACES + "GetNamespace"),
    Rule("PATCH", f"{{namespace.name={_SPACE}}}", _NAMESPACES + "UpdateNamespace", "namespace"),
    Rule("DELETE", f"{{name={_SPACE}}}", _NAMESPACES + "DeleteNamespace"),
    Rule("POST", f"{{name={_SPACE}}}:reindex", _NAMESPACES + "ReindexNamespace", "*"),
    Rule("GET", f"{{parent={_SPACE}}}/reviews", _REVIEWS + "ListReviews"),
    Rule("GET", f"{{name={_REVIEW}}}", _REVIEWS + "GetReview"),
    Rule("POST", f"{{name={_REVIEW}}}:approve", _REVIEWS + "ApproveReview", "*"),
    Rule("POST", f"{{name={_REVIEW}}}:reject", _REVIEWS + "RejectReview", "*"),
    Rule("GET", "encoders", _ENCODERS + "ListEncoders"),
    Rule("GET", "{name=encoders/*}", _ENCODERS + "GetEncoder"),
    Rule("POST", "encoders:train", _ENCODERS + "TrainEncoder", "*"),
    Rule("POST", "{name=encoders/*}:evaluate", _ENCODERS + "EvaluateEncoder", "*"),
    Rule("POST", "{name=encoders/*}:calibrate", _ENCODERS + "CalibrateEncoder", "*"),
    Rule("POST", "encoders:sweepLayers", _ENCODERS + "SweepLayers", "*"),
    Rule("POST", f"{{parent={_SPACE}}}/edits", _EDITS + "CreateEdit", "*"),
    Rule("POST", f"{{parent={_SPACE}}}/edits:compare", _EDITS + "CompareEdits", "*"),
    Rule("GET", "edits", _EDITS + "ListEdits"),
    Rule("GET", "{name=edits/*}", _EDITS + "GetEdit"),
    Rule("GET", "{name=edits/*}/receipt", _EDITS + "GetEditReceipt"),
    Rule("POST", "{name=edits/*}:apply", _EDITS + "ApplyEdit", "*"),
    Rule("POST", "{name=edits/*}:revert", _EDITS + "RevertEdit", "*"),
    Rule("DELETE", "{name=edits/*}", _EDITS + "DeleteEdit"),
    Rule("GET", "injections", _MONITOR + "ListInjections"),
    Rule("GET", "injections:watch", WATCH),
    Rule("GET", "status", _MONITOR + "GetStatus"),
    Rule("POST", f"{{parent={_SPACE}}}:checkHallucination", _CIRCUITS + "CheckHallucination", "*"),
    Rule("POST", f"{{parent={_SPACE}}}:explainFacts", _CIRCUITS + "ExplainFacts", "*"),
    Rule("POST", f"{{parent={_SPACE}}}:studyEmergence", _CIRCUITS + "StudyEmergence", "*"),
    Rule("POST", f"{{parent={_SPACE}}}:studyGrafting", _CIRCUITS + "StudyGrafting", "*"),
    Rule("POST", "circuits:discoverCircuit", _CIRCUITS + "DiscoverCircuit", "*"),
    Rule("POST", "circuits:locateHeads", _CIRCUITS + "LocateHeads", "*"),
    Rule("POST", "circuits:traceAnswers", _CIRCUITS + "TraceAnswers", "*"),
    Rule("POST", "circuits:studyHeads", _CIRCUITS + "StudyHeads", "*"),
    Rule("POST", "circuits:studyKnockout", _CIRCUITS + "StudyKnockout", "*"),
    Rule("POST", "circuits:studyRecall", _CIRCUITS + "StudyRecall", "*"),
    Rule("GET", "operations", _OPERATIONS + "ListOperations"),
    Rule("GET", "{name=operations/*}", _OPERATIONS + "GetOperation"),
    Rule("POST", "{name=operations/*}:wait", _OPERATIONS + "WaitOperation", "*"),
    Rule("POST", "{name=operations/*}:cancel", _OPERATIONS + "CancelOperation", "*"),
    Rule("DELETE", "{name=operations/*}", _OPERATIONS + "DeleteOperation"),
)


def find(verb: str, path: str) -> tuple[Rule, dict[str, str]] | None:
    """The rule for a path behind `/v1/`, and its variables. HEAD is GET whose answer is not sent."""
    for rule in RULES:
        variables = rule.match("GET" if verb == "HEAD" and rule.method not in _STREAMED else verb, path)
        if variables is not None:
            return rule, variables
    return None


def verbs(path: str) -> list[str]:
    """With which verbs a path is known."""
    known = {rule.verb for rule in RULES if rule.pattern.fullmatch(path)}
    if known:
        known.add("OPTIONS")
    if find("HEAD", path) is not None:
        known.add("HEAD")
    return sorted(known)
