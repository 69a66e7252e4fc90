"""interleaf.v1.Encoders."""

from __future__ import annotations

from typing import Any

from interleaf.v1 import encoders_pb2, encoders_pb2_grpc
from kb_store.errors import InvalidInput
from kb_store.validation import check_id
from service.commands.encoding import Asked, Encoding, TrainAsk
from service.convert.encoders import encoder_message, validated_message
from service.limits import LimitSettings
from service.page_tokens import PageTokens
from service.validation import encoder_of, free_text, namespace_of, not_negative, page_size, request_id

_LIST = "ListEncoders"
_PROBLEMS, _QUESTIONS, _PAIRS = 8, 96, 1500
_MOST = 100_000
_LONGEST_RECIPE = 32_768
_LONGEST_LIST = 64 * 1024 * 1024


class EncodersServicer(encoders_pb2_grpc.EncodersServicer):  # type: ignore[misc]
    """See protos/interleaf/v1/encoders.proto for what each call does."""

    def __init__(self, encoding: Encoding, tokens: PageTokens, limits: LimitSettings) -> None:
        self._encoding, self._tokens, self._limits = encoding, tokens, limits

    async def ListEncoders(self, request: Any, context: Any) -> Any:  # noqa: N802
        """A page of encoders."""
        limits = self._limits
        page, after = await self._encoding.page(
            limit=page_size(request.page_size, limits.default_page_size, limits.max_page_size),
            after=self._tokens.text(request.page_token, _LIST),
        )
        return encoders_pb2.ListEncodersResponse(
            encoders=map(encoder_message, page),
            next_page_token=self._tokens.make(after, _LIST) if after else "",
        )

    async def GetEncoder(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Returns an encoder."""
        return encoder_message(await self._encoding.get(encoder_of("name", request.name)))

    async def TrainEncoder(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Begins a training, or goes on with it."""
        ask = TrainAsk(
            check_id("encoder_id", request.encoder_id),
            free_text(
                "model", request.model, "max_prompt_length", self._limits.max_prompt_length, required=False
            ),
            free_text("recipe", request.recipe, "recipe", _LONGEST_RECIPE, required=False),
            not_negative("steps", request.steps),
            free_text("exclude_pairs", request.exclude_pairs, "exclude_pairs", _LONGEST_LIST, required=False),
        )
        return validated_message(await self._encoding.train(ask, _asked(request)))

    async def EvaluateEncoder(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Begins an evaluation."""
        encoder_id = encoder_of("name", request.name)
        problems = _at_most_so_many("problems", request.problems) or _PROBLEMS
        record = await self._encoding.evaluate(encoder_id, problems, request.seed, _asked(request))
        return validated_message(record)

    async def CalibrateEncoder(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Begins a calibration."""
        encoder_id = encoder_of("name", request.name)
        namespace = namespace_of("namespace", request.namespace) if request.namespace else ""
        questions = _at_most_so_many("questions", request.questions) or _QUESTIONS
        record = await self._encoding.calibrate(
            encoder_id, namespace, questions, request.seed, _asked(request)
        )
        return validated_message(record)

    async def SweepLayers(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Begins a sweep."""
        longest = self._limits.max_prompt_length
        model = free_text("model", request.model, "max_prompt_length", longest, required=False)
        pairs = _at_most_so_many("pairs", request.pairs) or _PAIRS
        return validated_message(await self._encoding.sweep(model, pairs, request.seed, _asked(request)))


def _asked(request: Any) -> Asked:
    return Asked(request_id(request.request_id), request.validate_only)


def _at_most_so_many(field: str, value: int) -> int:
    if not_negative(field, value) > _MOST:
        raise InvalidInput(field, f"must be at most {_MOST}")
    return value
