"""Where in a model can a question find its fact? Measured layer by layer, in closed form, without training.

At each layer the state before the answer, of questions and of fact sentences, is put through canonical
correlation on training pairs. Then, on subjects, objects and phrasings that were never seen, each question
looks for its fact among many of the same relation (is the subject's identity there?) and among many of the
same subject (is the relation there?). Facts are best attended to where both succeed.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from editors.kv.cca import canonical_directions
from editors.kv.contract import FactText
from editors.kv.encoder import normalised
from editors.kv.features import statement
from editors.kv.phrases import PhraseBank, Relation
from engines.architectures import spec_for

_RIDGE = 0.05
_SHARE_OF_BEST = 0.5
_MOST_LAYERS = 1 / 3


@dataclass(frozen=True, slots=True)
class SweepSettings:
    """How much is measured."""

    pairs: int = 1500  # to fit the directions on
    groups: int = 10  # of each kind, to search in
    facts: int = 50  # in a group
    seed: int = 0
    batch: int = 32


@dataclass(frozen=True, slots=True)
class LayerScore:
    """One layer. Rates 0..1: how often the right fact is the best match among those of its group."""

    layer: int
    correlation: float  # mean canonical correlation on the pairs that it was fitted on
    same_relation: float
    same_subject: float
    fitted: float  # same relation again, with subjects, objects and phrasings of the training side

    @property
    def both(self) -> float:
        """What it does at what it does worse: a layer must tell subjects apart and relations too."""
        return min(self.same_relation, self.same_subject)


@dataclass(frozen=True, slots=True)
class Sweep:
    """All layers, and among how many facts was searched (a subject has as many as its kind has relations)."""

    layers: tuple[LayerScore, ...]
    suggested: tuple[int, ...]
    same_relation_facts: int
    same_subject_facts: int


@dataclass(frozen=True, slots=True)
class _Asked:
    """Facts, and a question about each that ends right before its object."""

    facts: tuple[FactText, ...]
    questions: tuple[str, ...]


# The states of questions and of fact sentences, each [layers, facts, hidden].
_States = tuple[Tensor, Tensor]


@torch.inference_mode()
def sweep(
    model: Any,
    tokenizer: Any,
    bank: PhraseBank,
    settings: SweepSettings,
    progress: Callable[[float], None] = lambda share: None,
) -> Sweep:
    """Runs questions and sentences through the model once, then measures every layer on what it kept."""
    rng, count = random.Random(f"sweep/{settings.seed}"), settings.groups
    fitting = _pairs(bank, rng, settings.pairs)
    subjects = [_of_one_subject(bank, rng, settings.facts) for _ in range(count)]
    groups = [
        *(_of_one_relation(bank, rng, settings.facts, held_out=True) for _ in range(count)),
        *subjects,
        *(_of_one_relation(bank, rng, settings.facts, held_out=False) for _ in range(count)),
    ]
    total = len(fitting.facts) + sum(len(group.facts) for group in groups)
    done, states = 0, list[_States]()
    for item in (fitting, *groups):
        sides = (item.questions, [statement(fact) for fact in item.facts])
        asked, told = (_end_states(model, tokenizer, texts, settings.batch) for texts in sides)
        states.append((asked, told))
        done += len(item.facts)
        progress(done / total)
    spec = spec_for(model)
    scores = [
        _layer_score(layer, states[0], states[1:], count, spec.kv_heads * spec.head_dim)
        for layer in range(len(spec.layers))
    ]
    return Sweep(tuple(scores), suggest(scores), settings.facts, min(len(group.facts) for group in subjects))


def suggest(scores: Sequence[LayerScore]) -> tuple[int, ...]:
    """The best third of the layers at most, and none that does less than half as well as the best."""
    best = max(score.both for score in scores)
    ranked = sorted(scores, key=lambda score: (-score.both, score.layer))
    kept = ranked[: max(1, round(len(scores) * _MOST_LAYERS))]
    return tuple(sorted(score.layer for score in kept if score.both >= _SHARE_OF_BEST * best))


def _layer_score(
    layer: int, fitting: _States, groups: Sequence[_States], count: int, width: int
) -> LayerScore:
    asked, told = (normalised(side[layer]) for side in fitting)
    mean_q, mean_c, to_q, to_c, rho = canonical_directions(asked, told, width, _RIDGE)

    def found(chosen: Sequence[_States]) -> float:
        hits = []
        for questions, facts in chosen:
            left = (normalised(questions[layer]) - mean_q) @ to_q
            right = (normalised(facts[layer]) - mean_c) @ to_c
            best = (left * rho @ right.T).argmax(1)
            hits.append((best == torch.arange(len(best), device=best.device)).float())
        return float(torch.cat(hits).mean())

    return LayerScore(
        layer,
        float(rho.mean()),
        found(groups[:count]),
        found(groups[count : 2 * count]),
        found(groups[2 * count :]),
    )


def _end_states(model: Any, tokenizer: Any, texts: Sequence[str], batch: int) -> Tensor:
    """What enters each layer at the texts' last token, [layers, texts, hidden]."""
    found = []
    for start in range(0, len(texts), batch):
        rows = [tokenizer(text).input_ids for text in texts[start : start + batch]]
        shape = (len(rows), max(map(len, rows)))
        ids, mask = torch.full(shape, tokenizer.pad_token_id), torch.zeros(shape, dtype=torch.long)
        for row, tokens in enumerate(rows):
            ids[row, : len(tokens)] = torch.tensor(tokens)
            mask[row, : len(tokens)] = 1
        last = mask.sum(1) - 1
        states = model.base_model(
            input_ids=ids.to(model.device),
            attention_mask=mask.to(model.device),
            output_hidden_states=True,
            use_cache=False,
        ).hidden_states[:-1]
        found.append(torch.stack([state[torch.arange(len(rows)), last].float() for state in states]))
    return torch.cat(found, 1)


