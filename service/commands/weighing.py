"""WeighFacts: which facts a question is shown, which not, and why."""

from __future__ import annotations

from dataclasses import dataclass

from engines.contract import Message
from service.commands.answering import queries_of
from service.errors import NoModel
from service.serving.knowledge import KnowledgeSource, RetrievalSpec
from service.serving.weighing import Weighing


@dataclass(frozen=True, slots=True)
class WeighAsk:
    """A question, and of which namespace."""

    namespace: str
    prompt: str | tuple[Message, ...]
    retrieval: RetrievalSpec


class FactWeighing:
    """Runs WeighFacts. The model reads, where the encoder has it read questions, and says nothing."""

    def __init__(self, has_model: bool, knowledge: KnowledgeSource, longest_query: int) -> None:
        self._has_model, self._knowledge, self._longest_query = has_model, knowledge, longest_query

    async def weigh(self, ask: WeighAsk) -> Weighing:
        """What an answer to the same question would be made with."""
        if not self._has_model:
            raise NoModel
        queries = queries_of(ask.prompt, self._longest_query)
        return await self._knowledge.weigh(ask.namespace, queries, ask.retrieval)
