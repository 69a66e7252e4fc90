"""Why a fact is shown to the model, or is not: what retrieval found, with the evidence that decided."""

from __future__ import annotations

import enum
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from editors.kv.contract import Evidence
from editors.kv.prior import MIN_SUBJECT_COVER
from kb_store.model import Fact


class Weight(enum.Enum):
    """The reason that decided."""

    SHOWN = "shown"
    SUBJECT_NOT_NAMED = "subject not named"
    NOT_ASKED_FOR = "not asked for"
    BEHIND_ANOTHER = "behind another"


@dataclass(frozen=True, slots=True)
class WeighedFact:
    """A fact, the retriever's score, and what else spoke for it."""

    fact: Fact
    score: float
    evidence: Evidence
    weight: Weight


@dataclass(frozen=True, slots=True)
class Weighing:
    """Those that are shown first. `fit_needed`: the least meaning of one that is."""

    facts: tuple[WeighedFact, ...]
    fit_needed: float
    namespace_revision: int


def weighed_facts(
    found: Sequence[tuple[Fact, float]],
    evidence: Sequence[Evidence],
    shown: Collection[str],
    fit_needed: float,
) -> tuple[WeighedFact, ...]:
    """`shown`: uids of the facts that are."""

    def weight(fact: Fact, item: Evidence) -> Weight:
        if fact.uid in shown:
            return Weight.SHOWN
        if item.subject_cover < MIN_SUBJECT_COVER:
            return Weight.SUBJECT_NOT_NAMED
        return Weight.NOT_ASKED_FOR if item.meaning < fit_needed else Weight.BEHIND_ANOTHER

    weighed = [
        WeighedFact(fact, score, item, weight(fact, item))
        for (fact, score), item in zip(found, evidence, strict=True)
    ]
    return tuple(sorted(weighed, key=lambda item: item.weight is not Weight.SHOWN))
