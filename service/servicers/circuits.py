"""interleaf.v1.Circuits."""

from __future__ import annotations

from typing import Any

from circuits.interventions import Head
from circuits.knockout import WINDOW
from circuits.probe import Probe
from engines.contract import Message
from interleaf.v1 import circuits_pb2_grpc, inference_pb2
from kb_store.errors import InvalidInput
from service.commands.checking import CheckAsk, Checking
from service.commands.encoding import Asked
from service.commands.studying import Studying
from service.convert_answers import Asks
from service.convert_circuits import report_message, trace_message
from service.convert_encoders import validated_message
from service.limits import LimitSettings
from service.study import Study
from service.study_kinds import FactsAnalysis, HeadsAnalysis, KnockoutAnalysis, RecallAnalysis
from service.validation import count, free_text, namespace_of, not_negative, request_id

_ANY = "namespaces/any"  # where only the prompt is read
_WIDEST = 1000


class CircuitsServicer(circuits_pb2_grpc.CircuitsServicer):  # type: ignore[misc]
    """See protos/interleaf/v1/circuits.proto for what each call does."""

    def __init__(
        self,
        checking: Checking,
        studying: Studying,
        asks: Asks,
        limits: LimitSettings,
        study: Study | None,
    ) -> None:
        self._checking, self._studying, self._asks, self._limits = checking, studying, asks, limits
        self._digest = "" if study is None else study.digest
        self._reading_layers = 0 if study is None else study.reading_layers

    async def CheckHallucination(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Checks an answer."""
        ask = self._asks.ask(_as_generate(request, request.parent))
        checked = await self._checking.check(
            CheckAsk(
                ask.namespace,
                ask.prompt,
                self._text("answer", request.answer),
                self._text("truth", request.truth),
                self._text("subject", request.subject),
                ask.retrieval,
            )
        )
        return report_message(checked)

    async def TraceAnswers(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Answers through the layers."""
        count("answers", request.answers, "max_continuations", self._limits.max_continuations, minimum=1)
        answers = [self._text(f"answers[{at}]", text, True) for at, text in enumerate(request.answers)]
        prompt, subject = self._prompt(request), self._text("subject", request.subject, True)
        return trace_message(await self._checking.trace(prompt, subject, answers))

    async def StudyHeads(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Begins to study heads."""
        analysis = HeadsAnalysis(self._probe(request.probe), self._digest, request.direct_only)
        return validated_message(await self._studying.start(analysis, _asked(request)))

    async def StudyKnockout(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Begins to knock out."""
        if not_negative("window", request.window) > _WIDEST:
            raise InvalidInput("window", f"must be at most {_WIDEST}")
        analysis = KnockoutAnalysis(self._probe(request.probe), request.window or WINDOW)
        return validated_message(await self._studying.start(analysis, _asked(request)))

    async def StudyRecall(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Begins to study recall."""
        count("attributes", request.attributes, "max_continuations", self._limits.max_continuations)
        count("heads", request.heads, "max_continuations", self._limits.max_continuations)
        analysis = RecallAnalysis(
            self._probe(request.probe),
            tuple(self._text(f"attributes[{at}]", text, True) for at, text in enumerate(request.attributes)),
            tuple(Head(head.layer, head.head) for head in request.heads),
        )
        return validated_message(await self._studying.start(analysis, _asked(request)))

    async def ExplainFacts(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Begins to read what facts do."""
        namespace = namespace_of("parent", request.parent)
        ask = self._asks.ask(_as_generate(request, request.parent))
        analysis = FactsAnalysis(
            ask.prompt,
            self._text("subject", request.subject),
            self._text("answer", request.answer),
            layers=self._reading_layers,
        )
        record = await self._studying.explain_facts(namespace, analysis, ask.retrieval, _asked(request))
        return validated_message(record)

    def _probe(self, probe: Any) -> Probe:
        count("probe.alternatives", probe.alternatives, "max_continuations", self._limits.max_continuations)
        return Probe(
            self._prompt(probe),
            self._text("probe.subject", probe.subject, True),
            self._text("probe.object", probe.object, True),
            self._text("probe.relation", probe.relation),
            tuple(
                self._text(f"probe.alternatives[{at}]", text, True)
                for at, text in enumerate(probe.alternatives)
            ),
        )

    def _prompt(self, message: Any) -> str | tuple[Message, ...]:
        return self._asks.ask(_as_generate(message, _ANY)).prompt

    def _text(self, field: str, text: str, required: bool = False) -> str:
        limit = self._limits.max_continuation_length
        return free_text(field, text, "max_continuation_length", limit, required=required)


def _as_generate(message: Any, parent: str) -> Any:
    """The fields that a question has too, to be checked as those of a question are."""
    chosen = {name: getattr(message, name) for name in ("prompt", "chat") if message.HasField(name)}
    if "retrieval" in message.DESCRIPTOR.fields_by_name:
        chosen["retrieval"] = message.retrieval
    return inference_pb2.GenerateRequest(parent=parent, **chosen)


def _asked(request: Any) -> Asked:
    return Asked(request_id(request.request_id), request.validate_only)
