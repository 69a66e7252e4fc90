"""CheckHallucination and TraceAnswers: diagnoses of a few passes, answered at once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from circuits.answered import is_right
from circuits.hallucination.calibration import Calibration, calibration_of
from circuits.hallucination.check import Check, check, check_cost
from circuits.lab import Lab, Passes
from circuits.lens import LensResult, lens, lens_cost
from circuits.probe import Placed, answer_tokens, place
from engines.contract import Message, Sampling
from engines.whole_words import mentions, standing
from kb_store.errors import InvalidInput
from service.commands.answering import Answering, Ask, queries_of
from service.errors import EngineNotStudied
from service.serving.citations import stands_in
from service.serving.knowledge import Knowledge, KnowledgeSource, Known, RetrievalSpec
from service.studies.study import Study

_ANSWER_TOKENS = 24
# Where a clause ends: not in "17.2.20", nor behind "St." or "J.".
_CLAUSE_END = re.compile(r"\n|[.;!?]\Z|[;!?](?=\s)|(?<!\b[A-Z])(?<!\b[A-Z][a-z])\.(?=\s)")
_NAME = re.compile(r"(?:[A-Z\d][\w'’.-]*)(?:\s+(?:of|the|de|la|von|van|[A-Z\d][\w'’.-]*))*")


@dataclass(frozen=True, slots=True)
class CheckAsk:
    """What CheckHallucination is given; empty texts are looked for."""

    namespace: str
    prompt: str | tuple[Message, ...]
    answer: str
    truth: str
    subject: str
    retrieval: RetrievalSpec


@dataclass(frozen=True, slots=True)
class Checked:
    """A check, and what it rests on. `source` is none, caller or store."""

    check: Check
    answer: str
    truth: str
    source: str
    fact: Known | None
    subject: str
    threshold: float
    pieces: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Traced:
    """Trajectories of answers."""

    result: LensResult
    placed: Placed
    passes: Passes


class Checking:
    """`study` is None where the engine cannot be looked into."""

    def __init__(
        self, study: Study | None, answering: Answering, knowledge: KnowledgeSource, longest_query: int
    ) -> None:
        self._study, self._answering, self._knowledge = study, answering, knowledge
        self._longest_query = longest_query
        self._calibration: Calibration | None = None if study is None else calibration_of(study.digest)

    async def check(self, ask: CheckAsk) -> Checked:
        """What the namespace knows is looked up, the answer is looked into, facts are injected in the lab only."""
        study = studied(self._study)
        if not study.reading_layers:
            ask = replace(ask, retrieval=replace(ask.retrieval, disabled=True))
        queries = queries_of(ask.prompt, self._longest_query)
        knowledge = await self._knowledge.gather(ask.namespace, queries, ask.retrieval)
        fact = fitting(knowledge, ask.prompt, ask.subject)
        subject = ask.subject or (_spoken(fact, text_of(ask.prompt)) if fact else _last_name(ask.prompt))
        truth, source = ask.truth, "caller" if ask.truth else "none"
        if not truth and fact is not None:
            truth, source = fact.fact.content.object, "store"
        said = ask.answer or await self._answer(ask)
        clause = clause_of(said)
        answer = said.strip() if ask.answer else clause
        holds = fact if fact is not None and truth and is_right(fact.fact.content.object, truth) else None
        same = bool(truth) and (is_right(said, truth) or stands_in(truth, clause))
        injected = (holds.injected,) if holds is not None else ()
        calibration = self._calibration

        def work(lab: Lab) -> tuple[Check, tuple[str, ...]]:
            found = check(
                lab,
                ask.prompt,
                subject,
                answer,
                truth=truth,
                same=same,
                facts=injected,
                calibration=calibration,
            )
            return found, found.placed.pieces

        cost = check_cost(truth=bool(truth), facts=bool(injected))
        found, pieces = await study.run(work, cost)
        threshold = 0.0 if calibration is None else calibration.threshold
        return Checked(found, answer, truth, source, holds, subject, threshold, pieces)

    async def trace(self, prompt: str | tuple[Message, ...], subject: str, answers: Sequence[str]) -> Traced:
        """Each answer through the layers."""
        study, cost = studied(self._study), lens_cost(len(answers))

        def work(lab: Lab) -> Traced:
            placed = place(lab, prompt, subject)
            tokens = [
                (text, answer_tokens(lab, prompt, text, f"answers[{at}]")) for at, text in enumerate(answers)
            ]
            return Traced(lens(lab, placed, tokens), placed, lab.meter.done)

        return await study.run(work, cost)

    async def _answer(self, ask: CheckAsk) -> str:
        plain = Ask(
            ask.namespace,
            ask.prompt,
            Sampling(max_tokens=_ANSWER_TOKENS),
            replace(ask.retrieval, disabled=True, fact_ids=()),
        )
        text = (await self._answering.answer(plain)).generation.text
        if not text.strip():
            raise InvalidInput("answer", "must be given: the model answers this prompt with nothing")
        return text


def studied(study: Study | None) -> Study:
    """EngineNotStudied where there is none."""
    if study is None:
        raise EngineNotStudied
    return study


def text_of(prompt: str | Sequence[Message]) -> str:
    """Everything that is said in it."""
    return prompt if isinstance(prompt, str) else "\n".join(message.content for message in prompt)


def fitting(knowledge: Knowledge, prompt: str | Sequence[Message], subject: str = "") -> Known | None:
    """The fact that the retriever found to fit best, of those whose subject stands in the prompt."""
    text = text_of(prompt)
    fits = [
        item for item in knowledge.known if _spoken(item, text) and (not subject or _spoken(item, subject))
    ]
    return max(fits, key=lambda item: item.score, default=None)


def subject_in(prompt: str | Sequence[Message], known: Known) -> str:
    """How the prompt calls the fact's subject; empty when it does not."""
    return _spoken(known, text_of(prompt))


def _spoken(known: Known, text: str) -> str:
    """The longest of the fact's names that stands there as a word of its own, or else inside of others."""
    content = known.fact.content
    names = sorted((content.subject, *content.aliases), key=len, reverse=True)
    found = [name for name in names if mentions(name, text, any_case=True)]
    return next((name for name in found if standing(name, text, any_case=True)), (found or [""])[0])


def _last_name(prompt: str | Sequence[Message]) -> str:
    """What is written like a name, the last of it that does not open a sentence, unless nothing else does."""
    text = prompt if isinstance(prompt, str) else prompt[-1].content
    names = [found for found in _NAME.finditer(text) if len(found[0]) > 1]
    inner = [found for found in names if found.start() and text[: found.start()].rstrip()[-1:] not in ".?!\n"]
    if not names:
        raise InvalidInput("subject", "must be given: no stored fact fits, and the prompt has no name")
    return (inner or names)[-1][0].rstrip(".'’-")


def clause_of(text: str) -> str:
    """The first clause of what was said; all of it where nothing but ends of clauses was."""
    return next((part.strip() for part in _CLAUSE_END.split(text) if part.strip()), text.strip())
