"""What only PostgreSQL can show: migrations, durability, damage, lost connections, and long texts."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, inspect, make_url
from sqlalchemy.exc import DBAPIError

from kb_store.errors import InvalidInput, StoreError
from kb_store.model import Condition, Content, Context, CreateFact, FilterOp, Limits
from kb_store.sql import SqlStore, open_store
from kb_store.sql.migrate import HEAD, current_version, migrate
from kb_store.sql.postgres import PostgresDialect
from kb_store.sql.tables import metadata
from tests.postgres_server import PostgresServer, eventually

NS = "ns"
_OWN = {"fact_words", "facts_live_by_relation", "alembic_version"}


@pytest.fixture
def store(url: str) -> Iterator[SqlStore]:
    store = open_store(url)
    store.create_namespace(NS, "", frozenset(), Context())
    yield store
    store.close()


def fact(subject: str, relation: str = "relation") -> CreateFact:
    return CreateFact(NS, Content(subject, relation, "o"))


def tables(engine: Engine) -> set[str]:
    with engine.connect() as connection:
        return set(inspect(connection).get_table_names()) - {"alembic_version"}


def test_up_down_and_up_again(url: str) -> None:
    engine = PostgresDialect(make_url(url)).open_writer()
    migrate(engine)
    made = tables(engine)
    assert "fact_words" in made
    migrate(engine, "base")
    assert tables(engine) == set()
    migrate(engine)
    assert tables(engine) == made
    with engine.connect() as connection:
        assert current_version(connection) == HEAD
    engine.dispose()


def test_names_and_words_are_folded_anew(store: SqlStore, url: str) -> None:
    said = ["パパ", "東京 大学", "\u2764\ufe0f", "Nord\u00adlicht", "Zoë Müller", "ﷺ\u200b" * 100]
    store.write([fact(name) for name in said], Context())
    engine = PostgresDialect(make_url(url)).open_writer()

    def entries() -> list[set[object]]:
        with engine.connect() as connection:
            return [
                set(connection.exec_driver_sql(f'SELECT {column}, "row" FROM {table}').all())
                for table, column in (("fact_names", "folded_name"), ("fact_words", "word"))
            ]

    now = entries()
    migrate(engine, "0005")
    before = entries()
    assert [len(old - new) for old, new in zip(before, now, strict=True)] == [5, 4]
    migrate(engine)
    assert entries() == now
    assert store.check() == []
    engine.dispose()


def test_the_migrated_schema_is_the_one_in_the_code(url: str) -> None:
    engine = PostgresDialect(make_url(url)).open_writer()
    migrate(engine)

    def ours(_object: object, name: str | None, _kind: str, _reflected: bool, _other: object) -> bool:
        return name not in _OWN

    with engine.connect() as connection:
        options = {"include_object": ours, "compare_type": True, "compare_server_default": True}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, metadata) == []
        for table in metadata.sorted_tables:
            primary = inspect(connection).get_pk_constraint(table.name)["constrained_columns"]
            assert primary == [column.name for column in table.primary_key]
            for column in inspect(connection).get_columns(table.name):
                assert getattr(column["type"], "collation", None) in (None, "C"), column
    engine.dispose()


def refusal(url: str) -> str:
    try:
        open_store(url).close()
    except StoreError as error:
        return error.message
    return ""


def test_a_server_that_may_forget_is_refused(postgres_server: PostgresServer, url: str) -> None:
    with postgres_server.connect() as connection:
        connection.execute("ALTER SYSTEM SET full_page_writes = off")
        connection.execute("SELECT pg_reload_conf()")
        try:
            assert eventually(lambda: "full_page_writes" in refusal(url))
        finally:
            connection.execute("ALTER SYSTEM RESET full_page_writes")
            connection.execute("SELECT pg_reload_conf()")


def test_commits_wait_for_the_disk_and_readers_cannot_write(url: str) -> None:
    dialect = PostgresDialect(make_url(url + "%20-csynchronous_commit%3Doff"))
    writer, readers = dialect.open_writer(), dialect.open_readers()
    with writer.connect() as connection:
        assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"
    with readers.connect() as connection, pytest.raises(DBAPIError, match="read-only"):
        connection.exec_driver_sql("CREATE TABLE t (x int)")
    writer.dispose()
    readers.dispose()


def test_lost_connections_cost_nothing_once_they_are_back(
    store: SqlStore, postgres_server: PostgresServer
) -> None:
    store.write([fact("one")], Context())
    with postgres_server.connect() as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
        )
    store.write([fact("two")], Context())
    assert [item.content.subject for item in store.list_facts(NS, limit=9).facts] == ["one", "two"]


def test_texts_longer_than_an_index_entry(url: str) -> None:
    store = open_store(url, Limits(max_subject_length=4000, max_relation_length=4000, max_filter_length=4000))
    store.create_namespace(NS, "", frozenset(), Context())
    long = "ﷺ" * 1000  # each folds to eighteen characters
    other = "龍" * 3000
    store.write([fact(long, other), fact(other, long), fact(other + "x", long)], Context())
    listed = store.list_facts(NS, [Condition("subject", FilterOp.EQUAL, other)], limit=9).facts
    assert [item.content.subject for item in listed] == [other]
    again = store.write([fact(other, long)], Context())
    assert again.facts == listed
    assert store.search_lexical(NS, other, limit=5)
    words = " ".join(f"word{number}" for number in range(200))
    store.write([fact(words)], Context())
    assert [hit.score > 2 for hit in store.search_lexical(NS, f"What is {words}?", limit=5)] == [True]
    assert store.check() == []
    store.close()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("DELETE FROM fact_words WHERE word = 'keller'", "without some of their words"),
        ("UPDATE fact_words SET word = 'other' WHERE word = 'keller'", "words of other facts"),
        ("DELETE FROM fact_names WHERE folded_name = 'anna keller'", "live facts without a name"),
        ("UPDATE facts SET object = 'changed'", "differ from their newest revision"),
    ],
)
def test_damage_is_found(store: SqlStore, url: str, damage: str, said: str) -> None:
    store.write([fact("Anna Keller"), fact("Ben")], Context())
    assert store.check() == []
    engine = PostgresDialect(make_url(url)).open_writer()
    with engine.begin() as connection:
        connection.exec_driver_sql(damage)
    engine.dispose()
    assert any(said in problem for problem in store.check())


def test_what_is_secret_is_not_said(postgres_server: PostgresServer) -> None:
    place = f"postgresql://somebody:hunter2@/none?host={postgres_server.folder}"
    with pytest.raises(StoreError) as caught:
        open_store(place)
    assert "none at the local socket" in str(caught.value)
    assert "hunter2" not in f"{caught.value} {caught.value.details} {caught.value.__cause__}"


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    monkeypatch.delitem(sys.modules, "kb_store.sql.postgres")
    with pytest.raises(InvalidInput, match=r"interleaf\[postgres\]"):
        open_store("postgresql://x/y")


@pytest.mark.parametrize("place", ["postgresql+psycopg2://x/y", "mysql://x/y"])
def test_other_drivers_are_refused(place: str) -> None:
    with pytest.raises(InvalidInput, match="no backend"):
        open_store(place)
