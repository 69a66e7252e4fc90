"""The composition: every part made, connected, started, and stopped in the right order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

import structlog

from engines.embedder import SentenceEmbedder
from engines.transformers_engine import TransformersEngine
from kb_store.contract import Embedder, Store
from kb_store.errors import AlreadyExists, NotFound, StoreError
from kb_store.indexer import Indexer
from kb_store.model import Context
from kb_store.quotas import FactQuotas
from kb_store.retrieval import Retriever
from kb_store.sql import open_store
from service import replicas
from service.canary import Canary
from service.commands.answering import Answer, Answering, Ask, Model
from service.commands.scoring import Scoring
from service.config import DEFAULT_TOP_K, MIB, ConfigError, Settings
from service.datadir import DataDir, database_lock, overlooked
from service.edits.jobs import LabModel
from service.edits.live import LiveEdits
from service.observability.meters import Meters
from service.observability.tracing import Traces, open_tracing
from service.operations import Operations
from service.page_tokens import PageTokens
from service.replicas import Replica
from service.revisions import Revisions
from service.serving import model as served
from service.serving.compile_worker import CompileWorker, NothingCompiled
from service.serving.compiled import CompiledFacts
from service.serving.injections import Injections
from service.serving.knowledge import KnowledgeSource
from service.studies.study import Study
from service.workers import Workers

T = TypeVar("T")

_log = structlog.get_logger("interleaf.app")


def load_embedder(path: Path | None) -> Embedder:
    """The configured embedder."""
    return SentenceEmbedder.load(path)


@dataclass(frozen=True)
class Parts:
    """What the servicers are made of."""

    settings: Settings
    store: Store
    indexer: Indexer
    retriever: Retriever
    tokens: PageTokens
    workers: Workers
    revisions: Revisions
    operations: Operations
    replica: Replica
    answering: Answering
    injections: Injections
    meters: Meters
    traces: Traces | None
    compiled: CompiledFacts | None
    model: Model | None
    scoring: Scoring
    has_model: bool
    live: LiveEdits | None  # None where the engine's weights cannot be changed
    lab: LabModel | None
    study: Study | None  # None where the engine cannot be looked into
    knowledge: KnowledgeSource
    top_k: int  # facts that a query retrieves unless it says how many


class App:
    """Everything behind the network. `open` blocks; the rest belongs to the event loop."""

    def __init__(self, parts: Parts, closing: ExitStack) -> None:
        self.parts = parts
        self._closing = closing
        self._maintenance: asyncio.Task[None] | None = None
        self._canary: asyncio.Task[None] | None = None

    @classmethod
    def open(cls, settings: Settings, embedder: Embedder | None = None) -> App:
        """Loads and connects. ConfigError with a sentence when it cannot. An embedder that is given is used
        in place of the configured one."""
        with ExitStack() as undo:
            data = undo.enter_context(DataDir(settings.store.data_dir))
            undo.enter_context(database_lock(settings))
            if (unread := overlooked(settings)) is not None:
                _log.warning(
                    "store.database_url names another database than the data folder's", unread=str(unread)
                )
            parts = _connect(settings, data, embedder or load_embedder(settings.retrieval.embedder), undo)
            return cls(parts, undo.pop_all())

    async def start(self) -> None:
        """What needs the event loop."""
        await self.parts.operations.abort_interrupted()
        if self.parts.live is not None:
            await self.parts.workers.waiting.run(self.parts.live.restore)
        self._maintenance = asyncio.create_task(self._maintain(), name="maintenance")
        self._canary = self._start_canary()

    async def stop(self) -> None:
        """Finishes what is under way and closes everything, the store last."""
        if self._maintenance is not None:
            self._maintenance.cancel()
        if self._canary is not None:
            self._canary.cancel()
        await self.parts.operations.close()
        await asyncio.to_thread(self._closing.close)

    def _start_canary(self) -> asyncio.Task[None] | None:
        parts, settings = self.parts, self.parts.settings.canary
        if settings.interval_seconds is None:
            return None
        answering = None if parts.compiled is None else parts.answering
        canary = Canary(
            settings, parts.store, parts.retriever, parts.revisions, parts.workers, answering, parts.meters
        )
        return asyncio.create_task(canary.rounds(settings.interval_seconds), name="canary")

    async def _maintain(self) -> None:
        while True:
            await asyncio.sleep(self.parts.settings.store.maintenance_seconds)
            await self._upkeep("stay", self.parts.replica.stay)
            gone = await self._upkeep("purge", partial(self.parts.store.purge, datetime.now(UTC)))
            if gone:
                _log.info("purged", facts=gone)

    async def _upkeep(self, task: str, work: Callable[[], T]) -> T | None:
        """None when it failed."""
        try:
            return await self.parts.workers.writes.run(work)
        except Exception as error:  # whatever it was, the next round must come, and the other work be done
            reason = getattr(error, "reason", type(error).__name__)
            unexpected = not isinstance(error, StoreError)
            _log.warning(
                "maintenance failed; it is tried again", task=task, reason=reason, exc_info=unexpected
            )
            return None


def _connect(settings: Settings, data: DataDir, embedder: Embedder, undo: ExitStack) -> Parts:
    limits = settings.limits.for_store()
    quotas = FactQuotas(settings.quotas.max_facts, settings.quotas.max_facts_of)
    try:
        store = open_store(
            settings.database, limits, retention=timedelta(days=settings.store.retention_days), quotas=quotas
        )
    except StoreError as error:
        raise ConfigError(f"store: {error}") from None
    undo.callback(store.close)
    _ensure_namespace(store, settings.store.default_namespace)
    model = served.load(settings.engine, settings.store.data_dir, embedder.digest)
    workers = Workers(model_threads=settings.admission.generate)
    undo.callback(workers.close)
    if model is not None:
        undo.callback(model.close)
    replica = replicas.join(settings, store, data)
    index = replicas.open_index(settings, data, embedder, undo)
    indexer = Indexer(store, index, embedder)
    indexer.start()
    undo.callback(indexer.close)
    retriever = Retriever(store, index, embedder, limits)
    compiled, watcher = _compiling(settings, store, model, undo)
    revisions = Revisions(store, indexer, watcher, workers, settings.retrieval.revision_wait_seconds)
    knowledge = KnowledgeSource(store, retriever, embedder, revisions, compiled, workers)
    answers = None if model is None else _answers(model)
    longest = settings.limits.max_query_length
    injections = Injections(settings.monitor.records, texts=settings.monitor.texts)
    meters, traces = Meters(), open_tracing(settings.tracing.endpoint)
    if traces is not None:
        undo.callback(traces.close)

    def note(ask: Ask, answer: Answer) -> None:
        injections.note(ask, answer)
        meters.answered(ask, answer, 0 if answers is None else answers.engine.load[0])
        if traces is not None:
            traces.answered(ask, answer)

    answering = Answering(answers, knowledge, workers, longest, note)
    if isinstance(watcher, CompileWorker) and settings.compile.background:
        watcher.start(idle=lambda: answering.running == 0, read_names=knowledge.read_ahead)
    return Parts(
        settings=settings,
        store=store,
        indexer=indexer,
        retriever=retriever,
        tokens=replicas.open_tokens(store, data),
        workers=workers,
        revisions=revisions,
        operations=Operations(store, workers, replica.name),
        replica=replica,
        answering=answering,
        injections=injections,
        meters=meters,
        traces=traces,
        compiled=compiled,
        model=answers,
        scoring=Scoring(answers, knowledge, workers, longest),
        has_model=model is not None,
        live=None if model is None else model.live,
        lab=None if model is None else model.lab,
        study=_study(settings, model, answering, undo),
        knowledge=knowledge,
        top_k=_top_k(settings, model),
    )


def _compiling(
    settings: Settings, store: Store, model: served.ServedModel | None, undo: ExitStack
) -> tuple[CompiledFacts | None, CompileWorker | NothingCompiled]:
    if model is None or model.encoder is None:
        return None, NothingCompiled()
    chosen = settings.compile
    compiled = CompiledFacts(model.encoder, chosen.cache_mib * MIB, chosen.batch)
    watcher = CompileWorker(store, compiled, max_facts=chosen.background_facts, batch=chosen.batch)
    undo.callback(watcher.close)
    return compiled, watcher


def _study(
    settings: Settings, model: served.ServedModel | None, answering: Answering, undo: ExitStack
) -> Study | None:
    if model is None or not isinstance(model.engine, TransformersEngine):
        return None
    live, encoder = model.live, model.encoder
    study = Study(
        model.engine,
        None if encoder is None else encoder.adapter,
        model.engine.model_digest,
        lambda: 0 if live is None else live.writes,
        settings.circuits.waiting,
    )
    study.give_way_to(lambda: answering.running > 0)
    undo.callback(study.close)
    return study


def _top_k(settings: Settings, model: served.ServedModel | None) -> int:
    calibrated = None if model is None else model.top_k
    return settings.retrieval.top_k or min(calibrated or DEFAULT_TOP_K, settings.limits.max_top_k)


def _answers(model: served.ServedModel) -> Model:
    encoder, live = model.encoder, model.live

    def is_edited() -> bool:
        return live is not None and bool(live.applied)

    if encoder is None:
        return Model(model.engine, "", 0.0, is_edited)
    return Model(model.engine, encoder.digest, encoder.grounded_threshold, is_edited)


def _ensure_namespace(store: Store, namespace_id: str) -> None:
    if not namespace_id:
        return
    try:
        store.get_namespace(namespace_id)
    except NotFound:
        try:
            store.create_namespace(namespace_id, "", frozenset(), Context(principal="server"))
        except AlreadyExists:  # another server was faster
            return
        except StoreError as error:
            raise ConfigError(f"store.default_namespace: {error}") from None
