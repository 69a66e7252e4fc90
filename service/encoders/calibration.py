"""Fits what a server decides with: grounded threshold, weight of the retriever's evidence, facts to retrieve.

Questions are asked twice, once with the asked fact among the facts and once without it. What is wanted of each
value is that the fact is said when it is there, and that nothing changes when it is not; the better half of
nothing is worth nothing, so both count the same. One value after the other is varied, the others held.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import torch
from torch import Tensor

from editors.kv.calibration import Calibration, Verdict, prior_scaled, verdict
from editors.kv.contract import FactText
from editors.kv.encoder import KVEncoder
from editors.kv.evaluate import SLICES, judge
from editors.kv.phrases import PhraseBank, Phrasing
from editors.kv.prior import MIN_SUBJECT_COVER
from editors.kv.problems import Problem, Question
from kb_store.keys import key_text, query_text
from kb_store.retrieval import DENSE_WEIGHT, RELATION_WEIGHT, SUBJECT_WEIGHT
from kb_store.scoring import Candidate
from kb_store.scoring import Question as AskedText
from service.encoders.own_words import Asked, divided
from service.encoders.stand import Stand
from service.serving.evidence import scorer
from service.serving.examples import key_of

_POOL = 48  # facts that are at hand for a batch of questions
_BATCH = 32  # questions of a batch
_RIVALS = 3  # facts of the same relation that come along with an asked one
_CHAT_SHARE = 0.3
# Slices of the held-out world with an answer, the farthest from training first.
_WORLD = sorted(
    (view for view in SLICES.values() if not view.absent),
    key=lambda view: -(view.held_out_phrasings + view.held_out_relations + bool(view.chat)),
)


@dataclass(frozen=True, slots=True)
class CalibrationSettings:
    """What is tried. The neutral values are those that training used."""

    questions: int = 96
    seed: int = 0
    top_ks: tuple[int, ...] = (4, 16, 32)
    scales: tuple[float, ...] = (0.5, 0.75, 1.5, 2.0)
    offsets: tuple[float, ...] = (-4.0, -2.0, 2.0, 4.0)
    neutral: tuple[int, float, float] = (8, 1.0, 0.0)


@dataclass(frozen=True, slots=True)
class Pool:
    """Facts, and questions whose candidates retrieval is yet to choose."""

    facts: tuple[FactText, ...]
    questions: tuple[Question, ...]


@dataclass(frozen=True, slots=True)
class _Values:
    top_k: int
    scale: float
    offset: float


@dataclass(frozen=True, slots=True)
class _Seen:
    """With some values: rates, and the most attended fact's share with the asked fact there and without."""

    right: float
    unchanged: float
    present: Tensor = field(repr=False)
    absent: Tensor = field(repr=False)

    @property
    def worth(self) -> float:
        return (self.right + self.unchanged) / 2


