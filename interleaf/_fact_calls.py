"""Calls of the Facts service, but for import and export. The docstrings are those of the client's methods."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from google.protobuf import field_mask_pb2

from interleaf import _decode
from interleaf._calls import Call, Paged, new_request_id, several
from interleaf._session import FactRef, Session
from interleaf._types import Fact, NewFact, OnConflict, Revision, SearchBy, SearchHit
from interleaf.v1 import facts_pb2

V = TypeVar("V")
FACTS = "/interleaf.v1.Facts/"
POLICIES = {
    "fail": facts_pb2.CONFLICT_POLICY_FAIL,
    "replace": facts_pb2.CONFLICT_POLICY_REPLACE,
    "add": facts_pb2.CONFLICT_POLICY_ADD,
}
MODES = {
    "fused": facts_pb2.SEARCH_MODE_FUSED,
    "dense": facts_pb2.SEARCH_MODE_DENSE,
    "lexical": facts_pb2.SEARCH_MODE_LEXICAL,
}


class Keep(enum.Enum):
    """Says that a field stays as it is, where None means to clear it."""

    KEEP = "keep"


KEEP = Keep.KEEP


def choose(what: str, choices: Mapping[str, V], given: str) -> V:
    """The protobuf value of a word."""
    if given not in choices:
        raise ValueError(f"{what}: give one of {', '.join(choices)}; got {given!r}")
    return choices[given]


def _set_time(message: Any, field: str, when: datetime | None) -> None:
    if when is None:
        return
    if when.tzinfo is None:
        raise ValueError(f"{field}: give a time with a time zone, such as datetime.now(UTC)")
    try:
        getattr(message, field).FromDatetime(when)
    except OverflowError:
        raise ValueError(f"{field}: must be in the years 1 to 9999 of UTC") from None


def _new_fact(fact: NewFact | tuple[str, str, str]) -> NewFact:
    return fact if isinstance(fact, NewFact) else NewFact(*fact)


def _create_request(fact: NewFact, on_conflict: OnConflict) -> Any:
    message = facts_pb2.Fact(
        subject=fact.subject,
        relation=fact.relation,
        object=fact.object,
        aliases=several("aliases", fact.aliases),
        source=fact.source,
    )
    _set_time(message, "valid_from", fact.valid_from)
    _set_time(message, "valid_to", fact.valid_to)
    return facts_pb2.CreateFactRequest(
        fact_id=fact.fact_id, fact=message, on_conflict=choose("on_conflict", POLICIES, on_conflict)
    )


def _written(session: Session, validate_only: bool) -> Callable[[Any], Fact]:
    def decode(message: Any) -> Fact:
        fact = _decode.fact(message)
        if not validate_only:
            session.wrote(fact.name, fact.namespace_revision)
        return fact

    return decode


def add(
    session: Session,
    subject: str,
    relation: str,
    object: str,
    *,
    aliases: Sequence[str] = (),
    source: str = "",
    valid_from: datetime | None = None,
    valid_to: datetime | None = None,
    fact_id: str = "",
    on_conflict: OnConflict = "fail",
    request_id: str | None = None,
    validate_only: bool = False,
) -> Call[Fact]:
    """Adds a fact. When this returns, the fact survives a crash and the next question is answered with it.

        fact = client.add("Anna Keller", "employer", "Nordlicht Werft", aliases=["A. Keller"])

    A relation has one object per subject unless the namespace says otherwise. When the subject has another
    one already, or this one for another time, `on_conflict` decides: "fail" raises ConflictingFact, "replace"
    gives the existing fact a new revision, "add" keeps both.
    """
    new = NewFact(
        subject, relation, object, several("aliases", aliases), source, valid_from, valid_to, fact_id
    )
    request = _create_request(new, on_conflict)
    request.parent = session.parent
    request.request_id = new_request_id(request_id)
    request.validate_only = validate_only
    return Call(FACTS + "CreateFact", request, facts_pb2.Fact, _written(session, validate_only))


def add_many(
    session: Session,
    facts: Iterable[NewFact | tuple[str, str, str]],
    *,
    on_conflict: OnConflict = "fail",
    request_id: str | None = None,
    validate_only: bool = False,
) -> Call[tuple[Fact, ...]]:
    """Adds several facts in one transaction: all or none. For thousands of facts use `import_file`.

    client.add_many([("Anna Keller", "employer", "Nordlicht Werft"), ("Anna Keller", "home town", "Husum")])
    """
    request = facts_pb2.BatchCreateFactsRequest(
        parent=session.parent,
        requests=[_create_request(_new_fact(fact), on_conflict) for fact in facts],
        request_id=new_request_id(request_id),
        validate_only=validate_only,
    )

    def decode(message: Any) -> tuple[Fact, ...]:
        if not validate_only:
            session.wrote(session.parent, message.namespace_revision)
        return tuple(map(_decode.fact, message.facts))

    return Call(FACTS + "BatchCreateFacts", request, facts_pb2.BatchCreateFactsResponse, decode)


def get(session: Session, fact: FactRef) -> Call[Fact]:
    """Returns a fact as it is now, also a deleted one (`fact.deleted`). Raises NotFound."""
    name = session.fact_name(fact)
    request = facts_pb2.GetFactRequest(name=name, min_revision=session.min_revision(name))
    return Call(FACTS + "GetFact", request, facts_pb2.Fact, _decode.fact)


def get_many(session: Session, facts: Iterable[FactRef]) -> Call[tuple[Fact, ...]]:
    """Returns several facts in the order asked. Raises NotFound when one is missing."""
    request = facts_pb2.BatchGetFactsRequest(
        parent=session.parent, names=map(session.fact_name, several("facts", facts))
    )

    def decode(message: Any) -> tuple[Fact, ...]:
        return tuple(map(_decode.fact, message.facts))

    return Call(FACTS + "BatchGetFacts", request, facts_pb2.BatchGetFactsResponse, decode)


def list_facts(
    session: Session, filter: str = "", *, show_deleted: bool = False, page_size: int = 0
) -> Paged[Fact]:
    """Goes over the facts in the order of their creation, fetching pages as it needs them.

        for fact in client.list('relation = "employer" AND subject : "Keller"'):
            print(fact.subject, fact.object)

    Fields: subject, relation, object, source, fact_id. Operators: = (equal), != (different), : (contains).
    """

    def page(token: str) -> Call[tuple[list[Fact], str]]:
        request = facts_pb2.ListFactsRequest(
            parent=session.parent,
            page_size=page_size,
            page_token=token,
            filter=filter,
            show_deleted=show_deleted,
            min_revision=session.min_revision(),
        )

        def decode(message: Any) -> tuple[list[Fact], str]:
            return [_decode.fact(fact) for fact in message.facts], message.next_page_token

        return Call(FACTS + "ListFacts", request, facts_pb2.ListFactsResponse, decode)

    return Paged(page)


def update(
    session: Session,
    fact: FactRef,
    *,
    subject: str | None = None,
    relation: str | None = None,
    object: str | None = None,
    aliases: Sequence[str] | None = None,
    source: str | None = None,
    valid_from: datetime | Keep | None = KEEP,
    valid_to: datetime | Keep | None = KEEP,
    etag: str = "",
    request_id: str | None = None,
    validate_only: bool = False,
) -> Call[Fact]:
    """Changes the fields that are given, as a new revision.

        client.update(fact, object="Hafenwerk Husum", etag=fact.etag)

    With an etag it raises EtagMismatch when somebody else wrote in between. `valid_from=None` clears the time.
    """
    message = facts_pb2.Fact(name=session.fact_name(fact), etag=etag)
    changes = {"subject": subject, "relation": relation, "object": object, "source": source}
    mask = [field for field, value in changes.items() if value is not None]
    for field in mask:
        setattr(message, field, changes[field])
    if aliases is not None:
        message.aliases.extend(several("aliases", aliases))
        mask.append("aliases")
    for field, when in (("valid_from", valid_from), ("valid_to", valid_to)):
        if not isinstance(when, Keep):
            _set_time(message, field, when)
            mask.append(field)
    if not mask:
        raise ValueError("update: give at least one field to change, such as the object")
    request = facts_pb2.UpdateFactRequest(
        fact=message,
        update_mask=field_mask_pb2.FieldMask(paths=mask),
        request_id=new_request_id(request_id),
        validate_only=validate_only,
    )
    return Call(FACTS + "UpdateFact", request, facts_pb2.Fact, _written(session, validate_only))


def correct(session: Session, fact: FactRef, object: str, *, etag: str = "") -> Call[Fact]:
    """Gives a fact another object: the next answer follows it. `rollback` takes it back.

    client.correct(fact, "Hafenwerk Husum")
    """
    return update(session, fact, object=object, etag=etag)


def delete(
    session: Session,
    fact: FactRef,
    *,
    etag: str = "",
    request_id: str | None = None,
    validate_only: bool = False,
) -> Call[Fact]:
    """Deletes softly: the model stops using the fact at once; `undelete` brings it back until `purge_time`."""
    request = facts_pb2.DeleteFactRequest(
        name=session.fact_name(fact),
        etag=etag,
        request_id=new_request_id(request_id),
        validate_only=validate_only,
    )
    return Call(FACTS + "DeleteFact", request, facts_pb2.Fact, _written(session, validate_only))


def undelete(
    session: Session,
    fact: FactRef,
    *,
    etag: str = "",
    request_id: str | None = None,
    validate_only: bool = False,
) -> Call[Fact]:
    """Brings a softly deleted fact back."""
    request = facts_pb2.UndeleteFactRequest(
        name=session.fact_name(fact),
        etag=etag,
        request_id=new_request_id(request_id),
        validate_only=validate_only,
    )
    return Call(FACTS + "UndeleteFact", request, facts_pb2.Fact, _written(session, validate_only))


def delete_many(
    session: Session,
    facts: Iterable[FactRef],
    *,
    request_id: str | None = None,
    validate_only: bool = False,
) -> Call[tuple[Fact, ...]]:
    """Deletes several facts in one transaction: all or none."""
    request = facts_pb2.BatchDeleteFactsRequest(
        parent=session.parent,
        names=map(session.fact_name, several("facts", facts)),
        request_id=new_request_id(request_id),
        validate_only=validate_only,
    )

    def decode(message: Any) -> tuple[Fact, ...]:
        if not validate_only:
            session.wrote(session.parent, message.namespace_revision)
        return tuple(map(_decode.fact, message.facts))

    return Call(FACTS + "BatchDeleteFacts", request, facts_pb2.BatchDeleteFactsResponse, decode)


def history(session: Session, fact: FactRef, *, page_size: int = 0) -> Paged[Revision]:
    """Goes over what a fact said over time, newest first.

    for revision in client.history(fact):
        print(revision.number, revision.action, revision.fact.object)
    """
    name = session.fact_name(fact)

    def page(token: str) -> Call[tuple[list[Revision], str]]:
        request = facts_pb2.ListFactRevisionsRequest(name=name, page_size=page_size, page_token=token)

        def decode(message: Any) -> tuple[list[Revision], str]:
            return [_decode.revision(entry) for entry in message.revisions], message.next_page_token

        return Call(FACTS + "ListFactRevisions", request, facts_pb2.ListFactRevisionsResponse, decode)

    return Paged(page)


def rollback(
    session: Session,
    fact: FactRef,
    revision: int,
    *,
    etag: str = "",
    request_id: str | None = None,
    validate_only: bool = False,
) -> Call[Fact]:
    """Makes an earlier revision the current one, as a new revision.

    client.rollback(fact, 1)
    """
    request = facts_pb2.RollbackFactRequest(
        name=session.fact_name(fact),
        revision=revision,
        etag=etag,
        request_id=new_request_id(request_id),
        validate_only=validate_only,
    )
    return Call(FACTS + "RollbackFact", request, facts_pb2.Fact, _written(session, validate_only))


def search(
    session: Session, query: str, *, top_k: int = 0, mode: SearchBy = "fused"
) -> Call[tuple[SearchHit, ...]]:
    """Finds the facts that a question would be answered with, best first.

    client.search("Who does Anna Keller work for?", top_k=3)
    """
    request = facts_pb2.SearchFactsRequest(
        parent=session.parent,
        query=query,
        top_k=top_k,
        mode=choose("mode", MODES, mode),
        min_revision=session.min_revision(),
    )

    def decode(message: Any) -> tuple[SearchHit, ...]:
        return tuple(map(_decode.search_hit, message.hits))

    return Call(FACTS + "SearchFacts", request, facts_pb2.SearchFactsResponse, decode)
