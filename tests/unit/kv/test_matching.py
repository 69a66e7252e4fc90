"""Low-rank changes teach the real embedder relations, and leave it as it was."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from editors.kv import matching
from editors.kv.matching import MatchSettings, match_relations
from editors.kv.phrases import PhraseBank, load
from engines.embedder import SentenceEmbedder
from kb_store.scoring import Question

SETTINGS = MatchSettings(steps=8, batch=24, rank=4, warmup=2, learning_rate=4e-3)


def about(text: str, subject: str) -> tuple[str, ...]:
    return Question(text).about(subject)


@pytest.fixture(scope="module")
def embedder() -> SentenceEmbedder:
    return SentenceEmbedder.load()


@pytest.fixture(scope="module")
def bank() -> PhraseBank:
    """Few relations, so that few steps see each often."""
    whole = load()
    chosen = [r for r in whole.relations_of("train") if r.subject_kind == "person"][:12]
    return replace(whole, relations=tuple(chosen))


def test_texts_come_nearer_to_the_relations_that_they_ask_for(
    embedder: SentenceEmbedder, bank: PhraseBank
) -> None:
    before = {name: value.clone() for name, value in embedder.model.state_dict().items()}
    shares: list[float] = []
    changes = match_relations(embedder.model, embedder.encode, bank, about, SETTINGS, shares.append)
    assert shares[-1] == 1.0
    after = embedder.model.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], value) for name, value in before.items())

    texts = [
        about(p.filled("Anna Keller", relation.name, "")[1], "Anna Keller")[-1]
        for relation in bank.relations
        for p in relation.train_phrasings
        if not p.chat
    ]
    right = [
        place for place, relation in enumerate(bank.relations) for p in relation.train_phrasings if not p.chat
    ]
    names = [relation.name for relation in bank.relations]
    found = {}
    for name, judge in (("plain", embedder), ("changed", embedder.adapted(changes))):
        found[name] = float((judge.embed(texts) @ judge.embed(names).T).argmax(-1).__eq__(right).mean())
    assert found["changed"] > found["plain"] + 0.03


def test_an_interrupted_teaching_ends_where_an_uninterrupted_one_does(
    embedder: SentenceEmbedder, bank: PhraseBank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matching, "_CHECKPOINT_EVERY", 2)
    path, few = tmp_path / "half.safetensors", replace(SETTINGS, steps=5, batch=8)

    def stop(share: float) -> None:
        if share > 0.5:
            raise KeyboardInterrupt

    whole = match_relations(embedder.model, embedder.encode, bank, about, few)
    with pytest.raises(KeyboardInterrupt):
        match_relations(embedder.model, embedder.encode, bank, about, few, stop, path)
    shares: list[float] = []
    again = match_relations(embedder.model, embedder.encode, bank, about, few, shares.append, path)
    assert shares == [0.6, 0.8, 1.0]
    for name, value in whole.items():
        torch.testing.assert_close(again[name], value)


def test_an_adapted_embedder_is_another_one(embedder: SentenceEmbedder) -> None:
    plain = embedder.embed(["it works for"])
    name = "encoder.layer.0.output.dense"
    shape = embedder.model.get_submodule(name).weight.shape
    up = torch.linspace(-0.2, 0.2, shape[0])[:, None].half()
    changes = {f"{name}.up": up, f"{name}.down": torch.full((1, shape[1]), 0.2).half()}
    adapted = embedder.adapted(changes)
    assert adapted.digest != embedder.digest
    assert adapted.digest == embedder.adapted(changes).digest
    assert not np.allclose(adapted.embed(["it works for"]), plain, atol=1e-3)
    assert np.array_equal(embedder.embed(["it works for"]), plain)
    nothing = {**changes, f"{name}.up": torch.zeros_like(up)}
    assert np.allclose(embedder.adapted(nothing).embed(["it works for"]), plain, atol=1e-6)
