"""What relations are judged against, and what the judge recalls."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from editors.kv.matching import kept_back, taught
from editors.kv.phrases import PhraseBank, load
from engines.embedder import SentenceEmbedder
from service.encoders.background import background
from service.serving.judging import JudgeVectors


@pytest.fixture(scope="module")
def bank() -> PhraseBank:
    """With relations that are not taught among them."""
    whole = load()
    return replace(
        whole, relations=taught(whole)[:24] + kept_back(whole)[:6] + whole.relations_of("held_out")[:3]
    )


def test_the_relations_that_are_taught_are_recalled_by_how_texts_ask_for_them(bank: PhraseBank) -> None:
    """Each is nearer to its own texts than to those of others, mostly. What was kept back is not recalled, and what is
    held out is not known at all."""
    shares: list[float] = []
    vectors = JudgeVectors(SentenceEmbedder.load(), {}, None)
    made = background(bank, vectors, recalled=3, progress=shares.append)
    assert made.asked is not None
    assert made.asked.shape == (24, vectors.embedded(["it"]).shape[1])
    assert shares[-1] == 1.0
    names = made.relations[:24]
    own = (made.asked @ names.T).argmax(-1)
    assert (own == torch.arange(24)).float().mean() > 0.5
    known = {tuple(row.tolist()) for row in names}
    for relation in (*kept_back(bank), *bank.relations_of("held_out")):
        assert tuple(vectors.names([relation.name])[0].tolist()) not in known


def test_the_background_is_the_same_with_and_without(bank: PhraseBank) -> None:
    vectors = JudgeVectors(SentenceEmbedder.load(), {}, None)
    without, recalling = background(bank, vectors), background(bank, vectors, recalled=1)
    assert without.asked is None
    assert torch.equal(without.relations, recalling.relations)
    assert torch.equal(without.texts, recalling.texts)
