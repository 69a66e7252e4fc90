"""The canary: made-up facts of a namespace of its own, written, found and asked for again and again.

Nobody but the service can know them, so an answer that has one went the whole way: SQL, index, compiled tokens,
attention. Another namespace, which has none of them, is asked the same: an object that turns up there is a leak.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import structlog

from engines.contract import Sampling
from kb_store.contract import Store
from kb_store.errors import AlreadyExists, NotFound
from kb_store.model import ConflictPolicy, Content, Context, CreateFact
from kb_store.retrieval import Retriever
from service.commands.answering import Answering, Ask
from service.config_operation import CanarySettings
from service.observability.meters import Meters
from service.revisions import Revisions
from service.serving.knowledge import RetrievalSpec
from service.workers import Workers

_SUBJECTS = ("Oda Wirrlich", "Tamsin Quellberg", "Ivo Brandweer")
# One after the other: each round changes every fact, so that an old answer is a wrong one.
_OBJECTS = ("Nordlicht Werft", "Hafenwerk Kiel")
_RELATION, _TOP_K, _MAX_TOKENS = "employer", 4, 12
_WRITER = Context(principal="canary")

_log = structlog.get_logger("interleaf.canary")


@dataclass(frozen=True, slots=True)
class Round:
    """What came of one round; `seconds` from the writing of its facts to its last answer."""

    right: int
    wrong: int
    leaks: int
    seconds: float


class Canary:
    """`rounds` runs until it is cancelled. `answering` is None where the server cannot put facts into answers: then
    they are only searched for."""

    def __init__(
        self,
        settings: CanarySettings,
        store: Store,
        retriever: Retriever,
        revisions: Revisions,
        workers: Workers,
        answering: Answering | None,
        meters: Meters,
    ) -> None:
        self._settings, self._store, self._retriever = settings, store, retriever
        self._revisions, self._workers, self._answering = revisions, workers, answering
        self._meters = meters
        self._stranger = f"{settings.namespace}-stranger"
        self._turn = 0

    async def rounds(self, every: float) -> None:
        """One round after another. What fails is counted and logged, and tried again."""
        while True:
            try:
                found = await self.round()
            except asyncio.CancelledError:
                raise
            except Exception as error:  # whatever it was, it is what the canary is there to notice
                _log.warning("the canary failed", reason=getattr(error, "reason", type(error).__name__))
                self._meters.canary_failed()
            else:
                self._meters.canary_asked(found.right, found.wrong, found.leaks, found.seconds)
                if found.wrong or found.leaks:
                    _log.warning("the canary is not well", wrong=found.wrong, leaks=found.leaks)
            await asyncio.sleep(every)

    async def round(self) -> Round:
        """Writes, waits until it can be found, asks here and there."""
        self._turn += 1
        began = time.perf_counter()
        said = {
            subject: _OBJECTS[(self._turn + place) % len(_OBJECTS)] for place, subject in enumerate(_SUBJECTS)
        }
        revision = await self._workers.writes.run(self._write, said)
        await self._revisions.searchable(self._settings.namespace, revision)
        right = leaks = 0
        for subject, value in said.items():
            right += value in await self._heard(self._settings.namespace, subject)
            strange = await self._heard(self._stranger, subject)
            leaks += any(known in strange for known in _OBJECTS)
        return Round(right, len(said) - right, leaks, time.perf_counter() - began)

    def _write(self, said: dict[str, str]) -> int:
        for namespace in (self._settings.namespace, self._stranger):
            try:
                self._store.get_namespace(namespace)
            except NotFound:
                try:
                    self._store.create_namespace(namespace, "Canary", frozenset(), _WRITER)
                except AlreadyExists:  # another server at this database was quicker
                    continue
        mutations = [
            CreateFact(
                self._settings.namespace,
                Content(subject, _RELATION, value, source="canary"),
                on_conflict=ConflictPolicy.REPLACE,
            )
            for subject, value in said.items()
        ]
        return self._store.write(mutations, _WRITER).namespace_revision

    async def _heard(self, namespace: str, subject: str) -> str:
        """What the namespace says of a subject."""
        if self._answering is None:
            found = await self._workers.retrieval.run(
                self._retriever.search, namespace, f"Who is the employer of {subject}?", top_k=_TOP_K
            )
            return found.hits[0].fact.content.object if found.hits else ""
        answer = await self._answering.answer(
            Ask(
                namespace,
                f"The {_RELATION} of {subject} is",
                Sampling(max_tokens=_MAX_TOKENS),
                RetrievalSpec(_TOP_K),
            )
        )
        return answer.generation.text
