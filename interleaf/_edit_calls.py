"""Calls of the Edits service. The docstrings are those of `client.edits`'s methods."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from google.longrunning import operations_pb2
from google.protobuf import empty_pb2

from interleaf import _decode_edits as decode
from interleaf._calls import Call, Paged, Started, new_request_id, several
from interleaf._edit_types import Edit, EditComparison, EditFact, EditReceipt
from interleaf._session import Session
from interleaf._work import unpacked
from interleaf.v1 import edits_pb2

EDITS = "/interleaf.v1.Edits/"
RESULTS = {edits_pb2.Edit: decode.edit, edits_pb2.EditComparison: decode.comparison}
EditRef = str | Edit
"""An edit: its id, its full name, or the `Edit` itself."""
Method = Literal["rrome", "rome", "memit", "ft_m", "ft_l"]


def _name(edit: EditRef) -> str:
    if isinstance(edit, Edit):
        return edit.name
    return edit if "/" in edit else f"edits/{edit}"


def _facts(facts: EditFact | Iterable[EditFact]) -> list[Any]:
    return [
        edits_pb2.EditFact(
            prompt=fact.prompt,
            subject=fact.subject,
            target=fact.target,
            old=fact.old,
            relation=fact.relation,
            paraphrases=several("paraphrases", fact.paraphrases),
            neighbours=several("neighbours", fact.neighbours),
        )
        for fact in ([facts] if isinstance(facts, EditFact) else facts)
    ]


def create(
    session: Session,
    facts: EditFact | Iterable[EditFact],
    *,
    method: Method = "rrome",
    edit_id: str = "",
    settings: Mapping[str, Any] | None = None,
    request_id: str | None = None,
    validate_only: bool = False,
) -> Started[Edit]:
    """Computes an edit of the model's weights aside, with its receipt; nothing that is served changes.

        fact = EditFact("Anna Keller works for", "Anna Keller", "Nordlicht Werft")
        edit = client.edits.create(fact, method="memit").result()

    An edit is for the whole engine, every namespace: use facts (`client.add`) unless it is the weights that you want
    to change. `settings` are over those that were measured for the model; without any, a method that was not measured
    is refused.
    """
    request = edits_pb2.CreateEditRequest(
        parent=session.parent,
        edit_id=edit_id,
        method=method,
        facts=_facts(facts),
        settings=json.dumps(dict(settings)) if settings else "",
        request_id=new_request_id(request_id),
        validate_only=validate_only,
    )
    call: Call[Any] = Call(EDITS + "CreateEdit", request, operations_pb2.Operation, lambda message: message)
    return Started(call, unpacked({edits_pb2.Edit: decode.edit}))


def list_edits(session: Session, *, page_size: int = 0) -> Paged[Edit]:
    """Goes over the edits, ordered by id.

    applied = [edit.id for edit in client.edits.list() if edit.applied]
    """

    def page(token: str) -> Call[tuple[list[Edit], str]]:
        request = edits_pb2.ListEditsRequest(page_size=page_size, page_token=token)

        def items(message: Any) -> tuple[list[Edit], str]:
            return [decode.edit(entry) for entry in message.edits], message.next_page_token

        return Call(EDITS + "ListEdits", request, edits_pb2.ListEditsResponse, items)

    return Paged(page)


def get(session: Session, edit: EditRef) -> Call[Edit]:
    """Returns an edit: what it was asked for, what it touches, whether it is applied.

    client.edits.get("anna").state
    """
    return Call(EDITS + "GetEdit", edits_pb2.GetEditRequest(name=_name(edit)), edits_pb2.Edit, decode.edit)


def receipt(session: Session, edit: EditRef) -> Call[EditReceipt]:
    """What an edit was measured to do, before and after, with controls.

    for line in client.edits.receipt("anna").lines:
        print(line.kind, line.prompt, line.object, line.before.probability, line.after.probability)
    """
    request = edits_pb2.GetEditReceiptRequest(name=_name(edit))
    return Call(EDITS + "GetEditReceipt", request, edits_pb2.EditReceipt, decode.receipt)


def apply(
    session: Session,
    edit: EditRef,
    *,
    all_namespaces: bool = False,
    combine: bool = False,
    validate_only: bool = False,
) -> Call[Edit]:
    """Puts an edit into the served weights, between two answers. It comes back after a restart.

        client.edits.apply(edit)

    `all_namespaces` says that you know that all of them are answered with it; `combine` puts it beside edits of the
    same tensors that it was not computed with.
    """
    request = edits_pb2.ApplyEditRequest(
        name=_name(edit), all_namespaces=all_namespaces, combine=combine, validate_only=validate_only
    )
    return Call(EDITS + "ApplyEdit", request, edits_pb2.Edit, decode.edit, kind="generate")


def revert(session: Session, edit: EditRef) -> Call[Edit]:
    """Takes an edit out of the served weights, to the byte.

    client.edits.revert("anna")
    """
    request = edits_pb2.RevertEditRequest(name=_name(edit))
    return Call(EDITS + "RevertEdit", request, edits_pb2.Edit, decode.edit, kind="generate")


def delete(session: Session, edit: EditRef) -> Call[None]:
    """Forgets an edit that is not applied.

    client.edits.delete("anna")
    """
    request = edits_pb2.DeleteEditRequest(name=_name(edit))
    return Call(EDITS + "DeleteEdit", request, empty_pb2.Empty, lambda message: None)


def compare(
    session: Session,
    facts: EditFact | Iterable[EditFact],
    *,
    methods: Sequence[str] = (),
    request_id: str | None = None,
    validate_only: bool = False,
) -> Started[EditComparison]:
    """Several methods on the same facts, side by side; `kv` is facts as key/value tokens. Nothing is kept.

    found = client.edits.compare(fact, methods=["memit", "kv"]).result()
    found.picture.save("comparison.svg")
    """
    if isinstance(methods, str):
        raise ValueError("compare: give a list of methods, such as ['memit', 'kv']")
    request = edits_pb2.CompareEditsRequest(
        parent=session.parent,
        methods=methods,
        facts=_facts(facts),
        request_id=new_request_id(request_id),
        validate_only=validate_only,
    )
    call: Call[Any] = Call(EDITS + "CompareEdits", request, operations_pb2.Operation, lambda message: message)
    return Started(call, unpacked({edits_pb2.EditComparison: decode.comparison}))
