"""Requests are built whole: ids, masks, revisions and times, before anything is sent."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from interleaf import KEEP, ChatMessage, EditFact, NewFact, Probe
from interleaf import _circuit_calls as circuits
from interleaf import _edit_calls as edits
from interleaf import _fact_calls as facts
from interleaf import _inference_calls as model
from interleaf import _namespace_calls as namespaces
from interleaf import _transfer_calls as files
from interleaf._session import Session
from interleaf._types import ImportReport
from interleaf.v1 import facts_pb2, inference_pb2, namespaces_pb2


@pytest.fixture
def session() -> Session:
    return Session("crew")


def test_every_mutation_has_a_request_id_of_its_own(session: Session) -> None:
    calls = [
        facts.add(session, "s", "r", "o"),
        facts.add_many(session, [("s", "r", "o")]),
        facts.update(session, "f", object="o"),
        facts.correct(session, "f", "o"),
        facts.delete(session, "f"),
        facts.delete_many(session, ["f"]),
        facts.undelete(session, "f"),
        facts.rollback(session, "f", 1),
        namespaces.create_namespace(session, "n"),
        namespaces.update_namespace(session, "n", display_name="N"),
        namespaces.delete_namespace(session, "n"),
        namespaces.reindex(session),
    ]
    ids = [call.request.request_id for call in calls]
    assert len(set(ids)) == len(ids)
    assert {uuid.UUID(value).version for value in ids} == {4}
    assert facts.add(session, "s", "r", "o", request_id="mine").request.request_id == "mine"


def test_add(session: Session) -> None:
    start = datetime(2026, 1, 2, tzinfo=UTC)
    request = facts.add(
        session,
        "Anna",
        "employer",
        "Werft",
        aliases=["A."],
        source="hr",
        valid_from=start,
        on_conflict="replace",
    ).request
    assert request.parent == "namespaces/crew"
    assert (request.fact.subject, request.fact.relation, request.fact.object) == ("Anna", "employer", "Werft")
    assert list(request.fact.aliases) == ["A."]
    assert request.fact.valid_from.ToDatetime(tzinfo=UTC) == start
    assert not request.fact.HasField("valid_to")
    assert request.on_conflict == facts_pb2.CONFLICT_POLICY_REPLACE


def test_words_and_times_are_checked(session: Session) -> None:
    with pytest.raises(ValueError, match="on_conflict: give one of fail, replace, add"):
        facts.add(session, "s", "r", "o", on_conflict="overwrite")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="time zone"):
        facts.add(session, "s", "r", "o", valid_from=datetime(2026, 1, 1))
    east, west = timezone(timedelta(hours=14)), timezone(-timedelta(hours=14))
    for beyond in (datetime.min.replace(tzinfo=east), datetime.max.replace(tzinfo=west)):
        with pytest.raises(ValueError, match="valid_from: must be in the years 1 to 9999 of UTC"):
            facts.add(session, "s", "r", "o", valid_from=beyond)
        with pytest.raises(ValueError, match="valid_to: must be in the years 1 to 9999 of UTC"):
            facts.update(session, "f", valid_to=beyond)
    with pytest.raises(ValueError, match="at least one field"):
        facts.update(session, "f")


@pytest.mark.parametrize(
    "call",
    [
        lambda session: facts.add(session, "s", "r", "o", aliases="ABC"),
        lambda session: facts.add_many(session, [NewFact("s", "r", "o", aliases="ABC")]),  # type: ignore[arg-type]
        lambda session: facts.update(session, "f", aliases="ABC"),
        lambda session: facts.get_many(session, "ABC"),
        lambda session: facts.delete_many(session, "ABC"),
        lambda session: model.ask(session, "Who?", facts="ABC"),
        lambda session: namespaces.create_namespace(session, "n", multi_valued_relations="ABC"),
        lambda session: namespaces.update_namespace(session, "n", multi_valued_relations="ABC"),
        lambda session: namespaces.update_namespace(session, "n", relation_examples={"r": "ABC"}),
        lambda session: circuits.study_recall(session, Probe("p", "s", "o"), attributes="ABC"),
        lambda session: edits.create(session, EditFact("p", "s", "t", paraphrases="ABC")),  # type: ignore[arg-type]
    ],
)
def test_a_text_is_not_taken_apart_into_letters(session: Session, call: Callable[[Session], object]) -> None:
    with pytest.raises(ValueError, match=r"give a list, such as \['ABC'\]"):
        call(session)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda session: model.ask(session, ["hi"]), "a chat is a list of ChatMessage"),
        (lambda session: model.ask(session, [{"role": "user"}]), "a chat is a list of ChatMessage"),
        (
            lambda session: model.ask(session, {"role": "user", "content": "x"}),
            "a chat is a list of ChatMessage",
        ),
        (lambda session: model.ask(session, None), "prompt: give a string, or a list of messages; got None"),
        (
            lambda session: facts.get(session, None),
            "give a fact's id, its full name, or the Fact itself; got None",
        ),
        (lambda session: files.import_data(session, b"a,b", format="csv"), r"such as lambda: \[data\]"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_a_sentence(
    session: Session, call: Callable[[Session], object], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        call(session)


def test_update_names_what_it_changes(session: Session) -> None:
    request = facts.update(session, "f", object="o", aliases=[], valid_from=None, valid_to=KEEP).request
    assert list(request.update_mask.paths) == ["object", "aliases", "valid_from"]
    assert not request.fact.HasField("valid_from")


def test_names_of_facts(session: Session) -> None:
    assert facts.get(session, "f").request.name == "namespaces/crew/facts/f"
    assert facts.get(session, "namespaces/x/facts/f").request.name == "namespaces/x/facts/f"
    fact = facts.get(session, "f").decode(facts_pb2.Fact(name="namespaces/y/facts/g"))
    assert facts.get(session, fact).request.name == "namespaces/y/facts/g"
    assert fact.id == "g"


def test_reads_ask_for_what_was_written(session: Session) -> None:
    written = facts_pb2.Fact(name="namespaces/crew/facts/f", namespace_revision=7)
    facts.add(session, "s", "r", "o").decode(written)
    assert facts.get(session, "f").request.min_revision == 7
    assert facts.list_facts(session).page("").request.min_revision == 7
    assert facts.search(session, "q").request.min_revision == 7
    assert model.ask(session, "q").request.retrieval.min_revision == 7
    assert model.ask(session, "q", use_facts=False).request.retrieval.min_revision == 0
    assert facts.get(session, "namespaces/other/facts/f").request.min_revision == 0
    facts.delete(session, "f").decode(facts_pb2.Fact(name=written.name, namespace_revision=5))
    assert facts.get(session, "f").request.min_revision == 7, "a late answer must not lower it"


def test_what_was_not_written_is_not_waited_for(session: Session) -> None:
    checked = facts_pb2.Fact(name="namespaces/crew/facts/f", namespace_revision=7)
    facts.add(session, "s", "r", "o", validate_only=True).decode(checked)
    assert session.min_revision() == 0
    session.wrote("namespaces/crew", 9)
    assert Session("crew", False, session.revisions).min_revision() == 0
    namespaces.delete_namespace(session, "crew").decode(namespaces_pb2.DeleteNamespaceResponse())
    assert session.min_revision() == 0


def test_new_facts_from_tuples_and_values(session: Session) -> None:
    request = facts.add_many(session, [("s", "r", "o"), NewFact("s", "r2", "o", fact_id="x")]).request
    assert [r.fact.relation for r in request.requests] == ["r", "r2"]
    assert [r.fact_id for r in request.requests] == ["", "x"]
    assert [r.request_id for r in request.requests] == ["", ""]


def test_prompts(session: Session) -> None:
    question = model.ask(session, "Who?").request
    assert question.WhichOneof("input") == "chat"
    assert [(m.role, m.content) for m in question.chat.messages] == [("user", "Who?")]
    assert model.ask(session, "Anna works for", complete=True).request.prompt == "Anna works for"
    chat = model.ask(session, [ChatMessage("system", "a"), {"role": "user", "content": "b"}]).request.chat
    assert [(m.role, m.content) for m in chat.messages] == [("system", "a"), ("user", "b")]
    with pytest.raises(ValueError, match="give a string"):
        model.ask(session, [ChatMessage("user", "b")], complete=True)


def test_sampling_and_retrieval(session: Session) -> None:
    request = model.compare(session, "q", max_tokens=5, stop="\n", facts=["f"], top_k=3).request
    assert request.sampling == inference_pb2.Sampling(max_tokens=5, stop=["\n"])
    assert list(request.retrieval.facts) == ["namespaces/crew/facts/f"]
    assert request.retrieval.top_k == 3
    with pytest.raises(ValueError, match="list of continuations"):
        model.score(session, "q", " Paris")


def test_original_weights_are_asked_for_by_name(session: Session) -> None:
    calls = [model.ask, model.stream]
    assert all(call(session, "q", original_weights=True).request.original_weights for call in calls)
    assert model.score(session, "q", ["a"], original_weights=True).request.original_weights
    assert not model.ask(session, "q").request.original_weights


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a.csv", "csv"), ("a.JSONL", "jsonl"), ("a.ndjson", "jsonl"), ("a.nt", "ntriples")],
)
def test_format_by_suffix(name: str, expected: str) -> None:
    assert files.format_of(name) == expected
    assert files.format_of(name, "csv") == "csv"


def test_format_that_nobody_knows() -> None:
    with pytest.raises(ValueError, match=r"a\.txt: the suffix does not say the format"):
        files.format_of("a.txt")


def test_an_upload_starts_anew_with_the_same_id(session: Session) -> None:
    upload = files.import_data(session, lambda: [b"x" * 70_000, b""], format="jsonl")
    first, second = list(upload.requests()), list(upload.requests())
    assert first == second
    assert first[0].header.import_id == upload.start.import_id != ""
    assert b"".join(message.data for message in first[1:]) == b"x" * 70_000
    assert max(len(message.data) for message in first[1:]) <= files.CHUNK


def test_an_upload_keeps_the_first_failures(session: Session) -> None:
    upload = files.import_data(session, lambda: [b""], format="csv", import_id="i")
    report = ImportReport("i")
    for line in range(0, 120, 30):
        failures = [facts_pb2.ImportFailure(line=n, reason="R", message="m") for n in range(line, line + 30)]
        report = upload.fold(report, facts_pb2.ImportFactsResponse(rows_failed=line + 30, failures=failures))
    assert [failure.line for failure in report.failures] == list(range(100))
    assert report.rows_failed == 120
    upload.fold(report, facts_pb2.ImportFactsResponse(namespace_revision=44, done=True))
    assert session.min_revision() == 44


def test_a_missing_file_is_said_at_once(session: Session) -> None:
    with pytest.raises(FileNotFoundError):
        files.import_file(session, "/nowhere/facts.csv")


def test_a_pipe_is_refused_before_it_is_waited_for(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe = tmp_path / "facts.csv"
    os.mkfifo(pipe)
    monkeypatch.setattr(Path, "open", lambda *args: pytest.fail("opened: that takes until somebody writes"))
    with pytest.raises(ValueError, match="only once"):
        files.import_file(session, pipe)


def test_a_folder_is_not_a_pipe(session: Session, tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        files.import_file(session, tmp_path, format="csv")
