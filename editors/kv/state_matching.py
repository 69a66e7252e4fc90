"""Teaches maps of the model's own states which relation a text asks for: the states are read once, then many times gone
through. The embedder is taught by itself (editors/kv/matching.py): taught together, the states would learn only
what it does not fit, and that is little on the relations that it is taught on.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from editors.kv.contract import spoken
from editors.kv.matching import About, choice_loss, taught
from editors.kv.phrases import PhraseBank, Relation
from editors.kv.states import StateMaps, asking, naming, read_states, state_layers

_SHARPNESS = 20.0
_LIKELIHOOD_OF_NONE = -8.0
_CHUNK = 256


@dataclass(frozen=True, slots=True)
class StateMatchSettings:
    """None by default: the shipped encoder's reader is as good alone (docs/adr/0034). 1000 steps are enough."""

    steps: int = 0  # the embedder judges alone, and questions cost no forward of their own
    phrasings: int = 8  # of each relation, at most
    batch: int = 512
    of_kind: int = 48  # relations of one kind of subject in a batch: they are each other's rivals
    width: int = 256
    dropout: float = 0.3  # of the states
    learning_rate: float = 1e-3
    weight_decay: float = 0.3
    warmup: int = 20
    other_names: float = 0.4  # how often a relation goes by another name
    seed: int = 0


@dataclass(frozen=True, slots=True)
class _Lesson:
    """Relations, a text that asks for each and a name that it goes by, as they are read."""

    relations: list[Relation]
    texts: list[str]
    names: list[str]


def match_states(
    model: Any,
    tokenizer: Any,
    bank: PhraseBank,
    about: About,
    settings: StateMatchSettings,
    progress: Callable[[float], None] = lambda share: None,
) -> StateMaps:
    """Not bound yet."""
    torch.manual_seed(settings.seed)
    layers = state_layers(model)
    lessons = _lessons(taught(bank), bank, about, settings)
    asked = _Read(model, tokenizer, layers, [text for lesson in lessons for text in lesson.texts])
    asked.read(lambda share: progress(0.7 * share))
    known = _Read(model, tokenizer, layers, [name for lesson in lessons for name in lesson.names])
    known.read(lambda share: progress(0.7 + 0.2 * share))
    maps = StateMaps(model.config.hidden_size, layers, settings.width)
    text, name = _Map(asked.states, settings), _Map(known.states, settings)
    name.weight.data.copy_(text.weight.data)
    sharpness = nn.Parameter(torch.tensor(math.log(_SHARPNESS)))
    none = nn.Parameter(torch.tensor(_LIKELIHOOD_OF_NONE))
    optimiser = torch.optim.AdamW(
        [
            {
                "params": [text.weight, name.weight],
                "weight_decay": settings.weight_decay,
                "base": settings.learning_rate,
            },
            {"params": [sharpness, none], "weight_decay": 0.0, "base": 1e-2},
        ],
        lr=settings.learning_rate,
    )
    for step, lesson in enumerate(lessons):
        factor = min(1.0, (step + 1) / settings.warmup)
        factor *= 0.02 + 0.49 * (1 + math.cos(math.pi * step / settings.steps))
        for group in optimiser.param_groups:
            group["lr"] = group["base"] * factor
        asks, called = text(asked.rows(lesson.texts)), name(known.rows(lesson.names))
        loss = choice_loss(sharpness.exp() * (asks @ called.T), none, lesson.relations)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        progress(0.9 + 0.1 * (step + 1) / settings.steps)
    maps.text_weight, maps.text_bias = text.whole()
    maps.name_weight, maps.name_bias = name.whole()
    return maps


