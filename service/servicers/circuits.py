"""interleaf.v1.Circuits."""

from __future__ import annotations

from typing import Any

from circuits.discovery.choosing import Budget
from circuits.grafting.tuning import Tuning
from circuits.interventions import Head
from circuits.knockout import WINDOW
from circuits.probe import Probe
from engines.contract import Message
from interleaf.v1 import circuits_pb2_grpc, inference_pb2
from kb_store.errors import InvalidInput
from service.commands.checking import CheckAsk, Checking
from service.commands.encoding import Asked
from service.commands.studying import Studying
from service.convert.answers import Asks
from service.convert.circuits import report_message, trace_message
from service.convert.circuits_many import ABLATIONS, EDGE_SCORES
from service.convert.encoders import validated_message
from service.limits import LimitSettings
from service.studies.circuits import (
    TEMPLATES,
    CircuitAnalysis,
    EmergenceAnalysis,
    GraftingAnalysis,
    LocatingAnalysis,
)
from service.studies.kinds import FactsAnalysis, HeadsAnalysis, KnockoutAnalysis, RecallAnalysis
from service.studies.study import Study
from service.validation import count, free_text, known_enum, namespace_of, not_negative, request_id, within_or

_ANY = "namespaces/any"  # where only the prompt is read
_WIDEST = 1000
_RANDOM, _MOST_RANDOM = 3, 20
_THRESHOLD, _MOST_WORTH = 0.1, 1000.0
_FACTS, _MOST_FACTS = 100, 1000
_MOST_TEMPLATES, _MOST_EPOCHS = 8, 100
_BATCH, _LEARNING_RATE = 8, 5e-5


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
        window = _at_most("window", request.window, _WIDEST) or WINDOW
        analysis = KnockoutAnalysis(self._probe(request.probe), window)
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
        )
        record = await self._studying.explain_facts(namespace, analysis, ask.retrieval, _asked(request))
        return validated_message(record)

    async def DiscoverCircuit(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Begins to look for a circuit."""
        budget = Budget(
            nodes=within_or(Budget().nodes, "nodes", request.nodes, "nodes", 1.0),
            edges=within_or(Budget().edges, "edges", request.edges, "edges", 1.0),
            method=known_enum("score", request.score, EDGE_SCORES),
        )
        count("others", request.others, "max_continuations", self._limits.max_continuations)
        analysis = CircuitAnalysis(
            self._probes("probes", request.probes, minimum=1),
            self._probes("held_out", request.held_out),
            budget,
            known_enum("ablation", request.ablation, ABLATIONS),
            tuple(self._text(f"others[{at}]", text, True) for at, text in enumerate(request.others)),
            _at_most("randoms", request.randoms, _MOST_RANDOM) or _RANDOM,
        )
        return validated_message(await self._studying.start(analysis, _asked(request)))

    async def LocateHeads(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Begins HeadMap's search."""
        analysis = LocatingAnalysis(
            self._probes("probes", request.probes, minimum=1),
            self._probes("held_out", request.held_out),
            not_negative("per_layer", request.per_layer),
            not request.unconditioned,
        )
        return validated_message(await self._studying.start(analysis, _asked(request)))

    async def StudyEmergence(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Begins to compare where a fact is told."""
        namespace = namespace_of("parent", request.parent)
        ask = self._asks.ask(_as_generate(request, request.parent))
        analysis = EmergenceAnalysis(
            ask.prompt,
            self._text("answer", request.answer),
            within_or(_THRESHOLD, "threshold", request.threshold, "threshold", _MOST_WORTH),
        )
        record = await self._studying.study_emergence(namespace, analysis, ask.retrieval, _asked(request))
        return validated_message(record)

    async def StudyGrafting(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Begins to tune a copy and to graft from it."""
        namespace = namespace_of("parent", request.parent)
        count("templates", request.templates, "templates", _MOST_TEMPLATES)
        templates = [self._template(f"templates[{at}]", text) for at, text in enumerate(request.templates)]
        tuning = Tuning(
            epochs=_at_most("epochs", request.epochs, _MOST_EPOCHS) or Tuning().epochs,
            batch=_BATCH,
            learning_rate=within_or(
                _LEARNING_RATE, "learning_rate", request.learning_rate, "learning_rate", 1.0
            ),
        )
        analysis = GraftingAnalysis((), tuple(templates) or TEMPLATES, tuning, request.components, 0)
        facts = _at_most("facts", request.facts, _MOST_FACTS) or _FACTS
        record = await self._studying.study_grafting(namespace, analysis, facts, _asked(request))
        return validated_message(record)

    def _probe(self, probe: Any, field: str = "probe", *, spans: bool = True) -> Probe:
        """`spans`: its subject must be named."""
        most = self._limits.max_continuations
        count(f"{field}.alternatives", probe.alternatives, "max_continuations", most)
        return Probe(
            self._prompt(probe),
            self._text(f"{field}.subject", probe.subject, spans),
            self._text(f"{field}.object", probe.object, True),
            self._text(f"{field}.relation", probe.relation),
            tuple(
                self._text(f"{field}.alternatives[{at}]", text, True)
                for at, text in enumerate(probe.alternatives)
            ),
        )

    def _probes(self, field: str, probes: Any, *, minimum: int = 0) -> tuple[Probe, ...]:
        count(field, probes, "max_continuations", self._limits.max_continuations, minimum=minimum)
        return tuple(self._probe(probe, f"{field}[{at}]", spans=False) for at, probe in enumerate(probes))

    def _template(self, field: str, text: str) -> str:
        longest = self._limits.max_query_length
        found = free_text(field, text, "max_query_length", longest)
        if "{subject}" not in found:
            raise InvalidInput(field, "must have {subject} in it")
        return found

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


def _at_most(field: str, value: int, most: int) -> int:
    if not_negative(field, value) > most:
        raise InvalidInput(field, f"must be at most {most}")
    return value


def _asked(request: Any) -> Asked:
    return Asked(request_id(request.request_id), request.validate_only)
