"""What only SQLite can show: pragmas, plans, a full disk, damage that `check` must see."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from kb_store.errors import InvalidInput, StorageFull, StoreError, StoreUnavailable
from kb_store.model import (
    Condition,
    ConflictPolicy,
    Content,
    Context,
    CreateFact,
    FilterOp,
    ImportRow,
    UpdateFact,
)
from kb_store.reviews import Quarantine
from kb_store.sql import SqlStore, open_store, sqlite
from kb_store.sql.sqlite import SqliteDialect

NS = "ns"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    store = open_store(tmp_path / "facts.db")
    store.create_namespace(NS, "", frozenset(), Context())
    yield store
    store.close()


def fact(number: int = 0, object_: str = "o") -> CreateFact:
    return CreateFact(NS, Content(f"subject {number}", "relation", object_), f"f{number}")


def test_commits_are_durable_and_readers_cannot_write(tmp_path: Path) -> None:
    dialect = SqliteDialect(tmp_path / "facts.db")
    expected = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
    with dialect.open_writer().connect() as connection:
        for pragma, value in expected.items():
            assert connection.exec_driver_sql(f"PRAGMA {pragma}").scalar() == value
    with dialect.open_readers().connect() as connection, pytest.raises(Exception, match="readonly"):
        connection.exec_driver_sql("CREATE TABLE t (x)")


def test_a_store_that_cannot_be_durable_does_not_open() -> None:
    for place in ("", ":memory:", "sqlite://", "sqlite:///:memory:", "mysql://x/y", "://"):
        with pytest.raises(InvalidInput, match="database"):
            open_store(place)


def test_no_database_at_all(tmp_path: Path) -> None:
    path = tmp_path / "facts.db"
    path.write_bytes(b"something else entirely, and long enough to be looked at" * 40)
    with pytest.raises(StoreError, match="not a database"):
        open_store(path)


def test_urls_and_strange_paths(tmp_path: Path) -> None:
    folder = tmp_path / "50% &?# ünïcode"
    open_store(folder / "facts.db").close()
    assert (folder / "facts.db").exists()
    open_store(f"sqlite:///{tmp_path}/url.db").close()
    assert (tmp_path / "url.db").exists()


def test_a_full_disk_refuses_writes_and_serves_reads(store: SqlStore) -> None:
    store.write([fact()], Context())
    with store._write_engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
    rows = [ImportRow(n, Content(f"s{n}", "r", "o" * 500)) for n in range(1, 500)]
    with pytest.raises(StorageFull):
        store.import_rows(NS, "imp", rows, ConflictPolicy.FAIL, Context()).result()
    with pytest.raises(StorageFull):
        store.write([fact(n, "o" * 500) for n in range(1, 900)], Context())
    assert store.get_fact(NS, "f0").content.object == "o"
    assert store.import_progress(NS, "imp").rows == 0
    assert store.get_namespace(NS).fact_count == 1
    with store._write_engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 4294967294")
    store.write([fact(1)], Context())
    assert store.check() == []


def test_a_full_disk_fails_the_whole_group(store: SqlStore) -> None:
    """SQLite may roll back everything by itself: nobody in the group may be told that it is safe."""
    with store._write_engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
    futures = [store.submit([fact(n, "o" * 500)], Context()) for n in range(600)]
    stored = []
    for number, future in enumerate(futures):
        error = future.exception()
        assert error is None or isinstance(error, StorageFull)
        if error is None:
            stored.append(f"f{number}")
    assert len(stored) < 600
    found = store.list_facts(NS, limit=1000).facts
    assert [each.fact_id for each in found] == stored


def test_a_lock_that_somebody_else_keeps_is_a_store_to_be_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "_BUSY_SECONDS", 0.1)
    store = open_store(tmp_path / "facts.db")
    store.create_namespace(NS, "", frozenset(), Context())
    with closing(sqlite3.connect(tmp_path / "facts.db")) as shell:
        shell.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable):
            store.write([fact()], Context())
        assert store.list_facts(NS, limit=1).facts == (), "readers do not wait for writers"
    store.write([fact()], Context())
    store.close()


def test_without_a_free_connection_reading_is_to_be_tried_again(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = sqlite._READER_CONNECTIONS + sqlite._READER_OVERFLOW
    monkeypatch.setattr(store._read_engine.pool, "_timeout", 0.01)
    with ExitStack() as taken:
        for _ in range(most):
            taken.enter_context(store._reading())
        with pytest.raises(StoreUnavailable):
            store.get_namespace(NS)
    assert store.get_namespace(NS).namespace_id == NS


@pytest.mark.parametrize("code", [sqlite3.SQLITE_BUSY_SNAPSHOT, sqlite3.SQLITE_LOCKED_SHAREDCACHE])
def test_extended_codes_of_a_busy_database(tmp_path: Path, code: int) -> None:
    cause = sqlite3.OperationalError("database is locked")
    cause.sqlite_errorcode = code
    known = SqliteDialect(tmp_path / "facts.db").translate(OperationalError("BEGIN", None, cause))
    assert isinstance(known, StoreUnavailable)


@pytest.mark.parametrize(
    "code", [sqlite3.SQLITE_CANTOPEN_ISDIR, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_FULL]
)
def test_a_dry_run_without_room_for_its_file_says_so(store: SqlStore, code: int) -> None:
    cause = sqlite3.OperationalError("unable to open database file")
    cause.sqlite_errorcode = code
    with pytest.raises(StorageFull, match="TMPDIR"), store.rehearsal()._writing():
        raise OperationalError("INSERT", None, cause)


def test_later_reviews_stand_behind_earlier_ones_whatever_the_clock_says(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hold(*subjects: str) -> None:
        given = [ImportRow(line, Content(subject, "relation", "o")) for line, subject in enumerate(subjects)]
        store.import_rows(
            NS, "imp", given, ConflictPolicy.FAIL, Context(), quarantine=Quarantine.ALL
        ).result()

    hold("a", "b")
    earlier = store.list_reviews(NS, limit=9)
    for day in range(2):
        monkeypatch.setattr(time, "time_ns", lambda day=day: 86_400 * 10**9 * day)
        hold(f"c{day}", f"d{day}")
    later = store.list_reviews(NS, limit=9, after=earlier[-1].review_id)
    assert [review.content.subject for review in later] == ["c0", "d0", "c1", "d1"]


def test_errors_hold_no_fact_texts(store: SqlStore, caplog: pytest.LogCaptureFixture) -> None:
    store.write([fact()], Context())
    with store._write_engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE fact_names")
    with pytest.raises(Exception, match="no such table") as failure:
        store.write([CreateFact(NS, Content("a secret", "is", "hidden"))], Context())
    assert "secret" not in str(failure.value)
    assert "secret" not in caplog.text


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("UPDATE facts SET object = 'forged' WHERE row = 1", "differ from their newest revision"),
        ("DELETE FROM fact_revisions WHERE row = 2 AND revision = 1", "gaps in their history"),
        ("UPDATE fact_revisions SET superseded_at = NULL WHERE row = 2", "gaps in their history"),
        ("DELETE FROM fact_names WHERE row = 1", "without a name"),
        ("INSERT INTO fact_names VALUES ('ns', 'ghost', 99)", "not live"),
        ("UPDATE namespaces SET live_count = 7", "counts 7 live facts"),
        ("UPDATE namespaces SET revision = 0", "is at revision 0"),
        ("UPDATE counters SET last_row = 0", "above the counter"),
        ("UPDATE counters SET last_sequence = 0", "above the counter"),
        ("UPDATE facts SET namespace = 'nowhere' WHERE row = 1", "foreign key"),
        ("INSERT INTO facts_fts(facts_fts) VALUES ('delete-all')", "full-text"),
    ],
)
def test_check_sees_damage(tmp_path: Path, damage: str, words: str) -> None:
    path = tmp_path / "facts.db"
    store = open_store(path)
    store.create_namespace(NS, "", frozenset(), Context())
    store.write([fact(n) for n in range(1, 4)], Context())
    store.write([UpdateFact(NS, "f2", {"object": "new"})], Context())
    assert store.check() == []
    store.close()
    with sqlite3.connect(path) as connection:
        connection.execute(damage)
    connection.close()
    store = open_store(path)
    found = store.check()
    store.close()
    assert any(words in sentence for sentence in found), found


def test_decisive_look_ups_use_their_indexes(store: SqlStore) -> None:
    """Without statistics the planner would read whole namespaces: each write and filter must probe."""
    statements: list[tuple[str, tuple[object, ...]]] = []

    def note(_connection, _cursor, statement, parameters, _context, many) -> None:  # type: ignore[no-untyped-def]
        if statement.startswith("SELECT") and not many:
            statements.append((statement, parameters))

    event.listen(store._write_engine, "before_cursor_execute", note)
    event.listen(store._read_engine, "before_cursor_execute", note)
    store.write([fact(), UpdateFact(NS, "f0", {"object": "x"})], Context(request_id="r"))
    row = ImportRow(1, Content("s", "r", "o"), "given")
    store.import_rows(NS, "imp", [row], ConflictPolicy.FAIL, Context()).result()
    store.list_facts(NS, [Condition("subject", FilterOp.EQUAL, "s")], limit=5)
    store.facts_by_row(NS, [1, 2])
    assert len(statements) >= 9
    plans = []
    with store._read_engine.connect() as connection:
        for statement, parameters in statements:
            plans += [
                line[3] for line in connection.exec_driver_sql("EXPLAIN QUERY PLAN " + statement, parameters)
            ]
    scans = [line for line in plans if line.startswith("SCAN")]
    assert set(scans) <= {
        "SCAN counters",
        "SCAN audit_head",  # a table of one row
        "SCAN wanted VIRTUAL TABLE INDEX 1:",
    }
    by_namespace_alone = [line for line in plans if line.endswith("(namespace=?)")]
    assert by_namespace_alone == []


def test_every_mutation_leaves_an_audit_row_and_a_refused_one_none(store: SqlStore) -> None:
    alice = Context(principal="key:alice", request_id="r1")
    store.write([fact(), UpdateFact(NS, "f0", {"object": "x"})], alice)
    with pytest.raises(StoreError):
        store.write([fact(1), fact(0)], Context())
    store.write([fact(2)], Context(validate_only=True))
    rows = [ImportRow(n, Content(f"s{n}", "r", "o")) for n in range(3)]
    store.import_rows(NS, "imp", rows, ConflictPolicy.FAIL, Context(principal="bob")).result()
    store.delete_namespace(NS, force=True, etag="", context=Context())
    with store._read_engine.connect() as connection:
        found = connection.exec_driver_sql(
            "SELECT principal, action, namespace, target, namespace_revision, request_id FROM audit ORDER BY id"
        ).all()
    assert [tuple(row) for row in found] == [
        ("anonymous", "namespace.create", NS, NS, 0, ""),
        ("key:alice", "fact.create", NS, "f0", 1, "r1"),
        ("key:alice", "fact.update", NS, "f0", 2, "r1"),
        ("bob", "import", NS, "imp", 5, ""),
        ("anonymous", "namespace.delete", NS, NS, 5, ""),
    ]
