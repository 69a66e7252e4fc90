"""Evidence by meaning, with the real embedder: natural phrasings that do not name the relation."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy

import pytest

from editors.kv.closer import Closer, CloserLook, closer_tensors, weighed
from editors.kv.meaning import FLOOR, Meaning
from editors.kv.phrases import load as load_phrases
from engines.embedder import SentenceEmbedder
from kb_store.contract import Vectors
from kb_store.scoring import Candidate, Question
from service.encoders.background import background
from service.serving import evidence
from service.serving.evidence import EvidenceReader
from service.serving.examples import NOTHING_SAID, Asking, key_of
from service.serving.judging import JudgeVectors


@pytest.fixture(scope="module")
def embedder() -> SentenceEmbedder:
    return SentenceEmbedder.load()


@pytest.fixture(scope="module")
def meaning(embedder: SentenceEmbedder) -> Meaning:
    return background(load_phrases(), JudgeVectors(embedder, {}, None))


FACTS = [
    Candidate("Marta Oliveira", relation)
    for relation in ("employer", "favourite food", "mother tongue", "place of birth")
]


@pytest.mark.parametrize(
    ("text", "relation"),
    [
        ("Marta Oliveira loves to eat", "favourite food"),
        ("Marta Oliveira grew up speaking", "mother tongue"),
        ("Where was Marta Oliveira born?", "place of birth"),
        ("The weather was fine. Marta Oliveira is employed by", "employer"),
    ],
)
def test_the_relation_that_is_meant_fits_best(
    embedder: SentenceEmbedder, meaning: Meaning, text: str, relation: str
) -> None:
    (row,) = EvidenceReader(embedder).read([text], FACTS, meaning)
    best = max(zip(row, FACTS, strict=True), key=lambda pair: pair[0].meaning)
    assert best[1].relation == relation


def test_a_fact_of_another_subject_is_not_judged_and_one_that_is_vouched_for_is(
    embedder: SentenceEmbedder, meaning: Meaning
) -> None:
    stranger = [Candidate("Norwind Shipping", "headquarters")]
    reader = EvidenceReader(embedder)
    text = ["Where does Marta Oliveira work?"]
    assert reader.read(text, stranger, meaning)[0][0].meaning == FLOOR
    vouched = reader.read(text, stranger, meaning, named=True)[0][0]
    assert vouched.subject_cover == 1.0
    assert vouched.meaning > FLOOR


def test_what_is_stored_of_others_may_be_what_is_asked_for(
    embedder: SentenceEmbedder, meaning: Meaning
) -> None:
    """Nobody taught "wages one lives on"; the question asks for it rather than for the employer."""
    reader, text = EvidenceReader(embedder), ["Whose wages does Marta Oliveira live on?"]
    employer = Candidate("Marta Oliveira", "employer")

    def fit(*others: str) -> float:
        candidates = [employer, *(Candidate("Bert Ahn", other) for other in others)]
        return reader.read(text, candidates, meaning)[0][0].meaning

    assert fit("wages one lives on") < fit() - 0.3
    assert fit("favourite food") == pytest.approx(fit(), abs=1e-3)


def test_a_closer_look_decides_among_what_is_stored_of_the_subject(
    embedder: SentenceEmbedder, meaning: Meaning
) -> None:
    def read(closer: Meaning, asking: Asking = NOTHING_SAID) -> list[float]:
        return [
            item.meaning for item in EvidenceReader(embedder).read(ASKED, FACTS, closer, asking=asking)[0]
        ]

    looked = copy(meaning)
    looked.closer = closer_tensors(Closer(embedder.dimension), {})
    names = tuple(fact.relation for fact in FACTS)
    before, after = read(meaning), read(looked)
    said = Question(ASKED[0]).about(FACTS[0].subject)[-1]
    # Read in the order of their fits, so that those that do not fit on a sheet are the least likely.
    order = sorted(range(len(names)), key=before.__getitem__, reverse=True)
    odds = CloserLook(embedder, looked.closer)([(said, tuple(names[place] for place in order))])[0]
    for place, each in zip(order, odds, strict=True):
        assert after[place] == pytest.approx(weighed(before[place], each), abs=0.02)
    # What a relation is asked for by stands for it where it fits better than the name.
    described = read(looked, {key_of("favourite food"): ("it grew up speaking",)})
    assert described[1] > after[1] + 1.0


class _Noting:
    """An embedder that notes what it reads."""

    def __init__(self, embedder: SentenceEmbedder) -> None:
        self._embedder = embedder
        self.dimension, self.digest = embedder.dimension, embedder.digest
        self.texts: list[str] = []

    def embed(self, texts: Sequence[str]) -> Vectors:
        self.texts += texts
        return self._embedder.embed(texts)


NAMES = [fact.relation for fact in FACTS]
ASKED = ["Marta Oliveira grew up speaking"]


def test_no_question_reads_a_name_that_was_read_ahead(embedder: SentenceEmbedder, meaning: Meaning) -> None:
    noting = _Noting(embedder)
    reader = EvidenceReader(noting)
    reader.read_ahead(NAMES, meaning, NOTHING_SAID, lambda: True)
    reader.read_ahead(NAMES, meaning, NOTHING_SAID, lambda: True)
    assert noting.texts == NAMES
    fits = [item.meaning for item in reader.read(ASKED, FACTS, meaning)[0]]
    assert not set(NAMES) & set(noting.texts[len(NAMES) :])
    assert fits == [
        pytest.approx(item.meaning, abs=1e-3)
        for item in EvidenceReader(embedder).read(ASKED, FACTS, meaning)[0]
    ]


def test_reading_ahead_ends_when_it_is_told_to_and_where_memory_does(
    embedder: SentenceEmbedder, meaning: Meaning, monkeypatch: pytest.MonkeyPatch
) -> None:
    noting = _Noting(embedder)
    reader = EvidenceReader(noting)
    monkeypatch.setattr(evidence, "_AHEAD", 2)
    left = iter((True, False))
    reader.read_ahead(NAMES, meaning, NOTHING_SAID, lambda: next(left))
    assert noting.texts == NAMES[:2]
    monkeypatch.setattr(evidence, "_MOST_RELATIONS", 3)
    reader.read_ahead(NAMES, meaning, NOTHING_SAID, lambda: True)
    assert noting.texts == NAMES[:2]
