"""Score: how likely the model finds given continuations, with the facts in its attention."""

from __future__ import annotations

from dataclasses import dataclass

from engines.contract import Scored
from service.commands.answering import Model, queries_of
from service.errors import NoModel
from service.serving.citations import Citation, cite_unchecked
from service.serving.knowledge import KnowledgeSource, RetrievalSpec
from service.workers import Workers


@dataclass(frozen=True, slots=True)
class ScoreAsk:
    """A prompt and its possible continuations."""

    namespace: str
    prompt: str
    continuations: tuple[str, ...]
    retrieval: RetrievalSpec
    original_weights: bool = False


@dataclass(frozen=True, slots=True)
class Scores:
    """One entry per continuation, and the facts that were injected."""

    scored: tuple[Scored, ...]
    citations: tuple[Citation, ...]
    namespace_revision: int


class Scoring:
    """Runs Score. `model` is None where the server has none."""

    def __init__(
        self, model: Model | None, knowledge: KnowledgeSource, workers: Workers, longest_query: int
    ) -> None:
        self._model, self._knowledge, self._workers = model, knowledge, workers
        self._longest_query = longest_query

    async def score(self, ask: ScoreAsk) -> Scores:
        """In the order of the continuations; attention is the highest over all of them."""
        if self._model is None:
            raise NoModel
        queries = queries_of(ask.prompt, self._longest_query)
        knowledge = await self._knowledge.gather(ask.namespace, queries, ask.retrieval)
        scored = await self._workers.model.run(
            self._model.engine.score,
            ask.prompt,
            ask.continuations,
            knowledge.injected,
            original=ask.original_weights,
        )
        attention: dict[str, float] = {}
        for item in scored:
            for key, mass in item.attention.items():
                attention[key] = max(mass, attention.get(key, 0.0))
        return Scores(tuple(scored), cite_unchecked(knowledge.known, attention), knowledge.namespace_revision)
