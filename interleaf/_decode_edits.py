"""From protobuf messages to the values of `client.edits`."""

from __future__ import annotations

import json
from typing import Any

from interleaf import _edit_types as t
from interleaf._decode import named, time_of
from interleaf._pictures import Picture
from interleaf.v1 import edits_pb2


def edit(message: Any) -> t.Edit:
    """interleaf.v1.Edit."""
    return t.Edit(
        name=message.name,
        state=named(t.EditState, edits_pb2.EditState, message.state),
        method=message.method,
        namespace=message.namespace.removeprefix("namespaces/"),
        facts=tuple(map(_fact, message.facts)),
        settings=json.loads(message.settings) if message.settings else {},
        digest=message.digest,
        model_digest=message.model_digest,
        tensors=tuple(
            t.EditedTensor(each.name, each.kind, each.before, each.after) for each in message.tensors
        ),
        problems=tuple(message.problems),
        problem=message.problem,
        create_time=time_of(message, "create_time"),
        apply_time=time_of(message, "apply_time"),
        compute_seconds=message.compute_seconds,
        size_bytes=message.size_bytes,
        live=tuple(
            t.LiveCheck(each.prompt, each.target, _standing(each.before), _standing(each.after))
            for each in message.live
        ),
    )


def receipt(message: Any) -> t.EditReceipt:
    """interleaf.v1.EditReceipt."""
    return t.EditReceipt(
        edit=message.edit,
        lines=tuple(map(_line, message.lines)),
        texts=tuple(
            t.ReceiptText(each.fact, each.prompt, each.before, each.after, each.is_target)
            for each in message.texts
        ),
        problems=tuple(message.problems),
    )


def comparison(message: Any) -> t.EditComparison:
    """interleaf.v1.EditComparison."""
    return t.EditComparison(
        methods=tuple(
            t.MethodComparison(each.method, dict(each.figures), tuple(each.layers), each.said)
            for each in message.methods
        ),
        left_out=dict(message.left_out),
        picture=Picture(message.svg),
    )


def _fact(message: Any) -> t.EditFact:
    return t.EditFact(
        prompt=message.prompt,
        subject=message.subject,
        target=message.target,
        old=message.old,
        relation=message.relation,
        paraphrases=tuple(message.paraphrases),
        neighbours=tuple(message.neighbours),
    )


def _standing(message: Any) -> t.Standing:
    return t.Standing(message.log_probability, message.probability, message.rank)


def _line(message: Any) -> t.ReceiptLine:
    return t.ReceiptLine(
        fact=message.fact,
        kind=message.kind,
        prompt=message.prompt,
        object=message.object,
        is_new=message.is_new,
        before=_standing(message.before),
        after=_standing(message.after),
    )
