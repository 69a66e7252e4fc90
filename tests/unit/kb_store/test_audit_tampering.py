"""Whatever is done to the audit log behind the store's back is found, by its chain or by a head that was noted."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from kb_store.audit import AuditEntry, AuditHead, chained
from kb_store.errors import InvalidInput
from kb_store.model import Content, Context, CreateFact
from kb_store.sql import open_store
from service.cli.audit import app

RUNNER = CliRunner()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    store = open_store(tmp_path / "facts.db")
    store.create_namespace("people", "", frozenset(), Context(principal="anna"))
    for number in range(4):
        store.write([CreateFact("people", Content(f"S{number}", "r", "o"), f"f{number}")], Context("anna"))
    store.close()
    return tmp_path


def change(data: Path, *statements: str) -> None:
    connection = sqlite3.connect(data / "facts.db")
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def audit(data: Path, *words: str, code: int = 0) -> str:
    result = RUNNER.invoke(app, ["audit", *words, "--data-dir", str(data)])
    assert result.exit_code == code, (result.output, result.exception)
    return result.output


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE audit SET principal = 'eve' WHERE id = 2", "entry 2 is not what was written"),
        ("UPDATE audit SET target = 'f9' WHERE id = 5", "entry 5 is not what was written"),
        ("UPDATE audit SET recorded_at = recorded_at + 1 WHERE id = 1", "entry 1 is not what was written"),
        ("DELETE FROM audit WHERE id = 3", "entries 3 to 3 are missing"),
        ("DELETE FROM audit WHERE id = 1", "entries 1 to 1 are missing"),
        ("DELETE FROM audit WHERE id = 5", "the log ends with entry 4; its last was 5"),
        ("DELETE FROM audit", "the log ends with entry 0; its last was 5"),
        (
            "INSERT INTO audit SELECT 6, recorded_at, principal, action, namespace, target, namespace_revision, "
            "request_id, digest FROM audit WHERE id = 5",
            "entry 6 is not what was written",
        ),
    ],
)
def test_a_change_breaks_the_chain(data: Path, statement: str, said: str) -> None:
    assert "5 entries, head 5:" in audit(data, "verify")
    change(data, statement)
    assert said in audit(data, "verify", code=1)
    store = open_store(data / "facts.db")
    assert [problem for problem in store.check() if problem.startswith("audit log:")]
    store.close()


def test_a_chain_that_was_made_anew_is_told_from_the_one_that_was_noted(data: Path) -> None:
    noted = json.loads(audit(data, "verify", "--json"))["head"]
    store = open_store(data / "facts.db")
    entries = list(reversed(store.read_audit(limit=10)))
    store.close()
    digest, statements = AuditHead().digest, []
    for entry in entries:
        changed = replace(entry, principal="eve") if entry.entry_id == 3 else entry
        digest = chained(digest, changed)
        statements.append(
            f"UPDATE audit SET principal = '{changed.principal}', digest = '{digest}' WHERE id = {entry.entry_id}"
        )
    change(data, *statements, f"UPDATE audit_head SET digest = '{digest}'")
    assert "5 entries" in audit(data, "verify")
    assert "entry 5 is not the one that was written down" in audit(data, "verify", "--head", noted, code=1)


def test_a_log_that_went_on_still_holds_the_head_that_was_noted(data: Path) -> None:
    noted = json.loads(audit(data, "verify", "--json"))["head"]
    store = open_store(data / "facts.db")
    store.write([CreateFact("people", Content("T", "r", "o"))], Context("anna"))
    store.close()
    assert "6 entries" in audit(data, "verify", "--head", noted)
    assert "NUMBER:DIGEST" in audit(data, "verify", "--head", "5:xyz", code=1)


def test_it_is_shown_newest_first_without_texts_of_facts(data: Path) -> None:
    entries = json.loads(audit(data, "show", "--json", "--limit", "2"))["entries"]
    assert [entry["entry_id"] for entry in entries] == [5, 4]
    assert entries[0]["principal"] == "anna"
    assert entries[0]["target"] == "f3"
    assert "S3" not in json.dumps(entries)
    shown = audit(data, "show", "--namespace", "people")
    assert "fact.create" in shown
    assert "no database" in audit(data / "nowhere", "show", code=1)


def test_what_goes_into_a_pipe_is_not_cut_to_the_width_of_a_terminal(data: Path) -> None:
    caller = "p" * 70
    store = open_store(data / "facts.db")
    store.write([CreateFact("people", Content("T", "r", "o"))], Context(caller))
    store.close()
    assert caller in audit(data, "show")


@pytest.mark.parametrize("text", ["", "5", "5:", "x:" + "0" * 64, "5:" + "g" * 64])
def test_heads_that_are_none(text: str) -> None:
    with pytest.raises(InvalidInput):
        AuditHead.parse(text)


def test_a_digest_covers_where_a_field_ends() -> None:
    one = AuditEntry(1, 0, "anna", "b", "n", "t", 1, "")
    other = AuditEntry(1, 0, "annab", "", "n", "t", 1, "")
    assert chained("x", one) != chained("x", other)
