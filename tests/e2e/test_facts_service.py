"""The Facts service through its wire: what each call does, and how it refuses."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import field_mask_pb2

from interleaf.v1 import facts_pb2 as pb
from tests.serving import PARENT, Running, get, listed, refusal, running, searchable

ANNA = ("Anna Keller", "employer", "Nordlicht Werft")


def test_create_and_get(server: Running, parent: str) -> None:
    made = server.add(
        *ANNA, parent=parent, fact_id="anna-employer", fact={"aliases": ["A. Keller"], "source": "HR"}
    )
    assert made.name == f"{parent}/facts/anna-employer"
    assert (made.revision, made.namespace_revision, list(made.aliases)) == (1, 1, ["A. Keller"])
    assert made.uid
    assert made.etag
    assert made.HasField("create_time")
    assert not made.HasField("delete_time")
    searchable(server, parent, 1)
    read = get(server, made.name)
    assert read.state == pb.FACT_STATE_SEARCHABLE
    read.state = made.state
    assert read == made


def test_the_same_triple_again_is_the_same_fact(server: Running, parent: str) -> None:
    first = server.add(*ANNA, parent=parent)
    again = server.add(*ANNA, parent=parent)
    assert (again.name, again.revision, again.namespace_revision) == (first.name, 1, 1)


def test_conflicts_say_what_stands_in_the_way(server: Running, parent: str) -> None:
    first = server.add(*ANNA, parent=parent)
    other = (*ANNA[:2], "Hafenwerk")
    refused = refusal(lambda: server.add(*other, parent=parent))
    assert (refused.code, refused.reason) == ("ALREADY_EXISTS", "CONFLICTING_FACT")
    assert first.name.endswith(refused.metadata["fact_id"])
    added = server.add(*other, parent=parent, on_conflict=pb.CONFLICT_POLICY_ADD)
    assert added.name != first.name
    replaced = server.add(*ANNA[:2], "Dritte AG", parent=parent, on_conflict=pb.CONFLICT_POLICY_REPLACE)
    assert (replaced.name, replaced.revision, replaced.object) == (first.name, 2, "Dritte AG")
    taken = refusal(lambda: server.add("x", "y", "z", parent=parent, fact_id=first.name.split("/")[-1]))
    assert (taken.code, taken.reason) == ("ALREADY_EXISTS", "ALREADY_EXISTS")


def test_validate_only_checks_and_writes_nothing(server: Running, parent: str) -> None:
    would = server.add(*ANNA, parent=parent, fact_id="dry", validate_only=True)
    assert would.object == "Nordlicht Werft"
    assert refusal(lambda: get(server, would.name)).code == "NOT_FOUND"
    server.add(*ANNA, parent=parent)
    refused = refusal(lambda: server.add(*ANNA[:2], "Hafenwerk", parent=parent, validate_only=True))
    assert refused.reason == "CONFLICTING_FACT"
    assert listed(server, parent) == ["Nordlicht Werft"]


def test_a_request_id_is_answered_once(server: Running, parent: str) -> None:
    key = str(uuid.uuid4())
    first = server.add(*ANNA, parent=parent, request_id=key)
    server.facts.DeleteFact(pb.DeleteFactRequest(name=first.name))
    assert server.add(*ANNA, parent=parent, request_id=key) == first
    assert listed(server, parent) == []
    for change in ({"fact_id": "other"}, {"on_conflict": pb.CONFLICT_POLICY_ADD}):
        refused = refusal(lambda change=change: server.add(*ANNA, parent=parent, request_id=key, **change))
        assert (refused.code, refused.reason) == ("INVALID_ARGUMENT", "REQUEST_ID_REUSED")
    # Another method under the same id is another request.
    refused = refusal(lambda: server.facts.DeleteFact(pb.DeleteFactRequest(name=first.name, request_id=key)))
    assert refused.reason == "REQUEST_ID_REUSED"


def test_request_ids_and_page_tokens_outlive_a_restart(tmp_path: Path) -> None:
    key = str(uuid.uuid4())
    with running(tmp_path) as server:
        first = server.add(*ANNA, request_id=key)
        server.add("Tom Berg", "employer", "Hafenwerk")
        page = server.facts.ListFacts(pb.ListFactsRequest(parent=PARENT, page_size=1))
    with running(tmp_path) as server:
        assert server.add(*ANNA, request_id=key) == first
        rest = server.facts.ListFacts(
            pb.ListFactsRequest(parent=PARENT, page_size=1, page_token=page.next_page_token)
        )
        assert [fact.object for fact in rest.facts] == ["Hafenwerk"]
        assert rest.next_page_token == ""


def test_update_masks(server: Running, parent: str) -> None:
    made = server.add(*ANNA, parent=parent, fact={"aliases": ["A. K."], "source": "HR"})

    def update(paths: list[str], **fields: Any) -> Any:
        return server.facts.UpdateFact(
            pb.UpdateFactRequest(
                fact=pb.Fact(name=made.name, **fields), update_mask=field_mask_pb2.FieldMask(paths=paths)
            )
        )

    # Without a mask: what is set.
    changed = update([], object="Hafenwerk")
    assert (changed.object, changed.source, changed.revision) == ("Hafenwerk", "HR", 2)
    # With one: what it names, also when that is empty.
    changed = update(["aliases", "source"], source="registry", object="not taken")
    assert (changed.object, changed.source, list(changed.aliases)) == ("Hafenwerk", "registry", [])
    # The same again changes nothing.
    assert update(["source"], source="registry").revision == changed.revision
    whole = update(["*"], subject="Anna Keller", relation="employer", object="Werft")
    assert (whole.object, whole.source) == ("Werft", "")
    for paths in (["uid"], ["name"], ["object", "nonsense"], ["fact.object"]):
        refused = refusal(lambda paths=paths: update(paths, object="x"))
        assert (refused.code, refused.fields) == ("INVALID_ARGUMENT", ("update_mask",))
    refused = refusal(lambda: update(["subject"]))
    assert (refused.code, refused.fields) == ("INVALID_ARGUMENT", ("fact.subject",))


def test_etags_guard_against_lost_updates(server: Running, parent: str) -> None:
    made = server.add(*ANNA, parent=parent)
    newer = server.facts.UpdateFact(
        pb.UpdateFactRequest(fact=pb.Fact(name=made.name, etag=made.etag, object="Hafenwerk"))
    )
    assert newer.etag != made.etag
    stale = {"name": made.name, "etag": made.etag}
    for call in (
        lambda: server.facts.UpdateFact(pb.UpdateFactRequest(fact=pb.Fact(object="x", **stale))),
        lambda: server.facts.DeleteFact(pb.DeleteFactRequest(**stale)),
        lambda: server.facts.RollbackFact(pb.RollbackFactRequest(revision=1, **stale)),
    ):
        refused = refusal(call)
        assert (refused.code, refused.reason) == ("ABORTED", "ETAG_MISMATCH")


def test_delete_undelete_and_rollback(server: Running, parent: str) -> None:
    made = server.add(*ANNA, parent=parent)
    server.facts.UpdateFact(pb.UpdateFactRequest(fact=pb.Fact(name=made.name, object="Hafenwerk")))
    deleted = server.facts.DeleteFact(pb.DeleteFactRequest(name=made.name))
    assert deleted.purge_time.ToDatetime() > deleted.delete_time.ToDatetime()
    assert get(server, made.name).HasField("delete_time")
    assert listed(server, parent) == []
    assert listed(server, parent, show_deleted=True) == ["Hafenwerk"]
    for call in (
        lambda: server.facts.DeleteFact(pb.DeleteFactRequest(name=made.name)),
        lambda: server.facts.UpdateFact(pb.UpdateFactRequest(fact=pb.Fact(name=made.name, object="x"))),
        lambda: server.facts.RollbackFact(pb.RollbackFactRequest(name=made.name, revision=1)),
    ):
        refused = refusal(call)
        assert (refused.code, refused.reason) == ("FAILED_PRECONDITION", "WRONG_STATE")
    assert not server.facts.UndeleteFact(pb.UndeleteFactRequest(name=made.name)).HasField("delete_time")
    back = server.facts.RollbackFact(pb.RollbackFactRequest(name=made.name, revision=1))
    assert (back.object, back.revision) == ("Nordlicht Werft", 5)
    refused = refusal(lambda: server.facts.RollbackFact(pb.RollbackFactRequest(name=made.name, revision=99)))
    assert refused.code == "NOT_FOUND"

    request = pb.ListFactRevisionsRequest(name=made.name, page_size=2)
    first = server.facts.ListFactRevisions(request)
    request.page_token = first.next_page_token
    second = server.facts.ListFactRevisions(request)
    request.page_token = second.next_page_token
    third = server.facts.ListFactRevisions(request)
    history = [*first.revisions, *second.revisions, *third.revisions]
    assert [entry.action for entry in history] == ["rollback", "undelete", "delete", "update", "create"]
    assert [entry.name for entry in history] == [f"{made.name}/revisions/{n}" for n in (5, 4, 3, 2, 1)]
    assert history[-1].fact.object == "Nordlicht Werft"
    assert history[0].principal == "anonymous"
    assert third.next_page_token == ""


def test_batches_are_all_or_nothing(server: Running, parent: str) -> None:
    def one(subject: str, obj: str, **more: Any) -> Any:
        fact = pb.Fact(subject=subject, relation="employer", object=obj)
        return pb.CreateFactRequest(fact=fact, **more)

    made = server.facts.BatchCreateFacts(
        pb.BatchCreateFactsRequest(parent=parent, requests=[one("Anna", "A"), one("Tom", "B", parent=parent)])
    )
    assert [fact.object for fact in made.facts] == ["A", "B"]
    assert made.namespace_revision == 2
    names = [fact.name for fact in made.facts]
    read = server.facts.BatchGetFacts(pb.BatchGetFactsRequest(parent=parent, names=reversed(names)))
    assert [fact.object for fact in read.facts] == ["B", "A"]

    refused = refusal(
        lambda: server.facts.BatchCreateFacts(
            pb.BatchCreateFactsRequest(parent=parent, requests=[one("Eva", "C"), one("Tom", "D")])
        )
    )
    assert refused.reason == "CONFLICTING_FACT"
    assert listed(server, parent) == ["A", "B"]
    missing = f"{parent}/facts/nobody"
    for call in (
        lambda: server.facts.BatchGetFacts(pb.BatchGetFactsRequest(parent=parent, names=[*names, missing])),
        lambda: server.facts.BatchDeleteFacts(
            pb.BatchDeleteFactsRequest(parent=parent, names=[*names, missing])
        ),
    ):
        assert refusal(call).code == "NOT_FOUND"
    assert listed(server, parent) == ["A", "B"]
    gone = server.facts.BatchDeleteFacts(pb.BatchDeleteFactsRequest(parent=parent, names=names))
    assert gone.namespace_revision == 4
    assert listed(server, parent) == []


@pytest.mark.parametrize(
    ("batch", "field"),
    [
        ({"requests": []}, "requests"),
        ({"requests": [{"parent": "namespaces/other"}]}, "requests[0].parent"),
        ({"requests": [{"request_id": str(uuid.uuid4())}]}, "requests[0].request_id"),
        ({"requests": [{"validate_only": True}]}, "requests[0].request_id"),
        ({"requests": [{"fact": {"subject": "a", "relation": "b"}}]}, "requests[0].fact.object"),
        ({"requests": [{}] * 1001}, "requests"),
    ],
)
def test_batches_name_the_part_that_is_wrong(server: Running, batch: dict[str, Any], field: str) -> None:
    refused = refusal(
        lambda: server.facts.BatchCreateFacts(pb.BatchCreateFactsRequest(parent=PARENT, **batch))
    )
    assert (refused.code, refused.fields) == ("INVALID_ARGUMENT", (field,))


@pytest.mark.parametrize(
    ("values", "field", "limit"),
    [
        ({"subject": "s" * 257, "relation": "r", "object": "o"}, "fact.subject", "max_subject_length"),
        ({"subject": "s", "relation": "r" * 129, "object": "o"}, "fact.relation", "max_relation_length"),
        ({"subject": "s", "relation": "r", "object": "o" * 513}, "fact.object", "max_object_length"),
        (
            {"subject": "s", "relation": "r", "object": "o", "aliases": ["a"] * 17},
            "fact.aliases",
            "max_aliases",
        ),
        (
            {"subject": "s", "relation": "r", "object": "o", "source": "x" * 513},
            "fact.source",
            "max_source_length",
        ),
        ({"subject": "", "relation": "r", "object": "o"}, "fact.subject", None),
        ({"subject": "a\0b", "relation": "r", "object": "o"}, "fact.subject", None),
        ({"subject": "a\nb", "relation": "r", "object": "o"}, "fact.subject", None),
        (
            {"subject": "s", "relation": "r", "object": "o", "valid_from": {"seconds": 10**15}},
            "fact.valid_from",
            None,
        ),
        (
            {"subject": "s", "relation": "r", "object": "o", "valid_to": {"nanos": -1}},
            "fact.valid_to",
            None,
        ),
        (
            {
                "subject": "s",
                "relation": "r",
                "object": "o",
                "valid_from": {"seconds": 2},
                "valid_to": {"seconds": 1},
            },
            "fact.valid_to",
            None,
        ),
    ],
)
def test_a_fact_that_breaks_a_rule_is_refused_by_field(
    server: Running, values: dict[str, Any], field: str, limit: str | None
) -> None:
    refused = refusal(
        lambda: server.facts.CreateFact(pb.CreateFactRequest(parent=PARENT, fact=pb.Fact(**values)))
    )
    assert (refused.code, refused.fields) == ("INVALID_ARGUMENT", (field,))
    assert refused.metadata.get("limit") == limit


@pytest.mark.parametrize(
    "name", ["", "x", "namespaces/", "namespaces/A/facts/b", "namespaces/a/facts/b/c", "namespaces/a/facts/ü"]
)
def test_names_that_are_none(server: Running, name: str) -> None:
    refused = refusal(lambda: get(server, name))
    assert (refused.code, refused.fields) == ("INVALID_ARGUMENT", ("name",))


@pytest.mark.parametrize("key", ["1", "nonsense", "0" * 36, "00000000-0000-0000-0000-000000000000", "ü" * 36])
def test_request_ids_that_are_none(server: Running, key: str) -> None:
    refused = refusal(lambda: server.add(*ANNA, request_id=key))
    assert (refused.code, refused.fields) == ("INVALID_ARGUMENT", ("request_id",))


def test_facts_of_a_namespace_that_is_not_there(server: Running) -> None:
    parent = "namespaces/nowhere"
    for call in (
        lambda: server.add(*ANNA, parent=parent),
        lambda: listed(server, parent),
        lambda: get(server, f"{parent}/facts/x"),
        lambda: server.facts.SearchFacts(pb.SearchFactsRequest(parent=parent, query="x")),
        lambda: server.facts.ExportFacts(pb.ExportFactsRequest(parent=parent, format=pb.FACT_FORMAT_CSV)),
    ):
        assert refusal(call).code == "NOT_FOUND"