class _Read:
    """Texts and their states, in half precision: there are tens of thousands."""

    def __init__(self, model: Any, tokenizer: Any, layers: Sequence[int], texts: Sequence[str]) -> None:
        self._model, self._tokenizer, self._layers = model, tokenizer, layers
        self._places: Mapping[str, int] = {text: place for place, text in enumerate(dict.fromkeys(texts))}
        self.states = torch.zeros(0)

    def read(self, progress: Callable[[float], None]) -> None:
        """Texts of like length together, so that little is read for nothing."""
        texts = list(self._places)
        order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
        parts: list[Tensor] = []
        for start in range(0, len(order), _CHUNK):
            chunk = [texts[place] for place in order[start : start + _CHUNK]]
            parts.append(read_states(self._model, self._tokenizer, chunk, self._layers).half())
            progress((start + len(chunk)) / len(order))
        self.states = torch.cat(parts)[torch.tensor(order).argsort()]

    def rows(self, texts: Sequence[str]) -> Tensor:
        """Their states."""
        return self.states[[self._places[text] for text in texts]].float()


class _Map(nn.Module):
    """A linear map of states that are brought to mean 0 and spread 1 first."""

    def __init__(self, states: Tensor, settings: StateMatchSettings) -> None:
        super().__init__()
        self._mean = states.float().mean(0)
        self._spread = states.float().std(0).clamp_min(1e-3)
        self._dropout = settings.dropout
        width = states.shape[1]
        self.weight = nn.Parameter(torch.randn(settings.width, width) / width**0.5)

    def forward(self, states: Tensor) -> Tensor:
        ready = F.dropout((states - self._mean) / self._spread, self._dropout)
        return F.normalize(F.linear(ready, self.weight), dim=-1)

    def whole(self) -> tuple[Tensor, Tensor]:
        """Weight and bias for states as they are read."""
        weight = self.weight.detach() / self._spread
        return weight, -weight @ self._mean


def _lessons(
    relations: Sequence[Relation], bank: PhraseBank, about: About, settings: StateMatchSettings
) -> list[_Lesson]:
    """Drawn before anything is read, so that nothing is read in vain."""
    kinds: dict[str, list[Relation]] = {}
    for relation in relations:
        kinds.setdefault(relation.subject_kind, []).append(relation)
    texts: dict[str, list[str]] = {}
    lessons = []
    for step in range(settings.steps):
        rng = random.Random(f"states/{settings.seed}/{step}")
        chosen = _draw(relations, kinds, rng, settings)
        for relation in chosen:
            if relation.name not in texts:
                texts[relation.name] = _texts(relation, bank, about, settings)
        lessons.append(
            _Lesson(
                chosen,
                [rng.choice(texts[relation.name]) for relation in chosen],
                [naming(spoken(_name(relation, rng, settings))) for relation in chosen],
            )
        )
    return lessons


def _texts(relation: Relation, bank: PhraseBank, about: About, settings: StateMatchSettings) -> list[str]:
    """Its phrasings, of a subject each, as they are read."""
    rng = random.Random(f"states/{settings.seed}/{relation.name}")
    found = []
    for phrasing in rng.sample(
        relation.train_phrasings, min(settings.phrasings, len(relation.train_phrasings))
    ):
        subject = bank.subject(relation.subject_kind, rng)
        user, start = phrasing.filled(subject, relation.name, "")
        found.append(asking(about(user or start, subject)[-1]))
    return found


def _draw(
    relations: Sequence[Relation],
    kinds: Mapping[str, Sequence[Relation]],
    rng: random.Random,
    settings: StateMatchSettings,
) -> list[Relation]:
    """Each relation at most once, many of the same kinds of subject."""
    chosen: dict[str, Relation] = {}
    while len(chosen) < min(settings.batch, len(relations)):
        known = kinds[rng.choice(relations).subject_kind]
        for relation in rng.sample(known, min(len(known), settings.of_kind)):
            chosen.setdefault(relation.name, relation)
    return list(chosen.values())[: settings.batch]


def _name(relation: Relation, rng: random.Random, settings: StateMatchSettings) -> str:
    if relation.also and rng.random() < settings.other_names:
        return rng.choice(relation.also)
    return relation.name
