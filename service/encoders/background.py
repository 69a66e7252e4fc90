"""What relations are judged against: the relations of the phrase bank and of the built-in facts, and texts."""

from __future__ import annotations

import random

from editors.kv.meaning import Meaning
from editors.kv.phrases import PhraseBank
from kb_store.factbank import relations as built_in_relations
from kb_store.scoring import Question
from service.serving.judging import JudgeVectors

_TEXTS = 256
_RELATIONS = 3072  # of the bank's: more do not judge better (docs/adr/0030), and every encoder holds them


def background(bank: PhraseBank, vectors: JudgeVectors, seed: int = 0) -> Meaning:
    """The training side of the bank only, so that held-out relations are judged as a user's own will be."""
    rng = random.Random(f"background/{seed}")
    known = bank.relations_of("train")
    drawn = rng.sample(known, min(len(known), _RELATIONS))
    names = [relation.name for relation in drawn] + [info.name for info in built_in_relations()]
    texts = []
    for _ in range(_TEXTS):
        relation = rng.choice(known)
        subject = bank.subject(relation.subject_kind, rng)
        user, start = rng.choice(relation.train_phrasings).filled(subject, relation.name, "")
        texts.append(Question(user or start).about(subject)[-1])
    return Meaning(vectors.names(list(dict.fromkeys(names))), vectors.texts(texts), vectors.states)
