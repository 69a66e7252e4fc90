"""Choosing is learned on states that were read once; the model itself is never touched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch

from editors.kv.contract import Evidence, FactText
from editors.kv.encoder import KVEncoder
from editors.kv.meaning import Meaning
from editors.kv.problems import Problem, Question
from editors.kv.rehearsal import RehearsalSettings, choices, read_subjects, rehearse


def undecided(prompts: Sequence[str], facts: Sequence[FactText], meaning: Meaning) -> list[list[Evidence]]:
    return [[Evidence(1.0, 0.5, 0.5, -1.0) for _ in facts] for _ in prompts]


def about(subject: str, employer: str, colour: str) -> Problem:
    facts = (FactText("", subject, "employer", employer), FactText("", subject, "colour", colour))
    questions = tuple(
        Question(prompt, prompt, place, (0, 1))
        for place, prompt in enumerate((f"The employer of {subject} is", f"The colour of {subject} is"))
    )
    return Problem(facts, questions)


PROBLEMS = [
    about("Anna Keller", "Norwind Shipping", "green"),
    about("Tom Berg", "Shipping", "Lisbon green"),
    about("Keller Berg", "Norwind", "green green"),
]


@pytest.mark.parametrize("later", [0.0, 0.5])
def test_the_right_tokens_are_found(model: Any, tokenizer: Any, encoder: KVEncoder, later: float) -> None:
    torch.manual_seed(0)
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    bias = {name: value.detach().clone() for name, value in encoder.bias.items()}
    shares: list[float] = []
    settings = RehearsalSettings(epochs=60, batch=3, later=later, decay=0.99, learning_rate=3e-3)
    known = read_subjects(encoder, model, tokenizer, PROBLEMS, undecided, settings, progress=shares.append)
    assert shares[-1] == 1.0

    def found() -> float:
        right = [hit for item in known for hit in choices(encoder, item)]
        return sum(right) / len(right)

    before = found()
    rehearse(encoder, known, settings, progress=shares.append)
    assert shares[-1] == pytest.approx(1.0)
    assert found() > max(0.8, before)
    assert [choices(encoder, item, evidence=False) for item in known] == [choices(encoder, i) for i in known]
    assert all(torch.equal(model.state_dict()[name], value) for name, value in weights.items())
    assert any(not torch.equal(encoder.bias[name], value) for name, value in bias.items())
