"""What writing costs: durable creates, imports until durable and until searchable.

    python -m bench.store --size quick|full --seed N

creates_per_s_C: single-fact creates through the service (gRPC on loopback, server and clients on the same
machine, request_ids, every fact embedded in the background) from C concurrent clients; store_creates_per_s_C
the same on the store alone, from C threads. import_per_s_durable: committed in chunks of 2000.
import_per_s_searchable: from the first row until every fact is in the index, MiniLM embedding included.
ratio_sqlite_import: durable import / plain executemany of the same rows into one table, same pragmas and
chunks, in the same run. ratio_faiss_add: searchable import / adding ready vectors to a flat FAISS index;
ratio_embed_add: searchable import / embedding and adding them and nothing else.
"""

from __future__ import annotations

import sqlite3
import tempfile
import threading
import time
import uuid
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from bench.common import Bench, percentile, sample_keys
from bench.retrieval_world import world
from bench.store_service import create_through_service, running_server
from engines.embedder import SentenceEmbedder
from kb_store.contract import Store, Vectors
from kb_store.index import FaissIndex
from kb_store.indexer import Indexer
from kb_store.keys import key_text
from kb_store.model import ConflictPolicy, Content, Context, CreateFact, ImportRow
from kb_store.sql import open_store

NS = "bench"
CHUNK = 2000
CLIENTS = (1, 8, 64)
_PRAGMAS = (
    "PRAGMA journal_mode = wal",
    "PRAGMA synchronous = FULL",
    "PRAGMA wal_autocheckpoint = 4000",
    "PRAGMA cache_size = -65536",
)
_PATIENCE = 3600.0


