"""Asks the cases of `bench.encoder` through the service and judges the answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.answers import intruders, is_clean, occurrences, said_again, says, says_first
from bench.common import sample_keys, share_keys
from bench.encoder_questions import Case
from bench.service_run import Ask, Service
from interleaf import Answer, ValueCheck

ABSENT_TOKENS = 12  # of an answer that is compared to the plain model's
AFTER = 20  # tokens behind the object in which repetitions are counted
_MARGIN = 3  # tokens behind an object that show where it ends
_CHAT_TOKENS = 48
_ROWS_PER_CELL = 60


@dataclass
class Record:
    """Figures and rows as they come in."""

    keys: dict[str, Any] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    asked: int = 0

    def share(self, name: str, outcomes: Sequence[bool], relations: Sequence[str]) -> None:
        """A rate with its interval, for which relations are drawn whole; null where nothing was asked."""
        self.keys |= share_keys(name, outcomes, clusters=relations) if outcomes else {name: None}

    def keep(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Some rows of a cell, those that went wrong first: all would be tens of megabytes."""
        self.asked += len(rows)
        ordered = sorted(rows, key=lambda row: bool(row["good"]))
        self.rows += [dict(row) for row in ordered[:_ROWS_PER_CELL]]


class Asking:
    """Cases to answers."""

    def __init__(self, service: Service, tokenizer: Any) -> None:
        self._service, self._tokenizer = service, tokenizer

    async def answers(
        self,
        namespace: str,
        cases: Sequence[Case],
        *,
        use_facts: bool = True,
        tokens: int = 0,
        after: int = _MARGIN,
    ) -> list[Answer]:
        """Greedy answers: of `tokens`, or else as long as the objects and what shows that they ended."""
        return await self._service.ask_all(
            [
                Ask(
                    namespace,
                    case.prompt,
                    tokens or self._room(case, after),
                    complete=not case.chat,
                    use_facts=use_facts,
                )
                for case in cases
            ]
        )

    async def answer_now(self, namespace: str, case: Case) -> Answer:
        """One answer that is not taken from an earlier run."""
        room = self._room(case, _MARGIN)
        return await self._service.ask(Ask(namespace, case.prompt, room, complete=not case.chat))

    async def after_objects(self, namespace: str, cases: Sequence[Case]) -> list[Answer]:
        """How the plain model goes on when the object is part of its prompt."""
        return await self._service.ask_all(
            [
                Ask(namespace, f"{case.prompt} {case.objects[0]}", AFTER, complete=True, use_facts=False)
                for case in cases
            ]
        )

    def _room(self, case: Case, after: int) -> int:
        objects = sum(
            len(self._tokenizer(f" {value}", add_special_tokens=False).input_ids) for value in case.objects
        )
        if case.chat:
            return objects + _CHAT_TOKENS
        return objects + (after if len(case.objects) == 1 else AFTER)


def is_right(case: Case, answer: Answer) -> bool:
    """The object begins the answer; in a chat, or when there are two, they occur in it."""
    if case.chat or len(case.objects) > 1:
        return all(says(answer.text, value) for value in case.objects)
    return says_first(answer.text, case.objects[0])


def judge_present(record: Record, cell: str, cases: Sequence[Case], answers: Sequence[Answer]) -> None:
    """`cell`, and `injected_cell`: how often retrieval and prior let the asked facts through to the model."""
    judge_said(record, cell, cases, answers)
    pairs = zip(cases, answers, strict=True)
    injected = [_injected(case, answer) for case, answer in pairs]
    if injected:
        record.keys[f"injected_{cell}"] = sum(injected) / len(injected)


def judge_said(record: Record, cell: str, cases: Sequence[Case], answers: Sequence[Answer]) -> None:
    """`cell`: how often the objects are said."""
    right = [is_right(case, answer) for case, answer in zip(cases, answers, strict=True)]
    record.share(cell, right, relations_of(cases))
    record.keep([_row(cell, c, a) | {"good": good} for c, a, good in zip(cases, answers, right, strict=True)])


def judge_clean(record: Record, cases: Sequence[Case], answers: Sequence[Answer]) -> None:
    """`chat_clean`: the object exactly once, and an end."""
    pairs = [(c, a) for c, a in zip(cases, answers, strict=True) if c.chat]
    record.share(
        "chat_clean",
        [is_clean(a.text, c.objects[0], stopped=a.finish_reason == "stop") for c, a in pairs],
        relations_of([case for case, _ in pairs]),
    )


def judge_repeats(
    record: Record, cases: Sequence[Case], answers: Sequence[Answer], plain: Sequence[Answer]
) -> None:
    """`repeats_excess`: how much oftener the object comes again than when it was part of the plain prompt."""
    ours = [said_again(a.text, c.objects[0]) for c, a in zip(cases, answers, strict=True)]
    theirs = [occurrences(a.text, c.objects[0]) > 0 for c, a in zip(cases, plain, strict=True)]
    relations = relations_of(cases)
    record.share("repeats", ours, relations)
    record.share("repeats_plain", theirs, relations)
    more = [float(again) - float(plainly) for again, plainly in zip(ours, theirs, strict=True)]
    excess = sample_keys("repeats_excess", more, clusters=relations) if cases else {"repeats_excess": None}
    record.keys |= excess
    record.keep(
        [
            _row("repeats", c, a) | {"plain": p.text, "good": not again}
            for c, a, p, again in zip(cases, answers, plain, ours, strict=True)
        ]
    )


def judge_absent(
    record: Record, cell: str, cases: Sequence[Case], answers: Sequence[Answer], plain: Sequence[Answer]
) -> list[bool]:
    """`cell_intrusion` and `cell_unchanged`; returns the latter's outcomes."""
    intruded = [
        bool(intruders(a.text, p.text, c.prompt, [citation.object for citation in a.citations]))
        for c, a, p in zip(cases, answers, plain, strict=True)
    ]
    unchanged = [a.text == p.text for a, p in zip(answers, plain, strict=True)]
    record.share(f"{cell}_intrusion", intruded, relations_of(cases))
    record.share(f"{cell}_unchanged", unchanged, relations_of(cases))
    record.keep(
        [
            _row(cell, c, a) | {"plain": p.text, "intruded": bad, "good": same and not bad}
            for c, a, p, bad, same in zip(cases, answers, plain, intruded, unchanged, strict=True)
        ]
    )
    return unchanged


def grounded_mass(answer: Answer) -> float:
    """The attention on the most attended fact, at the token where it is highest."""
    return max((citation.attention for citation in answer.citations), default=0.0)


def withheld_when_strict(answer: Answer) -> bool:
    """Whether the server would have withheld this answer, had it been asked to be strict."""
    return all(citation.value_check is not ValueCheck.EXACT for citation in answer.citations)


def relations_of(cases: Sequence[Case]) -> list[str]:
    """What each asks for."""
    return [case.relation for case in cases]


def _injected(case: Case, answer: Answer) -> bool:
    found = {(citation.subject, citation.relation, citation.object) for citation in answer.citations}
    wanted = {(fact.subject, fact.relation.name, fact.object) for fact in case.facts}
    return wanted <= found


def _row(cell: str, case: Case, answer: Answer) -> dict[str, Any]:
    return {
        "cell": cell,
        "prompt": case.prompt,
        "objects": list(case.objects),
        "answer": answer.text,
        "mass": round(grounded_mass(answer), 4),
        "grounding": str(answer.grounding),
    }
