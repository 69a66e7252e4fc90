"""The editors on the default model itself: real weights, real tokenizer."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from editors.metrics.counterfact import EditCase, score_cases
from editors.metrics.receipt import Watch
from editors.metrics.speaking import ModelSpeaker
from editors.weights.contract import Means
from editors.weights.corpus import builtin_corpus
from editors.weights.methods import make_editor
from editors.weights.model import EditableModel
from editors.weights.request import EditRequest
from editors.weights.statistics import KeyStatistics
from editors.weights.texts import asked
from tests.unit.weights.test_deltas import digests

pytestmark = [pytest.mark.model, pytest.mark.slow]
CASE = EditCase(
    EditRequest("The capital of France is", "France", "Lyon"),
    true="Paris",
    paraphrases=("France's capital city is called",),
    neighbours=("The capital of Germany is",),
)
SETTINGS: dict[str, dict[str, Any]] = {
    "rome": {"layer": 5, "prefixes": ((5, 2),)},
    "memit": {"layers": (4, 5, 6), "prefixes": ((5, 2),), "covariance": 100.0},
    "ft_m": {"layer": 5},
    "ft_l": {"layer": 5},
}


@pytest.fixture(scope="module")
def real_means() -> Means:
    return Means(KeyStatistics(builtin_corpus(), tokens=4000))


@pytest.mark.parametrize("method", sorted(SETTINGS))
def test_an_edit_takes_and_every_byte_comes_back(
    default_model: EditableModel, real_means: Means, method: str
) -> None:
    before = digests(default_model)
    speaker = ModelSpeaker(default_model.model, default_model.tokenizer)
    (unedited,) = score_cases(speaker, [CASE])
    watch = Watch([CASE])
    read = watch.read(speaker)
    assert unedited.es == 0.0
    delta = make_editor(method, SETTINGS[method]).compute(default_model, [CASE.request], real_means)
    assert digests(default_model) == before
    with default_model.applied(delta):
        (edited,) = score_cases(speaker, [CASE])
        receipt = watch.receipt(read, watch.read(speaker))
    assert edited.es == 1.0
    assert edited.edited.new > unedited.edited.new + 1
    assert receipt.said[0].after.startswith(" Lyon")
    assert receipt.problems == ()
    assert digests(default_model) == before
    assert score_cases(speaker, [CASE]) == [unedited]


def test_the_subjects_last_token_is_found(default_model: EditableModel) -> None:
    tokenizer = default_model.tokenizer
    for subject in ("France", "Anne-Marie Duff", "İstanbul Üniversitesi", "東京", "U.S. 101"):
        request = EditRequest(f"As we know, {subject}, of course, is", subject, "x")
        for prefix in ("", "A word before"):
            located = asked(default_model, request, prefix)
            upto = tokenizer.decode(located.ids[: located.at + 1])
            assert upto.rstrip(",").endswith(subject)
            assert not tokenizer.decode(located.ids[: located.at]).endswith(subject)


@torch.inference_mode()
def test_edited_and_unedited_answer_in_one_batch(default_model: EditableModel, real_means: Means) -> None:
    delta = make_editor("ft_m", SETTINGS["ft_m"]).compute(default_model, [CASE.request], real_means)
    ids = default_model.tokenizer([CASE.request.prompt] * 2, return_tensors="pt").input_ids
    with default_model.seen_through([delta], torch.tensor([True, False])):
        edited, plain = default_model.model(input_ids=ids, logits_to_keep=1).logits[:, 0].argmax(-1).tolist()
    assert default_model.tokenizer.decode([edited]) == " Lyon"
    assert default_model.tokenizer.decode([plain]) == " Paris"
