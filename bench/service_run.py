"""The whole service for a benchmark: a real server on a free loopback port, temporary data, and its client.

Server and client share one event loop and talk over gRPC; what is measured passes retrieval, prior, encoder
and engine as any user's question does.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from bench.kept_asking import KeptAnswers
from bench.retrieval_vectors import CACHE, embed_cached
from engines.embedder import SentenceEmbedder
from engines.models import resolve_model
from interleaf import Answer, AsyncClient, Scores, Timeout
from interleaf._calls import Call
from kb_store.contract import Vectors
from kb_store.keys import key_text
from kb_store.model import Content
from service import logs
from service.config import load
from service.server import Server

T = TypeVar("T")
S = TypeVar("S")
_BATCH = 32  # requests decoded together
_IN_FLIGHT = 64  # enough to keep the engine's batch full while others retrieve
_PATIENCE = 6 * 3600.0
_CHUNK = 1 << 16


@dataclass(frozen=True, slots=True)
class Ask:
    """One question. `complete`: the prompt is continued as it stands; otherwise it is a chat's first turn."""

    namespace: str
    prompt: str
    max_tokens: int
    complete: bool = True
    use_facts: bool = True
    facts: tuple[str, ...] = ()
    top_k: int = 0


@dataclass(frozen=True, slots=True)
class ScoreAsk:
    """A prompt and the continuations to score."""

    namespace: str
    prompt: str
    continuations: tuple[str, ...]
    use_facts: bool = True
    facts: tuple[str, ...] = ()


class KeptEmbedder:
    """MiniLM, which embeds a fact's key once however many namespaces of this run hold the fact.

    Questions come one at a time and are embedded every time, so that their cost is measured.
    """

    def __init__(self) -> None:
        self._embedder = SentenceEmbedder.load()
        self._kept: dict[str, Vectors] = {}
        self.dimension = self._embedder.dimension
        self.digest = self._embedder.digest

    def warm(self, contents: Sequence[Content], log: Callable[[str], None]) -> None:
        """Embeds these facts' keys, or reads what an earlier run embedded."""
        texts = [key_text(content.relation, content.subject) for content in contents]
        self._kept.update(zip(texts, embed_cached(texts, self._embedder, CACHE, log), strict=True))

    def embed(self, texts: Sequence[str]) -> Vectors:
        """As the embedder itself."""
        if len(texts) == 1:
            return self._embedder.embed(texts)
        missing = [text for text in dict.fromkeys(texts) if text not in self._kept]
        if missing:
            self._kept.update(zip(missing, self._embedder.embed(missing), strict=True))
        return np.stack([self._kept[text] for text in texts])


class Service:
    """A running server as benchmarks use it."""

    def __init__(self, client: AsyncClient, kept: KeptAnswers | None = None) -> None:
        self._client, self._kept = client, kept

    def space(self, namespace: str) -> AsyncClient:
        """The client, in a namespace."""
        return self._client.with_options(namespace=namespace)

    async def store(
        self, namespace: str, contents: Iterable[Content], *, contradictory: bool = False
    ) -> None:
        """Makes the namespace with these facts; returns when all of them can be found. Contradictory ones, if
        there may be any, stand beside each other."""
        client = self.space(namespace)
        await client.ensure_namespace(namespace)
        data = b"".join(_line(content) for content in contents)
        chunks = [data[start : start + _CHUNK] for start in range(0, len(data), _CHUNK)]
        report = await client.import_data(
            lambda: chunks, format="jsonl", on_conflict="add" if contradictory else "fail"
        )
        if report.rows_failed:
            raise RuntimeError(f"a fact of the benchmark was refused: {report.failures[0]}")
        await client.wait_until("searchable", timeout=_PATIENCE)

    async def ask(self, question: Ask) -> Answer:
        """One answer, greedy, asked now."""
        return await self.space(question.namespace).ask(
            question.prompt,
            complete=question.complete,
            max_tokens=question.max_tokens,
            use_facts=question.use_facts,
            facts=question.facts,
            top_k=question.top_k,
        )

    async def ask_all(self, questions: Sequence[Ask]) -> list[Answer]:
        """All answers, asked as concurrently as keeps the engine busy; those that were kept are not asked again."""
        return await concurrently(self._kept_or_asked, questions)

    async def _kept_or_asked(self, question: Ask) -> Answer:
        if self._kept is None or question.facts:
            return await self.ask(question)
        return await self._kept(repr(question), partial(self.ask, question))

    async def call(self, method: str, request: Any, response: Any) -> Any:
        """A call that the client has no method for."""
        return await self._client._call(Call(method, request, response, lambda message: message))

    async def score(self, wanted: ScoreAsk) -> Scores:
        """Log-probabilities of one prompt's continuations."""
        return await self.space(wanted.namespace).score(
            wanted.prompt, list(wanted.continuations), use_facts=wanted.use_facts, facts=wanted.facts
        )

    async def score_all(self, wanted: Sequence[ScoreAsk]) -> list[Scores]:
        """The same for many."""
        return await concurrently(self.score, wanted)


async def concurrently(work: Callable[[S], Awaitable[T]], items: Sequence[S]) -> list[T]:
    """Results in order, with a bounded number under way."""
    room = asyncio.Semaphore(_IN_FLIGHT)

    async def one(item: S) -> T:
        async with room:
            return await work(item)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(item)) for item in items]
    return [task.result() for task in tasks]


@asynccontextmanager
async def running(
    *,
    model: str = "default",
    encoder: str = "default",
    embedder: KeptEmbedder | None = None,
    engine: Mapping[str, Any] | None = None,
    kept: KeptAnswers | None = None,
) -> AsyncIterator[Service]:
    """The service with a data folder of its own, which is gone afterwards. `engine`: further settings of it.
    `kept`: where answers are kept that a later run need not ask for."""
    with tempfile.TemporaryDirectory() as folder:
        overrides = _overrides(Path(folder), model, encoder)
        overrides["engine"] |= engine or {}
        settings = load(overrides=overrides)
        logs.configure(settings.log)
        server = Server(settings, embedder=embedder or KeptEmbedder())
        try:
            address = await server.start()
            timeout = Timeout(call=600.0, generate=_PATIENCE)
            async with AsyncClient(address, timeout=timeout) as client:
                yield Service(client, kept)
        finally:
            await server.stop()


def _overrides(folder: Path, model: str, encoder: str) -> dict[str, dict[str, Any]]:
    return {
        "listen": {"port": 0, "grace_seconds": 1.0, "reflection": False},
        "store": {"data_dir": folder, "default_namespace": ""},
        "engine": {"model": model, "encoder": encoder, "max_batch": _BATCH},
        # Compiling ahead would compete with what is measured; every fact is compiled when it is first needed.
        "compile": {"background": False, "cache_mib": 2048},
        "deadlines": {"generate": _PATIENCE},
        "admission": {"wait_seconds": 3600.0},
        "log": {"level": "warning"},
    }


def model_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of every benchmark that runs the model."""
    parser.add_argument("--model", default="default", help="as engine.model in the configuration")
    parser.add_argument("--encoder", default="default", help="as engine.encoder in the configuration")


def tokenizer_of(model: str) -> Any:
    """The served model's tokenizer, to know how long an object is."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(resolve_model(model), local_files_only=True)


def _line(content: Content) -> bytes:
    row: dict[str, Any] = {"subject": content.subject, "relation": content.relation, "object": content.object}
    if content.aliases:
        row["aliases"] = list(content.aliases)
    return (json.dumps(row, ensure_ascii=False) + "\n").encode()
