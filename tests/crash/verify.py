"""After a kill: is everything that was acknowledged there, and nothing else, and does the index agree?"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from kb_store.errors import NotFound
from kb_store.index import FaissIndex
from kb_store.keys import key_text
from kb_store.model import ConflictPolicy
from kb_store.sql import SqlStore
from tests.crash.ledger import NS, RELATION, Ledger, Operation, State
from tests.crash.stand import HashEmbedder, stand

_SAMPLE = 50
_PATIENCE = 120.0


@dataclass
class Findings:
    """What went wrong, by kind, in sentences."""

    lost: list[str] = field(default_factory=list)
    phantom: list[str] = field(default_factory=list)
    duplicate: list[str] = field(default_factory=list)
    inconsistent: list[str] = field(default_factory=list)

    def all(self) -> list[str]:
        return [*self.lost, *self.phantom, *self.duplicate, *self.inconsistent]


def verify(folder: Path, ledger: Ledger, last_revision: int, seed: int) -> tuple[Findings, int]:
    """Compares store and index with the ledger, and settles what was under way by sending it again.
    Returns the namespace's revision for the next comparison."""
    found = Findings()
    with stand(folder) as (store, index, indexer):
        found.inconsistent += store.check()
        try:
            revision = store.get_namespace(NS).revision
        except NotFound:
            if ledger.states:
                found.lost.append("the whole namespace")
            return found, 0
        if revision < last_revision:
            found.inconsistent.append(f"the revision fell from {last_revision} to {revision}")
        _settle(store, ledger, found)
        stored = _read(store, found)
        _compare(stored, ledger.states, found)
        revision = store.get_namespace(NS).revision
        if revision != sum(state.revision for state in stored.values()):
            found.inconsistent.append(f"the namespace's revision {revision} is not the number of changes")
        for import_id, rows in ledger.imported.items():
            if (progress := store.import_progress(NS, import_id).rows) != rows:
                found.inconsistent.append(f"import {import_id} is at {progress} rows instead of {rows}")
        if not indexer.wait_caught_up(_PATIENCE):
            found.inconsistent.append(f"the index did not catch up in {_PATIENCE:.0f} s")
        found.inconsistent += indexer.verify(NS, timeout=_PATIENCE)
        found.inconsistent += _wrong_vectors(store, index, random.Random(seed))
    return found, revision


def _read(store: SqlStore, found: Findings) -> dict[str, State]:
    stored: dict[str, State] = {}
    uids: Counter[str] = Counter()
    after: int | None = 0
    while after is not None:
        page = store.list_facts(NS, limit=5000, after=after, show_deleted=True)
        after = page.next_after
        for fact in page.facts:
            if fact.fact_id in stored:
                found.duplicate.append(f"{fact.fact_id} is there twice")
            uids[fact.uid] += 1
            said = fact.content
            stored[fact.fact_id] = State(fact.revision, said.subject, said.object, not fact.deleted)
    found.duplicate += [f"uid {uid} is there {count} times" for uid, count in uids.items() if count > 1]
    return stored


def _compare(stored: dict[str, State], expected: dict[str, State], found: Findings) -> None:
    for fact_id, state in expected.items():
        seen = stored.get(fact_id)
        if seen is None or seen.revision < state.revision:
            found.lost.append(f"{fact_id}: acknowledged {state}, found {seen}")
        elif seen.revision > state.revision:
            found.phantom.append(f"{fact_id}: acknowledged {state}, found {seen}")
        elif seen != state:
            found.inconsistent.append(f"{fact_id}: acknowledged {state}, found {seen}")
    found.phantom += [f"{fact_id}: never submitted" for fact_id in stored.keys() - expected.keys()]


def _settle(store: SqlStore, ledger: Ledger, found: Findings) -> None:
    """Sends again what was under way, as a client would. It must have happened wholly or not at all, and the
    second sending must not make it happen twice."""
    for operation in ledger.under_way.values():
        happened = _happened(store, ledger, operation, found)
        if operation.kind == "import":
            if not happened:
                store.import_rows(
                    NS, operation.import_id, operation.rows(), ConflictPolicy.FAIL, operation.context
                ).result()
        elif store.write(operation.mutations(), operation.context).replayed != happened:
            found.duplicate.append(f"request {operation.request_id} was not recognised when it came again")
        ledger.commit(operation)
    ledger.under_way.clear()


def _happened(store: SqlStore, ledger: Ledger, operation: Operation, found: Findings) -> bool:
    changed = 0
    for fact_id, state in ledger.outcome(operation).items():
        try:
            changed += store.get_fact(NS, fact_id).revision == state.revision
        except NotFound:
            continue
    if changed not in (0, len(operation.items)):
        found.inconsistent.append(
            f"{operation.kind} {operation.request_id} happened in part: {changed} facts"
        )
    return changed > 0


def _wrong_vectors(store: SqlStore, index: FaissIndex, chance: random.Random) -> list[str]:
    facts = [pair for batch in store.all_rows(NS, batch=5000) for pair in batch]
    embedder = HashEmbedder()
    wrong = []
    for row, fact in chance.sample(facts, min(_SAMPLE, len(facts))):
        (vector,) = embedder.embed([key_text(RELATION, fact.content.subject)])
        hits = index.search(NS, vector, limit=1)
        if not hits or hits[0][0] != row or hits[0][1] < 0.999:
            wrong.append(f"the index has another vector for {fact.fact_id} (row {row}): {hits}")
    return wrong
