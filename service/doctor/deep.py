"""The deep look: SQL, index and compiled facts against each other. The server must be stopped: the data are locked.

Every fact is counted and every row compared; of each namespace a sample is embedded, searched for and compiled anew.
"""

from __future__ import annotations

import time
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from editors.kv.contract import FactEncoder
from kb_store.contract import Embedder, Store
from kb_store.errors import IndexCorrupt, StoreError
from kb_store.index import KeptIndex
from kb_store.index.files import check_file, read_manifest
from kb_store.indexer import Indexer
from kb_store.keys import key_text
from kb_store.model import Fact
from kb_store.rebuilding import differences
from kb_store.sql import open_store
from service import replicas
from service.config import MIB, ConfigError, Settings
from service.datadir import DataDir
from service.doctor.findings import Finding
from service.serving.compiled import CompiledFacts
from service.serving.model import device_of, dtype_of

_PAGE = 500
_BATCH = 10_000
_CATCH_UP_SECONDS = 600.0
_PAUSES = (0.0, 1.0, 2.0)  # seconds before each look at an index that others change
_SAMPLE, _COMPILED = 64, 8
_SAME = 0.99  # cosine of a vector with itself, as lossy as the index may keep it
# How far a number may be from itself, of a token's largest, since batches compute in another order: in units of the
# rounding of the model's type (bfloat16: .018 was seen, .047 is let pass; another fact's tokens are .27 away), or of
# half precision, in which tokens are kept.
_CLOSE, _CLOSE_KEPT = 6.0, 1e-3

_RESTORE = "restore the newest backup that verifies (interleaf backup list, verify, restore)"
_REINDEX = "start the server and run: interleaf namespaces reindex {}"
_REMADE = "it was made again from SQL just now; if it happens again, look at the disk"


@dataclass(frozen=True, slots=True)
class _Stand:
    """What is open."""

    store: Store
    index: KeptIndex
    waiting: Mapping[str, Set[int]]  # rows that the index has still to take in
    embedder: Embedder
    compiled: CompiledFacts | None
    close: float


def compare(settings: Settings, embedder: Embedder, encoder: FactEncoder | None) -> Iterator[Finding]:
    """Opens the data as the server would, lets the index catch up, and looks for differences."""
    if settings.store.database_url is None and not (settings.store.data_dir / "facts.db").exists():
        yield Finding("facts", "none yet")
        return
    try:
        with ExitStack() as undo:
            data = undo.enter_context(DataDir(settings.store.data_dir))
            shared = settings.retrieval.index != "faiss"
            if not shared:
                yield _index_files(data.index)
            store = open_store(settings.database, settings.limits.for_store())
            undo.callback(store.close)
            damage = store.check()
            state = "damaged:" if damage else "agrees with itself"
            yield Finding("database", state, "; ".join(damage), _RESTORE if damage else "")
            index = replicas.open_index(settings, data, embedder, undo)
            waiting: Mapping[str, Set[int]] = {}
            if shared:
                yield Finding("index", f"{settings.retrieval.index}, compared as it is in the database")
                waiting = _waiting(store, index)
                differing: Callable[[str], list[str]] = partial(_as_it_is, store, index, waiting)
            else:
                differing = _caught_up(store, index, embedder, undo)
            compiled = None if encoder is None else CompiledFacts(encoder, 64 * MIB, _COMPILED)
            rounding = torch.finfo(dtype_of(settings.engine, device_of(settings.engine))).eps
            stand = _Stand(store, index, waiting, embedder, compiled, max(_CLOSE_KEPT, _CLOSE * rounding))
            for namespace in _namespaces(store):
                yield _of_namespace(stand, namespace, differing(namespace))
    except (ConfigError, StoreError) as error:
        yield Finding("data", "", str(error))


def _caught_up(
    store: Store, index: KeptIndex, embedder: Embedder, undo: ExitStack
) -> Callable[[str], list[str]]:
    """How a namespace differs once the folder's index has caught up, and what was lost is made again."""
    indexer = Indexer(store, index, embedder)
    indexer.start()
    undo.callback(indexer.close)
    return partial(indexer.verify, timeout=_CATCH_UP_SECONDS)


def _waiting(store: Store, index: KeptIndex) -> Mapping[str, Set[int]]:
    found, after = defaultdict[str, set[int]](set), index.applied_sequence()
    while entries := store.read_outbox(after=after, limit=_BATCH):
        for entry in entries:
            found[entry.namespace].add(entry.row)
        after = entries[-1].sequence
    return found


def _as_it_is(store: Store, index: KeptIndex, waiting: Mapping[str, Set[int]], namespace: str) -> list[str]:
    """How a namespace differs in the index of all servers. It is theirs to change, and some may be at work: only what
    stays is told."""
    found: list[str] = []
    for pause in _PAUSES:
        time.sleep(pause)
        found = differences(store, index, namespace, waiting.get(namespace, frozenset()))
        if not found:
            break
    return found


