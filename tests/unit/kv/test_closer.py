"""The closer look, taught to the small embedder: a text and the relations that it may ask for, read together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from editors.kv import closer_teaching
from editors.kv.closer import AT_ONCE, Closer, CloserLook, closer_tensors, weighed
from editors.kv.closer_teaching import CloserSettings, closer_loss, teach_closer
from editors.kv.matching import MatchSettings
from editors.kv.meaning import FLOOR
from editors.kv.phrases import PhraseBank, load
from engines.embedder import SentenceEmbedder
from kb_store.scoring import Question

MATCHING = MatchSettings(reader="", context=0.0)
SETTINGS = CloserSettings(steps=12, batch=16, rank=4, warmup=2, learning_rate=3e-3)
NAMES = ("favourite food", "mother tongue", "employer")


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


@pytest.fixture(scope="module")
def untaught(embedder: SentenceEmbedder) -> dict[str, Tensor]:
    return closer_tensors(Closer(embedder.dimension), {})


def test_every_name_of_every_sheet_is_judged_in_its_place(
    embedder: SentenceEmbedder, untaught: Mapping[str, Tensor]
) -> None:
    look = CloserLook(embedder, untaught)
    sheets = [("it grew up speaking", NAMES), ("a text of nothing", ()), ("it works for", NAMES[:1])]
    found = look(sheets)
    assert [len(row) for row in found] == [3, 0, 1]
    # Whoever shares the lot changes nothing that counts.
    for row, sheet in zip(found, sheets, strict=True):
        assert row == pytest.approx(look([sheet])[0], abs=1e-3)
    many = tuple(f"relation {number}" for number in range(2 * AT_ONCE + 1))
    assert [len(row) for row in look([("it has", many)])] == [len(many)]
    assert look([]) == []


def test_an_untaught_one_judges_by_cosine_and_a_name_sees_its_rivals(
    embedder: SentenceEmbedder, untaught: Mapping[str, Tensor]
) -> None:
    look = CloserLook(embedder, untaught)
    (row,) = look([("it grew up speaking", NAMES)])
    assert all(-28.0 <= odds <= 12.0 for odds in row)  # -8 and twenty times a cosine
    (other,) = look([("it grew up speaking", (NAMES[0], "shoe size"))])
    assert abs(row[0] - other[0]) > 1e-3


def test_it_learns_which_relation_is_asked_for(embedder: SentenceEmbedder, bank: PhraseBank) -> None:
    before = {name: value.clone() for name, value in embedder.model.state_dict().items()}
    shares: list[float] = []
    tensors = teach_closer(embedder, {}, bank, about, MATCHING, SETTINGS, shares.append)
    assert shares[-1] == 1.0
    assert all(torch.equal(value, before[name]) for name, value in embedder.model.state_dict().items())
    names = tuple(relation.name for relation in bank.relations)
    asked = [
        (about(p.filled("Anna Keller", relation.name, "")[1], "Anna Keller")[-1], place)
        for place, relation in enumerate(bank.relations)
        for p in relation.train_phrasings
        if not p.chat
    ]
    sheets = [(text, names) for text, _ in asked]

    def loss(tensors: Mapping[str, Tensor]) -> float:
        rows = CloserLook(embedder, tensors)(sheets)
        return float(closer_loss([torch.tensor(row) for row in rows], [place for _, place in asked]))

    assert loss(tensors) < 0.7 * loss(closer_tensors(Closer(embedder.dimension), {}))


def test_what_was_taught_to_the_embedder_stays_part_of_it(
    embedder: SentenceEmbedder, bank: PhraseBank, untaught: Mapping[str, Tensor]
) -> None:
    name = "encoder.layer.0.output.dense"
    shape = embedder.model.get_submodule(name).weight.shape
    changes = {f"{name}.up": torch.full((shape[0], 1), 0.1), f"{name}.down": torch.full((1, shape[1]), 0.1)}
    still = replace(SETTINGS, steps=1, learning_rate=1e-12)
    tensors = teach_closer(embedder, changes, bank, about, MATCHING, still)
    assert tensors[f"reader.{name}.up"].shape == (shape[0], 1 + still.rank)
    sheet = ("it grew up speaking", NAMES)
    begun = CloserLook(embedder.adapted(changes), untaught)
    assert CloserLook(embedder, tensors)([sheet])[0] == pytest.approx(begun([sheet])[0], abs=0.05)


def test_an_interrupted_teaching_ends_where_an_uninterrupted_one_does(
    embedder: SentenceEmbedder, bank: PhraseBank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(closer_teaching, "_CHECKPOINT_EVERY", 2)
    path, few = tmp_path / "half.safetensors", replace(SETTINGS, steps=5, batch=4)

    def stop(share: float) -> None:
        if share > 0.5:
            raise KeyboardInterrupt

    whole = teach_closer(embedder, {}, bank, about, MATCHING, few)
    with pytest.raises(KeyboardInterrupt):
        teach_closer(embedder, {}, bank, about, MATCHING, few, stop, path)
    shares: list[float] = []
    again = teach_closer(embedder, {}, bank, about, MATCHING, few, shares.append, path)
    assert shares == [0.6, 0.8, 1.0]
    for name, value in whole.items():
        torch.testing.assert_close(again[name], value)


def test_a_fit_is_raised_and_lowered_by_a_closer_look() -> None:
    assert weighed(-4.0, -3.0) < weighed(-4.0, 0.0) < weighed(-4.0, 3.0)
    assert weighed(-4.0, 1.0) < weighed(-1.0, 1.0)
    assert weighed(FLOOR, -30.0) == FLOOR
    assert weighed(0.0, 50.0) == pytest.approx(0.0)
