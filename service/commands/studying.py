"""Diagnoses that take many passes, as long-running operations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from circuits.lab import Lab, Passes
from kb_store.model import OperationRecord
from service.commands.answering import queries_of
from service.commands.checking import fitting, studied, subject_in
from service.commands.encoding import Asked
from service.config import CircuitSettings
from service.errors import NoFactFits, StudiesOff
from service.operations import Operations
from service.serving.knowledge import KnowledgeSource, Known, RetrievalSpec
from service.studies.circuits import EmergenceAnalysis, GraftingAnalysis
from service.studies.kinds import Analysis, FactsAnalysis
from service.studies.study import Study


@dataclass(frozen=True, slots=True)
class CircuitWork:
    """A study as its operation's metadata describes it. `asked`: what was asked, to know it again."""

    kind: str
    stage: str
    share: float
    planned: Passes
    start_time: datetime


@dataclass(frozen=True)
class StudyPacking:
    """Packs metadata and results; unpacks the kind that kept metadata is of."""

    work: Callable[[CircuitWork], bytes]
    kind: Callable[[bytes], str]
    result: Callable[[Analysis, Any, Passes, tuple[Known, ...]], bytes]


class Studying:
    """Belongs to one event loop. `study` is None where the engine cannot be looked into."""

    def __init__(
        self,
        study: Study | None,
        knowledge: KnowledgeSource,
        settings: CircuitSettings,
        operations: Operations,
        longest_query: int,
        packing: StudyPacking,
    ) -> None:
        self._study, self._knowledge, self._settings = study, knowledge, settings
        self._operations, self._longest_query, self._packing = operations, longest_query, packing

    async def start(self, analysis: Analysis, asked: Asked, known: tuple[Known, ...] = ()) -> OperationRecord:
        """Begins a study; the operation that the request_id named before, if there is one."""
        study = self._allowed()

        def checked(lab: Lab) -> Passes:
            analysis.check(lab)
            return analysis.cost(lab)

        async def planned() -> CircuitWork:
            cost = await study.check(checked)
            return CircuitWork(analysis.kind, "waiting", 0.0, cost, datetime.now(UTC))

        if asked.validate_only:
            return OperationRecord("", analysis.kind, True, self._packing.work(await planned()))

        async def begin(operation_id: str) -> OperationRecord:
            begun = await planned()

            async def work(note: Callable[[bytes], None]) -> bytes:
                def noted(share: float) -> None:
                    note(self._packing.work(replace(begun, stage="running", share=share)))

                def run(lab: Lab) -> tuple[Any, Passes]:
                    return analysis.run(lab), lab.meter.done

                result, passes = await study.run(run, begun.planned, noted, polite=True)
                return self._packing.result(analysis, result, passes, known)

            return await self._operations.start(operation_id, analysis.kind, self._packing.work(begun), work)

        return await self._operations.once(
            analysis.kind, asked.request_id, begin, lambda kept: self._packing.kind(kept) == analysis.kind
        )

    async def explain_facts(
        self,
        namespace: str,
        analysis: FactsAnalysis,
        retrieval: RetrievalSpec,
        asked: Asked,
    ) -> OperationRecord:
        """The same for the facts that a prompt retrieves. NoFactFits when there are none."""
        self._allowed()
        queries = queries_of(analysis.prompt, self._longest_query)
        knowledge = await self._knowledge.gather(namespace, queries, retrieval)
        best = fitting(knowledge, analysis.prompt, analysis.subject)
        if best is None:
            raise NoFactFits
        chosen = replace(
            analysis,
            subject=analysis.subject or subject_in(analysis.prompt, best),
            answer=analysis.answer or best.fact.content.object,
            facts=knowledge.injected,
        )
        return await self.start(chosen, asked, knowledge.known)

    async def study_emergence(
        self, namespace: str, analysis: EmergenceAnalysis, retrieval: RetrievalSpec, asked: Asked
    ) -> OperationRecord:
        """Of the fact that fits a prompt best. NoFactFits when none does."""
        self._allowed()
        queries = queries_of(analysis.prompt, self._longest_query)
        knowledge = await self._knowledge.gather(namespace, queries, retrieval)
        best = fitting(knowledge, analysis.prompt)
        if best is None:
            raise NoFactFits
        content = best.fact.content
        chosen = replace(
            analysis,
            answer=analysis.answer or content.object,
            telling=f"The {content.relation} of {content.subject} is {content.object}.",
            fact=best.injected,
        )
        return await self.start(chosen, asked, (best,))

    async def study_grafting(
        self, namespace: str, analysis: GraftingAnalysis, count: int, asked: Asked
    ) -> OperationRecord:
        """Of a namespace's oldest facts, so many. NoFactFits when it has none."""
        self._allowed()
        facts = await self._knowledge.oldest(namespace, count)
        if not facts:
            raise NoFactFits
        contents = [fact.content for fact in facts]
        chosen = replace(
            analysis,
            facts=[(each.subject, each.relation, each.object) for each in contents],
            most_parameters=self._settings.tuned_parameters,
        )
        return await self.start(chosen, asked)

    def _allowed(self) -> Study:
        if not self._settings.work:
            raise StudiesOff
        return studied(self._study)