def _namespaces(store: Store) -> Iterator[str]:
    after = ""
    while page := store.list_namespaces(limit=_PAGE, after=after):
        yield from (space.namespace_id for space in page)
        after = page[-1].namespace_id


def _index_files(folder: Path) -> Finding:
    """Before anybody repairs them."""
    try:
        manifest = read_manifest(folder)
    except IndexCorrupt as error:
        return Finding("index files", "", error.message, _REMADE)
    if manifest is None:
        return Finding("index files", "none yet")
    problems = []
    for entry in manifest.namespaces.values():
        try:
            check_file(folder, entry)
        except IndexCorrupt as error:
            problems.append(error.message)
    value = f"{len(manifest.namespaces)} files, their checksums"
    return Finding("index files", value, "; ".join(problems), _REMADE if problems else "")


def _of_namespace(stand: _Stand, namespace: str, wrong: Sequence[str]) -> Finding:
    count, sample = _sample(stand.store, namespace)
    stored = stand.store.get_namespace(namespace).fact_count
    problems = list(wrong)
    if count != stored:
        problems.append(f"it counts {stored} live facts and has {count}")
    problems += _vectors(stand, namespace, sample)
    problems += _full_text(stand.store, namespace, sample)
    looked = f"{len(sample)} of them embedded and searched for"
    if stand.compiled is not None:
        problems += _tokens(stand.compiled, [fact for _, fact in sample[:_COMPILED]], stand.close)
        looked += f", {len(sample[:_COMPILED])} compiled"
    value = f"{count} facts" + (f", {looked}" if sample else "")
    hint = _REINDEX.format(namespace) if problems else ""
    return Finding(f"namespace {namespace}", value, "; ".join(problems), hint)


def _sample(store: Store, namespace: str) -> tuple[int, list[tuple[int, Fact]]]:
    """How many there are, and some of them, each as likely as the others (and the same ones every time)."""
    rng = np.random.default_rng(zlib.crc32(namespace.encode()))
    kept, count = list[tuple[int, Fact]](), 0
    for batch in store.all_rows(namespace, batch=_BATCH):
        for item in batch:
            count += 1
            if len(kept) < _SAMPLE:
                kept.append(item)
            elif (place := int(rng.integers(count))) < _SAMPLE:
                kept[place] = item
    return count, kept


def _vectors(stand: _Stand, namespace: str, sample: Sequence[tuple[int, Fact]]) -> Iterator[str]:
    """Whether the index holds what the embedder says of the facts as they are in SQL now."""
    if not sample:
        return
    keys = [key_text(fact.content.relation, fact.content.subject) for _, fact in sample]
    off = []
    waiting = stand.waiting.get(namespace, frozenset())
    for (row, _), vector in zip(sample, stand.embedder.embed(keys), strict=True):
        cosine = stand.index.similarities(namespace, vector, [row]).get(row)
        if cosine is not None and cosine < _SAME and row not in waiting:
            off.append(row)
    if off:
        yield f"{len(off)} of {len(sample)} vectors are not those of their facts (rows {_some(off)})"


def _full_text(store: Store, namespace: str, sample: Sequence[tuple[int, Fact]]) -> Iterator[str]:
    """Whether each fact is found by its subject's whole name. Where many share a name, one of them is enough."""
    lost = []
    for row, fact in sample:
        hits = [hit.row for hit in store.search_lexical(namespace, fact.content.subject, limit=_SAMPLE)]
        if row not in hits and len(hits) < _SAMPLE:
            lost.append(row)
    if lost:
        yield f"{len(lost)} of {len(sample)} facts are not found by their subject (rows {_some(lost)})"


def _tokens(compiled: CompiledFacts, facts: Sequence[Fact], close: float) -> Iterator[str]:
    """Whether facts compile to numbers, and to the same ones alone as among others."""
    if not facts:
        return
    together = compiled.tokens(facts)
    for fact, tokens in zip(facts, together, strict=True):
        alone = CompiledFacts(compiled.encoder, MIB, 1).tokens([fact])[0]
        for name, one, other in (
            ("keys", tokens.keys, alone.keys),
            ("values", tokens.values, alone.values),
        ):
            if not torch.isfinite(one).all():
                yield f"the {name} of fact {fact.fact_id} are not finite"
            elif one.shape != other.shape or (one - other).abs().max() > close * one.abs().max():
                yield f"the {name} of fact {fact.fact_id} depend on the facts beside it"


def _some(rows: Sequence[int]) -> str:
    return ", ".join(map(str, rows[:5])) + (", ..." if len(rows) > 5 else "")
