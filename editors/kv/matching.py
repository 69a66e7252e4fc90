"""Teaches the text embedder which relation a text asks for: low-rank changes, from the phrase bank alone.

The plain embedder puts "it grew up speaking" near whatever sounds alike. Here texts (the subject replaced by a
pronoun) and names of relations are drawn together, against the other relations of the same kind of subject. How
many steps are good depends on how many relations the bank has: too many fit these better and relations that nobody
taught worse (docs/adr/0016, 0022).
"""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from editors.kv.low_rank import low_rank, tiles
from editors.kv.moments import keep, resumed
from editors.kv.phrases import PhraseBank, Relation

_SHARPNESS = 20.0
_LIKELIHOOD_OF_NONE = -8.0
_CHECKPOINT_EVERY = 25  # steps: some minutes
_KEPT_BACK = 0.1  # of the relations

# What a text says of a subject, the subject's name replaced: the store's own reading of texts, given from outside.
About = Callable[[str, str], Sequence[str]]


@dataclass(frozen=True, slots=True)
class MatchSettings:
    """The defaults are the recipe of the shipped encoder."""

    reader: str = "all-mpnet-base-v2"  # the embedder that is taught; empty: retrieval's
    steps: int = 500
    batch: int = 192
    of_kind: int = 32  # relations of one kind of subject in a batch: they are each other's rivals
    rank: int = 16
    learning_rate: float = 1e-3
    warmup: int = 15
    other_names: float = 0.4  # how often a relation goes by another name
    context: float = 0.15  # how often an unrelated sentence stands before
    recalled: int = (
        8  # texts that ask for a relation, of which the taught embedder keeps the middle; 0: of none
    )
    seed: int = 0
    afresh: bool = False  # teach, though an encoder that is shipped was taught just so


def match_relations(
    model: Any,
    encode: Callable[[Sequence[str]], Mapping[str, Tensor]],
    bank: PhraseBank,
    about: About,
    settings: MatchSettings,
    progress: Callable[[float], None] = lambda share: None,
    checkpoint: Path | None = None,
) -> dict[str, Tensor]:
    """The changes, as `SentenceEmbedder.adapted` takes them. The model given is left as it was. `checkpoint`: a file;
    what was interrupted goes on from it."""
    torch.manual_seed(settings.seed)
    draw = Draw(bank, about, settings)
    sharpness = nn.Parameter(torch.tensor(math.log(_SHARPNESS)))
    none = nn.Parameter(torch.tensor(_LIKELIHOOD_OF_NONE))
    with low_rank(model, settings.rank) as changes:
        optimiser = torch.optim.AdamW(
            [
                {"params": list(changes.values()), "weight_decay": 0.01, "base": settings.learning_rate},
                {"params": [sharpness, none], "weight_decay": 0.0, "base": 1e-2},
            ],
            lr=settings.learning_rate,
        )
        named: dict[str, Tensor] = {**changes, "sharpness": sharpness, "none": none}
        for step in range(resumed(checkpoint, optimiser, named), settings.steps):
            factor = min(1.0, (step + 1) / settings.warmup)
            factor *= 0.05 + 0.475 * (1 + math.cos(math.pi * step / settings.steps))
            for group in optimiser.param_groups:
                group["lr"] = group["base"] * factor
            chosen, texts, names = draw.batch(random.Random(f"match/{settings.seed}/{step}"))
            asked, known = _vectors(model, encode, texts), _vectors(model, encode, names)
            loss = choice_loss(sharpness.exp() * (asked @ known.T), none, chosen)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(list(changes.values()), 1.0)
            optimiser.step()
            if checkpoint and (step + 1) % _CHECKPOINT_EVERY == 0:
                keep(checkpoint, optimiser, named, step + 1)
            progress((step + 1) / settings.steps)
        return {name: value.detach().half().contiguous() for name, value in changes.items()}


