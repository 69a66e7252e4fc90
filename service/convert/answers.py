"""Between messages and domain values: questions and answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf import duration_pb2

from engines.contract import FinishReason, Message, Sampling, Scored
from interleaf.v1 import inference_pb2
from kb_store.errors import InvalidInput, LimitExceeded
from service.commands.answering import Answer, Ask, Timings
from service.commands.scoring import ScoreAsk
from service.commands.weighing import WeighAsk
from service.convert.facts import fact_name
from service.limits import LimitSettings
from service.serving.citations import Citation, Grounding, ValueCheck
from service.serving.compiled import version_key
from service.serving.knowledge import RetrievalSpec
from service.serving.weighing import Weighing, Weight
from service.validation import count, fact_ids_of, free_text, namespace_of, not_negative, over, within

_ROLES = ("system", "user", "assistant")
FINISHES: Mapping[FinishReason, inference_pb2.FinishReason] = {
    FinishReason.STOP: inference_pb2.FINISH_REASON_STOP,
    FinishReason.LENGTH: inference_pb2.FINISH_REASON_LENGTH,
}
_CHECKS: Mapping[ValueCheck, inference_pb2.ValueCheck] = {
    ValueCheck.UNCHECKED: inference_pb2.VALUE_CHECK_UNSPECIFIED,
    ValueCheck.EXACT: inference_pb2.VALUE_CHECK_EXACT,
    ValueCheck.DIFFERS: inference_pb2.VALUE_CHECK_DIFFERS,
    ValueCheck.NOT_USED: inference_pb2.VALUE_CHECK_NOT_USED,
}
GROUNDINGS: Mapping[Grounding, inference_pb2.Grounding] = {
    Grounding.GROUNDED: inference_pb2.GROUNDING_GROUNDED,
    Grounding.UNGROUNDED: inference_pb2.GROUNDING_UNGROUNDED,
    Grounding.NO_FACTS: inference_pb2.GROUNDING_NO_FACTS,
}

_WEIGHTS: Mapping[Weight, inference_pb2.Weight] = {
    Weight.SHOWN: inference_pb2.WEIGHT_SHOWN,
    Weight.SUBJECT_NOT_NAMED: inference_pb2.WEIGHT_SUBJECT_NOT_NAMED,
    Weight.NOT_ASKED_FOR: inference_pb2.WEIGHT_NOT_ASKED_FOR,
    Weight.BEHIND_ANOTHER: inference_pb2.WEIGHT_BEHIND_ANOTHER,
}


class Asks:
    """Reads requests of the Inference service against the limits."""

    def __init__(self, limits: LimitSettings, default_top_k: int) -> None:
        self._limits, self._default_top_k = limits, default_top_k

    def ask(self, request: Any) -> Ask:
        """GenerateRequest or CompareRequest."""
        namespace = namespace_of("parent", request.parent)
        return Ask(
            namespace,
            self._prompt(request),
            self._sampling(request.sampling),
            self._retrieval(request.retrieval, namespace),
            # CompareRequest asks for both.
            bool(getattr(request, "original_weights", False)),
            bool(getattr(request, "strict", False)),
        )

    def score(self, request: Any) -> ScoreAsk:
        """ScoreRequest."""
        namespace, limits = namespace_of("parent", request.parent), self._limits
        count(
            "continuations", request.continuations, "max_continuations", limits.max_continuations, minimum=1
        )
        for index, text in enumerate(request.continuations):
            field = f"continuations[{index}]"
            free_text(field, text, "max_continuation_length", limits.max_continuation_length, required=False)
            if not text:
                raise InvalidInput(field, "must not be empty")
        return ScoreAsk(
            namespace,
            free_text("prompt", request.prompt, "max_prompt_length", limits.max_prompt_length),
            tuple(request.continuations),
            self._retrieval(request.retrieval, namespace),
            request.original_weights,
        )

    def weigh(self, request: Any) -> WeighAsk:
        """WeighFactsRequest."""
        namespace = namespace_of("parent", request.parent)
        if request.retrieval.disabled or request.retrieval.facts:
            field = "retrieval.disabled" if request.retrieval.disabled else "retrieval.facts"
            raise InvalidInput(field, "must not be set: what retrieval finds is weighed")
        return WeighAsk(namespace, self._prompt(request), self._retrieval(request.retrieval, namespace))

    def _prompt(self, request: Any) -> str | tuple[Message, ...]:
        maximum = self._limits.max_prompt_length
        match request.WhichOneof("input"):
            case "prompt":
                return free_text("prompt", request.prompt, "max_prompt_length", maximum)
            case "chat":
                return self._chat(request.chat.messages)
            case _:
                raise InvalidInput("input", "must be a prompt or a chat")

    def _chat(self, messages: Any) -> tuple[Message, ...]:
        maximum = self._limits.max_prompt_length
        count("chat.messages", messages, "max_chat_messages", self._limits.max_chat_messages, minimum=1)
        for index, message in enumerate(messages):
            field = f"chat.messages[{index}]"
            if message.role not in _ROLES:
                raise InvalidInput(f"{field}.role", f"must be one of {', '.join(_ROLES)}")
            free_text(f"{field}.content", message.content, "max_prompt_length", maximum)
        total = sum(len(message.content) for message in messages)
        if total > maximum:
            raise LimitExceeded("chat.messages", "max_prompt_length", maximum, total)
        if messages[-1].role != "user":
            raise InvalidInput(
                f"chat.messages[{len(messages) - 1}].role", "the last message must be the user's"
            )
        return tuple(Message(message.role, message.content) for message in messages)

    def _sampling(self, message: Any) -> Sampling:
        limits = self._limits
        tokens = not_negative("sampling.max_tokens", message.max_tokens) or limits.default_max_tokens
        if tokens > limits.max_tokens:
            over("sampling.max_tokens", "max_tokens", limits.max_tokens, tokens)
        count("sampling.stop", message.stop, "max_stop_sequences", limits.max_stop_sequences)
        for index, text in enumerate(message.stop):
            field = f"sampling.stop[{index}]"
            free_text(field, text, "max_stop_length", limits.max_stop_length, required=False)
            if not text:
                raise InvalidInput(field, "must not be empty")
        return Sampling(
            max_tokens=tokens,
            temperature=within(
                "sampling.temperature", message.temperature, "max_temperature", limits.max_temperature
            ),
            top_p=_share("sampling.top_p", message.top_p) or 1.0,
            seed=not_negative("sampling.seed", message.seed) or None,
            stop=tuple(message.stop),
        )

    def _retrieval(self, message: Any, namespace: str) -> RetrievalSpec:
        limits = self._limits
        count("retrieval.facts", message.facts, "max_top_k", limits.max_top_k)
        if message.disabled and message.facts:
            raise InvalidInput("retrieval.facts", "must be empty when retrieval is disabled")
        return RetrievalSpec(
            top_k=top_k_of("retrieval.top_k", message.top_k, self._default_top_k, limits.max_top_k),
            disabled=message.disabled,
            fact_ids=fact_ids_of("retrieval.facts", message.facts, namespace),
            min_revision=not_negative("retrieval.min_revision", message.min_revision),
        )


def top_k_of(field: str, value: int, default: int, maximum: int) -> int:
    """0 means the default; too many are refused."""
    wanted = not_negative(field, value) or default
    if wanted > maximum:
        over(field, "max_top_k", maximum, wanted)
    return wanted


def _share(field: str, value: float) -> float:
    if not 0 <= value <= 1:  # NaN as well
        raise InvalidInput(field, "must be a number from 0 to 1")
    return value


def answer_message(answer: Answer, *, details: bool = False) -> Any:
    """interleaf.v1.GenerateResponse."""
    generation = answer.generation
    return inference_pb2.GenerateResponse(
        text=generation.text,
        finish_reason=finish_reason(answer),
        citations=citation_messages(answer, details=details),
        grounding=GROUNDINGS[answer.grounding],
        prompt_tokens=generation.prompt_tokens,
        generated_tokens=len(generation.token_ids),
        injected_tokens=answer.injected_tokens,
        timings=timings_message(answer.timings),
        namespace_revision=answer.namespace_revision,
        model=answer.model,
        encoder=answer.encoder,
        tokens=token_messages(answer) if details else (),
    )


def finish_reason(answer: Answer) -> Any:
    """interleaf.v1.FinishReason."""
    if answer.abstained:
        return inference_pb2.FINISH_REASON_ABSTAINED
    return FINISHES[answer.generation.finish_reason]


def citation_messages(answer: Answer, *, details: bool) -> list[Any]:
    """interleaf.v1.Citation of every injected fact, with `details` with the attention by layer."""
    messages = [citation_message(citation) for citation in answer.citations]
    if details:
        for citation, message in zip(answer.citations, messages, strict=True):
            shares = answer.generation.layer_attention.get(version_key(citation.fact), {})
            message.layer_attention.update(shares)
    return messages


def token_messages(answer: Answer) -> list[Any]:
    """interleaf.v1.GeneratedToken. Tokens that gave out no text of their own join the next that did."""
    generation = answer.generation
    nothing = (0.0,) * len(generation.token_ids)
    masses = [generation.attention.get(version_key(item.fact), nothing) for item in answer.citations]
    messages: list[Any] = []
    begin = 0
    for at, text in enumerate(generation.pieces):
        if text:
            span = slice(begin, at + 1)
            messages.append(
                inference_pb2.GeneratedToken(
                    text=text,
                    log_probability=sum(generation.log_probabilities[span]),
                    attention=[max(mass[span]) for mass in masses],
                )
            )
            begin = at + 1
    return messages


def citation_message(citation: Citation) -> Any:
    """interleaf.v1.Citation."""
    fact = citation.fact
    return inference_pb2.Citation(
        fact=fact_name(fact),
        uid=fact.uid,
        revision=fact.revision,
        subject=fact.content.subject,
        relation=fact.content.relation,
        object=fact.content.object,
        attention=citation.attention,
        retrieval_score=citation.retrieval_score,
        value_check=_CHECKS[citation.value_check],
    )


def score_message(scored: Scored) -> Any:
    """interleaf.v1.ContinuationScore."""
    return inference_pb2.ContinuationScore(
        log_probability=sum(scored.log_probabilities),
        token_log_probabilities=scored.log_probabilities,
        tokens=scored.tokens,
    )


def timings_message(timings: Timings) -> Any:
    """interleaf.v1.Timings."""
    return inference_pb2.Timings(
        retrieval=_duration(timings.retrieval),
        compile=_duration(timings.compile),
        queue=_duration(timings.queue),
        first_token=_duration(timings.first_token),
        total=_duration(timings.total),
    )


def _duration(seconds: float) -> Any:
    message = duration_pb2.Duration()
    message.FromNanoseconds(round(seconds * 1e9))
    return message


def weighing_message(weighing: Weighing) -> Any:
    """WeighFactsResponse."""
    facts = [
        inference_pb2.WeighedFact(
            fact=fact_name(item.fact),
            subject=item.fact.content.subject,
            relation=item.fact.content.relation,
            object=item.fact.content.object,
            weight=_WEIGHTS[item.weight],
            subject_cover=item.evidence.subject_cover,
            fit=item.evidence.meaning,
            retrieval_score=item.score,
        )
        for item in weighing.facts
    ]
    return inference_pb2.WeighFactsResponse(
        facts=facts, fit_needed=weighing.fit_needed, namespace_revision=weighing.namespace_revision
    )
