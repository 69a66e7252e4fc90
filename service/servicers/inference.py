"""interleaf.v1.Inference."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from interleaf.v1 import inference_pb2, inference_pb2_grpc
from service.commands.answering import Answering
from service.commands.scoring import Scoring
from service.commands.weighing import FactWeighing
from service.convert.answers import (
    Asks,
    answer_message,
    citation_message,
    score_message,
    weighing_message,
)


class InferenceServicer(inference_pb2_grpc.InferenceServicer):  # type: ignore[misc]
    """See protos/interleaf/v1/inference.proto for what each call does."""

    def __init__(self, answering: Answering, scoring: Scoring, weighing: FactWeighing, asks: Asks) -> None:
        self._answering, self._scoring, self._weighing, self._asks = answering, scoring, weighing, asks

    async def Generate(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Answers with facts."""
        answer = await self._answering.answer(self._asks.ask(request))
        return answer_message(answer, details=request.details)

    async def StreamGenerate(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        """Answers piece by piece."""
        async with aclosing(self._answering.stream(self._asks.ask(request))) as events:
            async for event in events:
                if isinstance(event, str):
                    yield inference_pb2.StreamGenerateResponse(text=event)
                else:
                    whole = answer_message(event, details=request.details)
                    yield inference_pb2.StreamGenerateResponse(response=whole)

    async def Compare(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Answers without facts and with them."""
        original, edited = await self._answering.compare(self._asks.ask(request))
        return inference_pb2.CompareResponse(
            original=answer_message(original, details=request.details),
            edited=answer_message(edited, details=request.details),
        )

    async def Score(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Scores continuations."""
        scores = await self._scoring.score(self._asks.score(request))
        return inference_pb2.ScoreResponse(
            scores=map(score_message, scores.scored),
            citations=map(citation_message, scores.citations),
            namespace_revision=scores.namespace_revision,
        )

    async def WeighFacts(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Says which facts a question is shown."""
        return weighing_message(await self._weighing.weigh(self._asks.weigh(request)))