def taught(bank: PhraseBank) -> tuple[Relation, ...]:
    """The relations that are taught; the others of the training side show from where on a fit is likely
    (editors/kv/likely.py), as the relations of a user will fit that nobody taught."""
    return tuple(relation for relation in bank.relations_of("train") if not _kept_back(relation))


def kept_back(bank: PhraseBank) -> tuple[Relation, ...]:
    """The relations of the training side that are not taught."""
    return tuple(relation for relation in bank.relations_of("train") if _kept_back(relation))


def _kept_back(relation: Relation) -> bool:
    digest = hashlib.sha256(f"kept back/{relation.name}".encode()).digest()
    return int.from_bytes(digest[:4], "big") < _KEPT_BACK * 2**32


class Draw:
    """Batches of relations with a text that asks for each and a name that each goes by."""

    def __init__(self, bank: PhraseBank, about: About, settings: MatchSettings) -> None:
        self._bank, self._about, self._settings = bank, about, settings
        self.relations = taught(bank)
        self.kinds: dict[str, list[Relation]] = {}
        for relation in self.relations:
            self.kinds.setdefault(relation.subject_kind, []).append(relation)

    def batch(self, rng: random.Random) -> tuple[list[Relation], list[str], list[str]]:
        """Each relation at most once."""
        settings = self._settings
        chosen: dict[str, Relation] = {}
        while len(chosen) < min(settings.batch, len(self.relations)):
            known = self.kinds[rng.choice(self.relations).subject_kind]
            for relation in rng.sample(known, min(len(known), settings.of_kind)):
                chosen.setdefault(relation.name, relation)
        relations = list(chosen.values())[: settings.batch]
        return relations, [self.text(rng, r) for r in relations], [self.name(rng, r) for r in relations]

    def text(self, rng: random.Random, relation: Relation) -> str:
        """That asks for it."""
        subject = self._bank.subject(relation.subject_kind, rng)
        user, start = rng.choice(relation.train_phrasings).filled(subject, relation.name, "")
        text = user or start
        if not user and rng.random() < self._settings.context:
            text = f"{rng.choice(self._bank.sentences)} {text}"
        return rng.choice(self._about(text, subject))

    def name(self, rng: random.Random, relation: Relation) -> str:
        """That it goes by."""
        if relation.also and rng.random() < self._settings.other_names:
            return rng.choice(relation.also)
        return relation.name


def choice_loss(logits: Tensor, none: Tensor, relations: Sequence[Relation]) -> Tensor:
    """Rivals of the same kind of subject first, then all; from both sides; and whether it is asked for at all."""
    kinds = {kind: place for place, kind in enumerate({relation.subject_kind for relation in relations})}
    kind = torch.tensor([kinds[relation.subject_kind] for relation in relations])
    right = torch.arange(len(relations))
    rivals = logits.masked_fill(kind[:, None] != kind, -1e4)
    wanted = torch.eye(len(relations))
    weight = torch.tensor(float(len(relations)) ** 0.5)
    return (
        F.cross_entropy(rivals, right)
        + 0.5 * F.cross_entropy(logits, right)
        + 0.3 * F.cross_entropy(logits.T, right)
        + 2.0 * F.binary_cross_entropy_with_logits(logits + none, wanted, pos_weight=weight)
    )


def _vectors(
    model: Any, encode: Callable[[Sequence[str]], Mapping[str, Tensor]], texts: Sequence[str]
) -> Tensor:
    """Mean-pooled unit vectors, with gradients; texts of like length together."""
    order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
    rows: list[Tensor] = []
    for start in range(0, len(order), 64):
        inputs = encode([texts[place] for place in order[start : start + 64]])
        with torch.autocast("cpu", torch.bfloat16, enabled=tiles()):
            hidden = model(**inputs).last_hidden_state.float()
        mask = inputs["attention_mask"].unsqueeze(-1).to(hidden.dtype)
        rows.append(F.normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1))
    return torch.cat(rows)[torch.tensor(order).argsort()]
