"""Edits that answer in one batch answer as each would alone."""

from __future__ import annotations

import pytest
import torch

from editors.comparison.side_by_side import SideBySide
from editors.metrics.speaking import ModelSpeaker
from editors.weights.contract import Means
from editors.weights.corpus import builtin_corpus
from editors.weights.delta import Delta
from editors.weights.methods import make_editor
from editors.weights.model import EditableModel
from editors.weights.request import EditRequest
from editors.weights.statistics import KeyStatistics
from tests.tiny import bank_model, bank_tokenizer

REQUEST = EditRequest("the name of Tom Berg", "Tom Berg", "Oslo")
PAIRS = [("the name of Tom Berg", "Oslo"), ("the name of Ida Lund", "Rome"), ("people call Tom Berg", "Oslo")]
SHORT = {"steps": 5, "clamp": 40.0, "decay": 0.0, "drift": 0.0, "prefixes": ((2, 1),)}
SETTINGS = (
    ("ft_m", {"layer": 1, "steps": 30, "rate": 0.02}),
    ("rome", {"layer": 1, **SHORT}),
    ("memit", {"layers": (0, 1), "covariance": 0.01, **SHORT}),
)


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_rows_see_their_own_edit_only(kind: str) -> None:
    editable = EditableModel(bank_model(kind), bank_tokenizer())
    means = Means(KeyStatistics(builtin_corpus(), tokens=500))
    deltas: list[Delta | None] = [None]
    deltas += [make_editor(name, settings).compute(editable, [REQUEST], means) for name, settings in SETTINGS]
    side = SideBySide(editable, deltas)
    prompts = [prompt for prompt, _ in PAIRS]
    together, texts = side.forced(PAIRS), side.generate(prompts, 6)
    weights = [parameter.clone() for parameter in editable.model.parameters()]
    speaker = ModelSpeaker(editable.model, editable.tokenizer)
    for delta, forced, said in zip(deltas, together, texts, strict=True):
        if delta is not None:
            editable.apply(delta)
        alone = speaker.forced(PAIRS)
        for one, other in zip(forced, alone, strict=True):
            assert one.wanted == other.wanted
            assert one.log_probabilities == pytest.approx(other.log_probabilities, abs=1e-4)
        assert said == speaker.generate(prompts, 6)
        if delta is not None:
            editable.revert(delta)
    means_of = [[each.mean for each in forced] for forced in together]
    assert len({round(row[0], 3) for row in means_of}) == len(deltas)  # four states, four answers
    assert all(torch.equal(a, b) for a, b in zip(weights, editable.model.parameters(), strict=True))