def _pairs(bank: PhraseBank, rng: random.Random, count: int) -> _Asked:
    relations = _speakable(bank, bank.relations_of("train"))
    drawn = [_ask(bank, rng, rng.choice(relations), "", held_out=False) for _ in range(count)]
    return _together(drawn)


def _of_one_relation(bank: PhraseBank, rng: random.Random, count: int, *, held_out: bool) -> _Asked:
    """Of as many subjects; of a relation whose kind of subject has so many names."""
    relations = _speakable(bank, bank.relations_of("train"))
    while True:
        relation = rng.choice(relations)
        names = {bank.subject(relation.subject_kind, rng, held_out=held_out) for _ in range(4 * count)}
        if len(names) >= count:
            chosen = sorted(names)[:count]
            return _together(_ask(bank, rng, relation, name, held_out=held_out) for name in chosen)


def _of_one_subject(bank: PhraseBank, rng: random.Random, count: int) -> _Asked:
    """Of a kind of subject that has many relations, on either side of the split."""
    relations = _speakable(bank, bank.relations)
    kinds = sorted({relation.subject_kind for relation in relations})
    sizes = [sum(relation.subject_kind == kind for relation in relations) for kind in kinds]
    largest = [kind for kind, size in zip(kinds, sizes, strict=True) if size >= min(count, max(sizes))]
    kind = rng.choice(largest)
    own = [relation for relation in relations if relation.subject_kind == kind]
    subject = bank.subject(kind, rng, held_out=True)
    chosen = rng.sample(own, min(count, len(own)))
    return _together(_ask(bank, rng, relation, subject, held_out=True) for relation in chosen)


def _speakable(bank: PhraseBank, relations: Sequence[Relation]) -> list[Relation]:
    """Those with phrasings outside of chat on both sides: the sweep asks without a chat template."""
    return [
        relation
        for relation in relations
        if all(
            any(not phrasing.chat for phrasing in side)
            for side in (relation.train_phrasings, relation.held_out_phrasings)
        )
    ]


def _ask(
    bank: PhraseBank, rng: random.Random, relation: Relation, subject: str, *, held_out: bool
) -> tuple[FactText, str]:
    name = subject or bank.subject(relation.subject_kind, rng, held_out=held_out)
    fact = FactText("", name, relation.name, bank.object(relation.object_kind, rng, held_out=held_out))
    phrasings = relation.held_out_phrasings if held_out else relation.train_phrasings
    phrasing = rng.choice([item for item in phrasings if not item.chat])
    return fact, phrasing.filled(fact.subject, fact.relation, fact.object)[1]


def _together(drawn: Iterable[tuple[FactText, str]]) -> _Asked:
    facts, questions = zip(*drawn, strict=True)
    return _Asked(facts, questions)
