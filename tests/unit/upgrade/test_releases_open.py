"""A database that any release wrote opens, says what it said, and can be written to."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from kb_store.model import Content, Context, CreateFact
from kb_store.sql import open_store
from kb_store.sql.migrate import HEAD
from scripts.release_fixture import summary
from tests.serving import listed, running

RELEASES = Path(__file__).parents[2] / "releases"
VERSIONS = sorted(path.name.removesuffix(".db.gz") for path in RELEASES.glob("schema-*.db.gz"))


def unpack(version: str, folder: Path) -> Path:
    """A data directory as that version left it."""
    (folder / "facts.db").write_bytes(gzip.decompress((RELEASES / f"{version}.db.gz").read_bytes()))
    return folder


def test_every_schema_has_a_directory() -> None:
    """A new migration comes with one: python -m scripts.release_fixture tests/releases."""
    first_to_last = [f"schema-{number:04d}" for number in range(1, int(HEAD) + 1)]
    assert first_to_last == VERSIONS


@pytest.mark.parametrize("version", VERSIONS)
def test_it_opens_and_says_what_it_said(version: str, tmp_path: Path) -> None:
    store = open_store(unpack(version, tmp_path) / "facts.db")
    try:
        expected = json.loads((RELEASES / f"{version}.json").read_text(encoding="utf-8"))
        assert json.loads(json.dumps(summary(store))) == expected
        assert store.check() == []
        written = store.write(
            [CreateFact("people", Content("Anna Keller", "child", "Ida"))], Context(principal="later")
        )
        assert written.namespace_revision == expected["namespaces"]["people"][2] + 1
        assert store.check() == []
    finally:
        store.close()


@pytest.mark.parametrize("version", VERSIONS)
def test_the_service_serves_it(version: str, tmp_path: Path) -> None:
    with running(unpack(version, tmp_path)) as server:
        assert listed(server, "namespaces/people", filter='subject = "Anna Keller"') == ["Werft", "Zoë"]
        server.add("Anna Keller", "child", "Ida", parent="namespaces/people")
    store = open_store(tmp_path / "facts.db")
    try:
        assert store.check() == []
    finally:
        store.close()