class Supply:
    """Facts that were not used before."""

    def __init__(self, seed: int, count: int) -> None:
        self._facts = iter(world(count, seed))

    def take(self, count: int) -> list[Content]:
        """The next so many; all with different subjects and relations."""
        taken = [Content(fact.subject, fact.relation, fact.object) for fact in islice(self._facts, count)]
        if len(taken) != count:
            raise RuntimeError("the benchmark's world is too small")
        return taken


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the benchmark."""
    bench = Bench("store", description=__doc__ or "", argv=argv)
    rounds = 8 if bench.full else 3
    creates = {1: 100, 8: 400, 64: 800}
    imported = 100_000 if bench.full else 10_000
    searchable = 4_000 if bench.full else 600
    supply = Supply(bench.seed, rounds * (2 * sum(creates.values()) + searchable) + 3 * imported)
    embedder = SentenceEmbedder.load()
    keys: dict[str, Any] = {}
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with bench.stage("creates on the store"):
            keys |= _creates_on_store(folder, supply, creates, rounds, rows)
        with bench.stage("creates through the service"):
            keys |= _creates_through_service(folder, supply, creates, rounds, rows)
        with bench.stage(f"importing {imported} facts until durable"):
            keys |= _import_durable(bench, folder, supply.take(imported), rows)
        with bench.stage(f"importing {searchable} facts until searchable, {rounds} times"):
            keys |= _import_searchable(folder, supply, embedder, searchable, rounds, rows)
    bench.finish(
        keys,
        n=imported,
        model=f"all-MiniLM-L6-v2 {embedder.digest}",
        rows=rows,
        configuration={
            "chunk": CHUNK,
            "creates_per_round": creates,
            "rounds": rounds,
            "imported": imported,
            "searchable_per_round": searchable,
        },
    )


def _opened(path: Path) -> Store:
    store = open_store(path)
    store.create_namespace(NS, "", frozenset(), Context())
    return store


def _creates_on_store(
    folder: Path, supply: Supply, creates: dict[int, int], rounds: int, rows: list[dict[str, Any]]
) -> dict[str, float]:
    store = _opened(folder / "creates.db")
    rates: dict[int, list[float]] = {clients: [] for clients in CLIENTS}
    for number in range(rounds):
        for clients in CLIENTS:
            contents = supply.take(creates[clients])
            seconds = _create_from_threads(store, clients, contents)
            rates[clients].append(len(contents) / seconds)
            rows.append({"part": "store creates", "round": number, "clients": clients, "seconds": seconds})
    store.close()
    return {
        key: value
        for clients in CLIENTS
        for key, value in sample_keys(f"store_creates_per_s_{clients}", rates[clients]).items()
    }


def _create_from_threads(store: Store, clients: int, contents: Sequence[Content]) -> float:
    def client(number: int) -> None:
        for content in contents[number::clients]:
            store.write([CreateFact(NS, content)], Context(request_id=str(uuid.uuid4())))

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - started


def _creates_through_service(
    folder: Path, supply: Supply, creates: dict[int, int], rounds: int, rows: list[dict[str, Any]]
) -> dict[str, float]:
    rates: dict[int, list[float]] = {clients: [] for clients in CLIENTS}
    calls: dict[int, list[float]] = {clients: [] for clients in CLIENTS}
    with running_server(folder / "service") as address:
        for number in range(rounds):
            for clients in CLIENTS:
                contents = supply.take(creates[clients])
                *seconds, whole = create_through_service(address, clients, contents)
                rates[clients].append(len(contents) / whole)
                calls[clients] += seconds
                rows.append(
                    {"part": "service creates", "round": number, "clients": clients, "seconds": whole}
                )
    keys: dict[str, float] = {}
    for clients in CLIENTS:
        keys |= sample_keys(f"creates_per_s_{clients}", rates[clients])
        keys[f"create_p50_ms_{clients}"] = percentile(calls[clients], 50) * 1000
        keys[f"create_p99_ms_{clients}"] = percentile(calls[clients], 99) * 1000
    return keys


def _chunks(contents: Sequence[Content]) -> list[list[ImportRow]]:
    rows = [ImportRow(line, content) for line, content in enumerate(contents, start=1)]
    return [rows[start : start + CHUNK] for start in range(0, len(rows), CHUNK)]


def _bring(store: Store, contents: Sequence[Content]) -> None:
    for chunk in _chunks(contents):
        result = store.import_rows(NS, "bench", chunk, ConflictPolicy.FAIL, Context()).result()
        if result.failures:
            raise RuntimeError(f"a row was refused: {result.failures[0]}")


def _import_durable(
    bench: Bench, folder: Path, contents: list[Content], rows: list[dict[str, Any]]
) -> dict[str, float]:
    ours: list[float] = []
    plain: list[float] = []
    for number in range(3):
        store = _opened(folder / f"import{number}.db")
        started = time.perf_counter()
        _bring(store, contents)
        ours.append(len(contents) / (time.perf_counter() - started))
        store.close()
        plain.append(_plain_sqlite(folder / f"plain{number}.db", contents))
        rows.append({"part": "import", "round": number, "per_s": ours[-1], "plain_sqlite_per_s": plain[-1]})
        bench.log(f"{ours[-1]:.0f} facts/s, plain SQLite {plain[-1]:.0f} rows/s")
    ratios = [mine / theirs for mine, theirs in zip(ours, plain, strict=True)]
    return {**sample_keys("import_per_s_durable", ours), **sample_keys("ratio_sqlite_import", ratios)}


def _plain_sqlite(path: Path, contents: Sequence[Content]) -> float:
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in _PRAGMAS:
        connection.execute(pragma)
    connection.execute(
        "CREATE TABLE facts (row INTEGER PRIMARY KEY, subject TEXT, relation TEXT, object TEXT, aliases TEXT)"
    )
    started = time.perf_counter()
    for chunk in _chunks(contents):
        values = [(row.content.subject, row.content.relation, row.content.object, "[]") for row in chunk]
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(
            "INSERT INTO facts (subject, relation, object, aliases) VALUES (?, ?, ?, ?)", values
        )
        connection.execute("COMMIT")
    seconds = time.perf_counter() - started
    connection.close()
    return len(contents) / seconds


def _import_searchable(
    folder: Path,
    supply: Supply,
    embedder: SentenceEmbedder,
    count: int,
    rounds: int,
    rows: list[dict[str, Any]],
) -> dict[str, float]:
    rates: list[float] = []
    to_add: list[float] = []
    to_embed_and_add: list[float] = []
    for number in range(rounds):
        # Equally many fresh texts for both, since the indexer remembers what it embedded.
        contents, others = supply.take(count // 2), supply.take(count // 2)
        rate = _searchable_rate(folder / f"searchable{number}", contents, embedder)
        started = time.perf_counter()
        vectors = embedder.embed([key_text(content.relation, content.subject) for content in others])
        embedding = time.perf_counter() - started
        adding = _raw_faiss_seconds(vectors)
        rates.append(rate)
        to_add.append(rate / (len(others) / adding))
        to_embed_and_add.append(rate / (len(others) / (embedding + adding)))
        rows.append(
            {"part": "searchable", "round": number, "per_s": rate, "embed_s": embedding, "add_s": adding}
        )
    return {
        **sample_keys("import_per_s_searchable", rates),
        **sample_keys("ratio_faiss_add", to_add),
        **sample_keys("ratio_embed_add", to_embed_and_add),
    }


def _searchable_rate(folder: Path, contents: Sequence[Content], embedder: SentenceEmbedder) -> float:
    folder.mkdir()
    store = _opened(folder / "facts.db")
    index = FaissIndex(folder / "index", dimension=embedder.dimension, embedder=embedder.digest)
    indexer = Indexer(store, index, embedder)
    indexer.start()
    try:
        started = time.perf_counter()
        _bring(store, contents)
        if not indexer.wait_caught_up(_PATIENCE):
            raise RuntimeError("the index did not catch up")
        return len(contents) / (time.perf_counter() - started)
    finally:
        indexer.close()
        store.close()


def _raw_faiss_seconds(vectors: Vectors) -> float:
    index = faiss.IndexIDMap2(faiss.IndexFlatIP(vectors.shape[1]))
    numbers = np.arange(len(vectors), dtype=np.int64)
    started = time.perf_counter()
    for start in range(0, len(vectors), 512):
        index.add_with_ids(vectors[start : start + 512], numbers[start : start + 512])
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
