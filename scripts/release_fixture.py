"""Makes a tiny data directory of the schema that this program writes, for the test that every release opens.

    python -m scripts.release_fixture tests/releases

Run once for each new schema version, before the release: the files are never made again, because they are what
that version wrote. `schema-NNNN.db.gz` is the database, `schema-NNNN.json` what it says.
"""

from __future__ import annotations

import gzip
import json
import sqlite3
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from kb_store.contract import Store
from kb_store.model import (
    ConflictPolicy,
    Content,
    Context,
    CreateFact,
    DeleteFact,
    FactMutation,
    ImportRow,
    OperationRecord,
    RelationExamples,
    RollbackFact,
    UpdateFact,
)
from kb_store.sql import open_store
from kb_store.sql.migrate import HEAD

_BEGIN = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
_WRITER = Context(principal="crawler")


class _Clock:
    """A minute for each question."""

    def __init__(self) -> None:
        self._now = _BEGIN

    def __call__(self) -> datetime:
        self._now += timedelta(minutes=1)
        return self._now


def fill(store: Store) -> None:
    """Something of everything that a database can hold."""
    store.create_namespace("people", "People", frozenset({"child"}), _WRITER)
    store.create_namespace("empty", "", frozenset(), _WRITER)
    asked = RelationExamples("employer", ("Who pays {s}?", "{s} earns a living at"))
    store.update_namespace(
        "people", display_name=None, multi_valued=None, etag="", context=_WRITER, relation_examples=[asked]
    )
    anna = Content("Anna Keller", "employer", "Werft", ("A. Keller", "Кellер"), "register")
    steps: list[FactMutation] = [
        CreateFact("people", anna, "anna-employer"),
        CreateFact("people", Content("Anna Keller", "child", "Zoë"), "zoe"),
        CreateFact("people", Content("Anna Keller", "child", "Ole"), "ole"),
        CreateFact("people", Content("★", "born in", "Осло", valid_from=_BEGIN), "star"),
        UpdateFact("people", "anna-employer", {"object": "Reederei"}),
        RollbackFact("people", "anna-employer", 1),
        DeleteFact("people", "ole"),
    ]
    for number, step in enumerate(steps):
        store.write([step], Context(principal="crawler", request_id=f"request-{number}"))
    rows = [ImportRow(line, Content(f"Subject {line}", "colour", "green")) for line in range(2, 12)]
    store.import_rows("people", "import-1", rows, ConflictPolicy.FAIL, _WRITER).result()
    store.save_operation(OperationRecord("reindex-1", "reindex", True, b"meta", b"answer"))


def summary(store: Store) -> dict[str, Any]:
    """What the database says, so that a later version can be compared with it."""
    spaces = {item.namespace_id: item for item in store.list_namespaces(limit=100)}
    facts: dict[str, list[Any]] = {}
    for name in spaces:
        for fact in store.list_facts(name, limit=1000, show_deleted=True).facts:
            said = fact.content
            texts = [said.subject, said.relation, said.object, list(said.aliases), said.source]
            history = [
                [revision.action.value, revision.principal, revision.fact.content.object]
                for revision in store.list_revisions(name, fact.fact_id, limit=100)
            ]
            key = fact.fact_id if said.relation != "colour" else said.subject
            facts[f"{name}/{key}"] = [*texts, fact.deleted, fact.etag, fact.update_time.isoformat(), history]
    return {
        "namespaces": {
            name: [item.display_name, sorted(item.multi_valued_relations), item.revision, item.fact_count]
            for name, item in spaces.items()
        },
        "facts": facts,
        # Schemas before 0005 have none.
        **{
            f"asked/{name}": [[each.relation, list(each.examples)] for each in item.relation_examples]
            for name, item in spaces.items()
            if item.relation_examples
        },
        "last_sequence": store.last_sequence(),
        "outbox": len(store.read_outbox(after=0, limit=1000)),
        "imports": store.import_progress("people", "import-1").written,
        "operations": [item.operation_id for item in store.list_operations(limit=10)],
        "found": [
            store.facts_by_row("people", [hit.row])[hit.row].content.object
            for hit in store.search_lexical("people", "Where does A. Keller work?", limit=10)
        ],
    }


def main(folder: Path) -> None:
    """Refuses to write over what is there."""
    database, said = folder / f"schema-{HEAD}.db.gz", folder / f"schema-{HEAD}.json"
    if database.exists() or said.exists():
        raise SystemExit(f"{database} is there already: it is what that version wrote")
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "facts.db"
        store = open_store(path, clock=_Clock())
        fill(store)
        text = json.dumps(summary(store), indent=1, ensure_ascii=False, sort_keys=True)
        store.close()
        connection = sqlite3.connect(path)
        connection.execute("VACUUM INTO ?", (str(path.with_name("whole.db")),))
        connection.close()
        data = path.with_name("whole.db").read_bytes()
    said.write_text(text + "\n", encoding="utf-8")
    database.write_bytes(gzip.compress(data, mtime=0))
    print(database, said)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