def calibrate(
    stand: Stand,
    encoder: KVEncoder,
    facts: Sequence[FactText],
    settings: CalibrationSettings,
    namespace: str = "",
    progress: Callable[[float], None] = lambda share: None,
    examples: Mapping[str, Sequence[str]] | None = None,
) -> Calibration:
    """On the given facts of a namespace, or on the held-out world when there are none.

    `examples`: how the namespace says its relations are asked for.
    """
    described, asked = divided(examples or {})
    stand = replace(stand, score=scorer(stand.embedder, described)) if described else stand
    rng = random.Random(f"calibration/{settings.seed}")  # noqa: S311 - to be repeatable
    count = -(-settings.questions // _BATCH)
    size = min(_BATCH, settings.questions)
    if facts:
        pools = [_pool_of_facts(stand, facts, rng, size, asked) for _ in range(count)]
    else:
        pools = [_pool_of_world(stand, rng, size, number) for number in range(count)]
    ranks = [_ranked(stand, pool) for pool in pools]
    neutral = _Values(*settings.neutral)
    tried: dict[_Values, _Seen] = {}
    trials = 1 + len(settings.scales) + len(settings.offsets) + len(settings.top_ks)

    def seen(values: _Values) -> _Seen:
        if values not in tried:
            problems = [_problem(*both, values.top_k) for both in zip(pools, ranks, strict=True)]
            tried[values] = _measured(stand, encoder, problems, values)
            progress(min(1.0, len(tried) / trials))
        return tried[values]

    best = neutral
    variations: tuple[Callable[[_Values], list[_Values]], ...] = (
        lambda values: [replace(values, scale=scale) for scale in settings.scales],
        lambda values: [replace(values, offset=offset) for offset in settings.offsets],
        lambda values: [replace(values, top_k=top_k) for top_k in settings.top_ks],
    )
    for varied in variations:
        for other in varied(best):
            # It takes more than chance to leave what is known.
            if seen(other).worth > seen(best).worth + _margin(settings.questions):
                best = other
    found = verdict(seen(best).present, seen(best).absent)
    return Calibration(
        digest=encoder.digest,
        grounded_threshold=found.threshold,
        prior_scale=best.scale,
        prior_offset=best.offset,
        top_k=best.top_k,
        namespace=namespace,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        figures=_figures(seen(neutral), seen(best), found, sum(len(pool.questions) for pool in pools)),
    )


def _margin(questions: int) -> float:
    """A standard deviation, about, of the difference of two rates measured on the same questions."""
    return float(0.25 / questions**0.5)


def _figures(before: _Seen, after: _Seen, found: Verdict, questions: int) -> dict[str, float]:
    return {
        "questions": float(questions),
        "right_before": before.right,
        "right": after.right,
        "absent_unchanged_before": before.unchanged,
        "absent_unchanged": after.unchanged,
        "grounded_accuracy": found.accuracy,
        "grounded_auroc": found.auroc,
        "refusal_precision": found.refusal_precision,
        "refusal_recall": found.refusal_recall,
    }


def _measured(stand: Stand, encoder: KVEncoder, problems: Sequence[Problem], values: _Values) -> _Seen:
    right, unchanged, present, absent = [], [], [], []
    for problem in problems:
        with prior_scaled(encoder, values.scale, values.offset):
            judged = judge(encoder, stand.model, stand.tokenizer, problem, stand.score)
        asked = len(problem.questions) // 2  # the first half is asked with the fact, the second without
        missing = torch.tensor([question.absent for question in problem.questions])
        right.append(judged.right[:asked] & ~missing[:asked])  # not retrieved is not right
        unchanged.append(judged.unchanged[asked:])
        present.append(judged.mass[:asked][~missing[:asked]])
        absent.append(judged.mass[asked:])
    return _Seen(
        float(torch.cat(right).float().mean()),
        float(torch.cat(unchanged).float().mean()),
        torch.cat(present),
        torch.cat(absent),
    )


def _problem(pool: Pool, ranks: Sequence[Sequence[int]], top_k: int) -> Problem:
    """Every question with what retrieval finds, and again with what it finds when the asked fact is not there."""
    with_fact = [
        replace(question, candidates=tuple(ranked[:top_k]))
        for question, ranked in zip(pool.questions, ranks, strict=True)
    ]
    without = [
        replace(question, candidates=tuple([fact for fact in ranked if fact != question.asked][:top_k]))
        for question, ranked in zip(pool.questions, ranks, strict=True)
    ]
    return Problem(pool.facts, (*with_fact, *without))


def _ranked(stand: Stand, pool: Pool) -> list[list[int]]:
    """For each question the facts that the retriever would find, best first."""
    asked = stand.embedder.embed([query_text(question.searched) for question in pool.questions])
    known = stand.embedder.embed([key_text(fact.relation, fact.subject) for fact in pool.facts])
    candidates = [Candidate(fact.subject, fact.relation) for fact in pool.facts]
    ranks = []
    for question, cosines in zip(pool.questions, (asked @ known.T).clip(0.0, 1.0), strict=True):
        covers = AskedText(question.searched).score(candidates)
        fused = [
            (SUBJECT_WEIGHT * cover.subject + RELATION_WEIGHT * cover.relation + DENSE_WEIGHT * cosine, index)
            for index, (cover, cosine) in enumerate(zip(covers, cosines.tolist(), strict=True))
            if cover.subject >= MIN_SUBJECT_COVER
        ]
        ranks.append([index for _, index in sorted(fused, key=lambda item: (-item[0], item[1]))])
    return ranks


def _pool_of_world(stand: Stand, rng: random.Random, size: int, number: int) -> Pool:
    """One slice of the held-out world after the other."""
    problem = stand.world.problem(rng, _WORLD[number % len(_WORLD)])
    return Pool(problem.facts, problem.questions[:size])


def _pool_of_facts(
    stand: Stand, facts: Sequence[FactText], rng: random.Random, size: int, asked_as: Asked
) -> Pool:
    """Some facts with their rivals: all of the same subject, and some of the same relation."""
    chosen: dict[FactText, None] = {}
    order = rng.sample(list(facts), len(facts))
    for fact in order:
        if len(chosen) >= _POOL:
            break
        own = [other for other in order if other.subject == fact.subject]
        same = [other for other in order if other.relation == fact.relation][:_RIVALS]
        chosen.update(dict.fromkeys([fact, *own, *same]))
    pool = tuple(chosen)[:_POOL]
    asked = [rng.randrange(len(pool)) for _ in range(size)]
    return Pool(pool, tuple(_question(stand, pool[index], index, rng, asked_as) for index in asked))


def _question(stand: Stand, fact: FactText, index: int, rng: random.Random, asked_as: Asked) -> Question:
    """As the application says it is asked for, or in a phrasing that training has not used where the bank knows the
    relation, else in one that names it."""
    phrasings = asked_as.get(key_of(fact.relation)) or _phrasings(stand.bank, fact.relation)
    chats = [phrasing for phrasing in phrasings if phrasing.chat]
    speaks = (
        bool(chats) and bool(getattr(stand.tokenizer, "chat_template", None)) and rng.random() < _CHAT_SHARE
    )
    options = chats if speaks else [phrasing for phrasing in phrasings if not phrasing.chat]
    user, start = rng.choice(options).filled(fact.subject, fact.relation, fact.object)
    if not speaks:
        return Question(start, start, index, ())
    turns: list[dict[str, Any]] = [{"role": "user", "content": user}]
    head: str = stand.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    return Question(head + start, user, index, ())


def _phrasings(bank: PhraseBank, relation: str) -> Sequence[Phrasing]:
    folded = relation.strip().casefold()
    for known in bank.relations:
        if known.name.casefold() == folded:
            return (*known.held_out_phrasings, *bank.frames)
    return bank.frames
