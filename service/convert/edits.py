"""Between messages and domain values: edits, receipts, comparisons."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from google.protobuf import any_pb2

from editors.metrics.counterfact import EditCase
from interleaf.v1 import edits_pb2
from kb_store.errors import InvalidInput
from service.commands.editing import EditPacking, EditWork, SeenEdit
from service.convert.facts import namespace_name, pack, stamp
from service.edits.shelf import EditState, case_of
from service.limits import LimitSettings
from service.validation import count, free_text

_STATES: Mapping[EditState, edits_pb2.EditState] = {
    EditState.COMPUTED: edits_pb2.EDIT_STATE_COMPUTED,
    EditState.APPLIED: edits_pb2.EDIT_STATE_APPLIED,
    EditState.NOT_RESTORED: edits_pb2.EDIT_STATE_NOT_RESTORED,
    EditState.DAMAGED: edits_pb2.EDIT_STATE_DAMAGED,
}
_KINDS = {"create-edit": "create", "compare-edits": "compare"}
_LONGEST_SETTINGS = 8192


def edit_name(edit_id: str) -> str:
    """The resource's name."""
    return f"edits/{edit_id}"


def edit_message(seen: SeenEdit) -> Any:
    """interleaf.v1.Edit."""
    stored = seen.stored
    message = edits_pb2.Edit(
        name=edit_name(stored.edit_id),
        state=_STATES[seen.state],
        problem=seen.problem,
        problems=stored.problems,
        size_bytes=stored.size_bytes,
        live=[
            edits_pb2.LiveCheck(
                prompt=line["prompt"],
                target=line["target"],
                before=_standing(line["before"]),
                after=_standing(line["after"]),
            )
            for line in seen.live
        ],
    )
    if stored.asked is None:
        return message
    asked, manifest = stored.asked, stored.manifest
    message.method, message.namespace = asked.method, namespace_name(asked.namespace)
    message.facts.extend(_fact(values) for values in asked.cases)
    message.settings = json.dumps(manifest["config"], sort_keys=True)
    message.digest, message.model_digest = manifest["digest"], manifest["model_digest"]
    message.tensors.extend(edits_pb2.EditedTensor(**tensor) for tensor in manifest["tensors"])
    message.create_time.CopyFrom(stamp(datetime.fromisoformat(asked.created)))
    message.compute_seconds = asked.seconds
    if seen.applied_time:
        message.apply_time.CopyFrom(stamp(datetime.fromisoformat(seen.applied_time)))
    return message


def receipt_message(edit_id: str, receipt: Mapping[str, Any]) -> Any:
    """interleaf.v1.EditReceipt."""
    return edits_pb2.EditReceipt(
        edit=edit_name(edit_id),
        lines=[
            edits_pb2.ReceiptLine(
                **{**line, "before": _standing(line["before"]), "after": _standing(line["after"])}
            )
            for line in receipt["lines"]
        ],
        texts=[edits_pb2.ReceiptText(**text) for text in receipt["said"]],
        problems=receipt["problems"],
    )


def cases_of(facts: Sequence[Any], limits: LimitSettings, most: int) -> list[EditCase]:
    """Messages as cases; every field is checked, and named when it is refused."""
    count("facts", facts, "edits.max_facts", most, minimum=1)
    cases = []
    for index, fact in enumerate(facts):
        field = f"facts[{index}]"
        longest = limits.max_prompt_length
        for name in ("prompt", "subject", "target", "old", "relation"):
            optional = name in ("old", "relation")
            free_text(
                f"{field}.{name}", getattr(fact, name), "max_prompt_length", longest, required=not optional
            )
        for name in ("paraphrases", "neighbours"):
            texts = getattr(fact, name)
            count(f"{field}.{name}", texts, "max_continuations", limits.max_continuations)
            for at, text in enumerate(texts):
                free_text(f"{field}.{name}[{at}]", text, "max_prompt_length", longest)
        request = {name: getattr(fact, name) for name in ("prompt", "subject", "target", "relation")}
        values = {
            "request": request,
            "true": fact.old,
            "paraphrases": list(fact.paraphrases),
            "neighbours": list(fact.neighbours),
        }
        cases.append(case_of(values, field))
    return cases


def settings_of(text: str) -> dict[str, Any]:
    """A JSON object; empty: none."""
    free_text("settings", text, "settings", _LONGEST_SETTINGS, required=False)
    if not text:
        return {}
    try:
        found = json.loads(text, parse_constant=lambda name: _refuse(f"{name} is no number"))
    except (ValueError, RecursionError) as error:  # also thousands of digits, or of brackets
        raise InvalidInput("settings", f"is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise InvalidInput("settings", "must be a JSON object")
    return found


def _refuse(why: str) -> Any:
    raise InvalidInput("settings", why)


def _work(work: EditWork) -> bytes:
    return pack(
        edits_pb2.EditWorkMetadata(
            edit=edit_name(work.edit_id) if work.edit_id else "",
            kind=_KINDS[work.kind],
            methods=work.methods,
            facts=work.facts,
            stage=work.progress.stage,
            share=work.progress.share,
            start_time=stamp(work.start_time),
        )
    )


def _subject(metadata: bytes) -> tuple[str, tuple[str, ...]]:
    message = edits_pb2.EditWorkMetadata()
    any_pb2.Any.FromString(metadata).Unpack(message)
    return message.edit.removeprefix("edits/"), tuple(message.methods)


def comparison_message(result: Mapping[str, Any]) -> Any:
    """interleaf.v1.EditComparison, of a comparison's plain values and its picture."""
    return edits_pb2.EditComparison(
        methods=[_method(values) for values in result["methods"]],
        left_out=result["left_out"],
        svg=result["svg"],
    )


def _method(values: Mapping[str, Any]) -> Any:
    return edits_pb2.MethodComparison(
        method=values["method"],
        figures={name: value for name, value in values["figures"].items() if value is not None},
        layers=values["layers"],
        readings=[edits_pb2.LayerReading(**reading) for reading in values["readings"]],
        heads=[edits_pb2.HeadChange(**head) for head in values["heads"]],
        said=values["said"],
    )


def _fact(values: Mapping[str, Any]) -> Any:
    request = values["request"]
    return edits_pb2.EditFact(
        **request,
        old=values["true"],
        paraphrases=values["paraphrases"],
        neighbours=values["neighbours"],
    )


def _standing(values: Mapping[str, Any]) -> Any:
    said = values["log_probability"]
    return edits_pb2.ObjectStanding(log_probability=said, probability=math.exp(said), rank=values["rank"])


EDIT_PACKING = EditPacking(
    work=_work,
    subject=_subject,
    edit=lambda seen: pack(edit_message(seen)),
    comparison=lambda result: pack(comparison_message(result)),
)
