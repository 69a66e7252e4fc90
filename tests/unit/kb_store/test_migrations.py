from __future__ import annotations

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, inspect

from kb_store.errors import StoreError
from kb_store.model import Content, Context, CreateFact, DeleteFact
from kb_store.sql import open_store
from kb_store.sql.migrate import HEAD, current_version, migrate, newest_version
from kb_store.sql.sqlite import SqliteDialect
from kb_store.sql.tables import metadata


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return SqliteDialect(tmp_path / "facts.db").open_writer()


def objects(engine: Engine) -> set[tuple[str, str]]:
    with engine.connect() as connection:
        found = connection.exec_driver_sql("SELECT type, name FROM sqlite_master").all()
    return {(kind, name) for kind, name in found if not name.startswith(("sqlite_", "alembic_"))}


def test_the_program_works_with_the_newest_version() -> None:
    assert newest_version() == HEAD


def test_up_down_and_up_again(engine: Engine) -> None:
    migrate(engine)
    made = objects(engine)
    assert ("table", "facts_fts") in made
    migrate(engine, "base")
    assert objects(engine) == set()
    migrate(engine)
    assert objects(engine) == made
    with engine.connect() as connection:
        assert current_version(connection) == HEAD


def test_the_migrated_schema_is_the_one_in_the_code(engine: Engine) -> None:
    migrate(engine)

    def ours(_object: object, name: str | None, kind: str, _reflected: bool, _other: object) -> bool:
        return not (kind == "table" and str(name).startswith("facts_fts"))

    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"include_object": ours, "compare_type": True, "compare_server_default": True}
        )
        assert compare_metadata(context, metadata) == []
        reflected = inspect(connection)
        for table in metadata.sorted_tables:
            primary = reflected.get_pk_constraint(table.name)["constrained_columns"]
            assert primary == [column.name for column in table.primary_key]
        partial = connection.exec_driver_sql(
            "SELECT name FROM sqlite_master WHERE type = 'index' AND sql LIKE '%WHERE%' ORDER BY name"
        )
        assert partial.scalars().all() == ["facts_live_by_relation", "facts_to_purge"]


def test_metadata_can_make_the_same_tables(engine: Engine, tmp_path: Path) -> None:
    migrate(engine)
    other = SqliteDialect(tmp_path / "other.db").open_writer()
    metadata.create_all(other)
    statement = "SELECT name, sql FROM sqlite_master WHERE type = 'table' AND name = ?"
    for table in metadata.sorted_tables:
        texts = []
        for each in (engine, other):
            with each.connect() as connection:
                sql = connection.exec_driver_sql(statement, (table.name,)).one()[1]
            texts.append(" ".join(sql.split()))
        assert texts[0] == texts[1]


def test_a_newer_database_is_refused(engine: Engine, tmp_path: Path) -> None:
    migrate(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreError, match="newer version"):
        open_store(tmp_path / "facts.db")


def test_an_unknown_target_is_refused(engine: Engine) -> None:
    with pytest.raises(StoreError, match="0815"):
        migrate(engine, "0815")


def test_names_are_folded_anew(engine: Engine, tmp_path: Path) -> None:
    said = ["パパ", "東京 大学", "\u2764\ufe0f", "Nord\u00adlicht", "Coca-Cola™", "Zoë Müller", "Anna Keller"]
    store = open_store(tmp_path / "facts.db")
    store.create_namespace("a", "", frozenset(), Context())
    written = store.write([CreateFact("a", Content(name, "r", "o", ("Ωmega",))) for name in said], Context())
    store.close()
    migrate(engine, "0005")
    with engine.connect() as connection:
        found = set(connection.exec_driver_sql("SELECT folded_name FROM fact_names").scalars())
    assert found == {
        "ハハ",
        "東京 大学",
        "\ufe0f",
        "nord licht",
        "coca colatm",
        "zoe muller",
        "anna keller",
        "ωmega",
    }
    engine.dispose()
    store = open_store(tmp_path / "facts.db")
    for fact in written.facts:
        hits = store.search_lexical("a", f"Where is {fact.content.subject}?", limit=9)
        whole = store.facts_by_row("a", [hit.row for hit in hits if hit.score >= 2]).values()
        assert [found.content.subject for found in whole] == [fact.content.subject]
    assert store.check() == []
    store.write([DeleteFact("a", fact.fact_id) for fact in written.facts], Context())
    assert store.check() == []
    store.close()
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM fact_names").scalar() == 0
