"""What relations are judged against: the relations of the phrase bank and of the built-in facts, and texts. And what
the judge recalls: how texts ask for the bank's."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from editors.kv.matching import taught
from editors.kv.meaning import Meaning
from editors.kv.phrases import PhraseBank, Phrasing, Relation
from kb_store.factbank import relations as built_in_relations
from kb_store.scoring import Question
from service.serving.judging import JudgeVectors

_TEXTS = 256
_RELATIONS = 3072  # of the bank's: more do not judge better (docs/adr/0030), and every encoder holds them
_AT_ONCE = 64  # relations whose texts are read together


def background(
    bank: PhraseBank,
    vectors: JudgeVectors,
    seed: int = 0,
    recalled: int = 0,
    progress: Callable[[float], None] = lambda share: None,
) -> Meaning:
    """The training side of the bank only, so that held-out relations are judged as a user's own will be.

    `recalled`: texts of each relation that it is to be recalled by. Those that were kept back from teaching come last
    and are not recalled: the threshold is found on them.
    """
    rng = random.Random(f"background/{seed}")
    known = bank.relations_of("train")
    drawn = rng.sample(known, min(len(known), _RELATIONS))
    texts = [_text(rng.choice(known), bank, rng) for _ in range(_TEXTS)]
    known_well = frozenset(relation.name for relation in taught(bank))
    drawn.sort(key=lambda relation: relation.name not in known_well)
    names = [relation.name for relation in drawn] + [info.name for info in built_in_relations()]
    asked = None
    if recalled:
        well = [relation for relation in drawn if relation.name in known_well]
        asked = _asked(well, bank, vectors, recalled, random.Random(f"recalled/{seed}"), progress)
    return Meaning(vectors.names(list(dict.fromkeys(names))), vectors.texts(texts), vectors.states, asked)


def _asked(
    relations: Sequence[Relation],
    bank: PhraseBank,
    vectors: JudgeVectors,
    count: int,
    rng: random.Random,
    progress: Callable[[float], None],
) -> Tensor:
    """The middle of texts that ask for each, by the embedder, [relations, width]."""
    middles = []
    for start in range(0, len(relations), _AT_ONCE):
        texts = [
            [_text(relation, bank, rng, phrasing) for phrasing in _some(relation, count, rng)]
            for relation in relations[start : start + _AT_ONCE]
        ]
        read = vectors.embedded([text for mine in texts for text in mine])
        middles += [part.mean(0) for part in torch.split(read, [len(mine) for mine in texts])]
        progress(len(middles) / len(relations))
    return F.normalize(torch.stack(middles), dim=-1)


def _some(relation: Relation, count: int, rng: random.Random) -> Sequence[Phrasing]:
    return rng.sample(relation.train_phrasings, min(count, len(relation.train_phrasings)))


def _text(relation: Relation, bank: PhraseBank, rng: random.Random, phrasing: Phrasing | None = None) -> str:
    """What it says of its subject, as it is judged. Of any phrasing, where none is given."""
    subject = bank.subject(relation.subject_kind, rng)
    user, start = (phrasing or rng.choice(relation.train_phrasings)).filled(subject, relation.name, "")
    return Question(user or start).about(subject)[-1]
