"""What a calibration says, where it is kept, and what it changes."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
import torch

from editors.kv.calibration import (
    Calibration,
    ScaledPrior,
    prior_scaled,
    read_calibration,
    save_calibration,
    verdict,
)
from editors.kv.contract import Evidence
from editors.kv.encoder import KVEncoder
from editors.kv.meaning import FLOOR
from editors.kv.storage import save_encoder
from editors.kv.trained import load_encoder


def test_a_threshold_between_two_clouds() -> None:
    found = verdict(torch.tensor([0.5, 0.6, 0.7]), torch.tensor([0.1, 0.2]))
    assert found.threshold == pytest.approx(0.35)
    assert (found.accuracy, found.auroc, found.refusal_precision, found.refusal_recall) == (1, 1, 1, 1)


def test_clouds_that_overlap() -> None:
    found = verdict(torch.tensor([0.3, 0.6, 0.7, 0.8]), torch.tensor([0.1, 0.2, 0.4, 0.45, 0.65]))
    assert found.threshold == pytest.approx(0.525)
    assert found.accuracy == pytest.approx((3 / 4 + 4 / 5) / 2)
    assert (found.refusal_precision, found.refusal_recall) == (pytest.approx(4 / 5), pytest.approx(4 / 5))
    # of 20 pairs, those in which the answer with a fact has more
    assert found.auroc == pytest.approx(16 / 20)


def test_values_that_say_nothing() -> None:
    same = torch.full((4,), 0.5)
    found = verdict(same, same)
    assert found.auroc == 0.5
    assert found.accuracy == 0.5


def test_it_is_kept_with_the_weights_that_it_was_made_for(tmp_path: Path) -> None:
    made = Calibration("d1", 0.25, 1.5, -2.0, 16, "people", "2026-01-02T03:04:05+00:00", {"right": 0.9})
    assert read_calibration(tmp_path, "d1") is None
    path = save_calibration(made, tmp_path / "folder")
    assert read_calibration(tmp_path / "folder", "d1") == made
    assert read_calibration(tmp_path / "folder", "d2") is None
    path.write_text('{"digest": "d1"}')
    with pytest.raises(ValueError, match="calibrate the encoder again"):
        read_calibration(tmp_path / "folder", "d1")


def test_a_scaled_prior_keeps_unseen_facts_unseen(encoder: KVEncoder) -> None:
    class Fixed(torch.nn.Module):
        def forward(self, *evidence: torch.Tensor) -> torch.Tensor:
            return evidence[3].masked_fill(evidence[3] < -1.0, float("-inf"))

    meaning = torch.tensor([1.0, -1.5, -3.0])
    bias = ScaledPrior(Fixed(), 2.0, 1.0)(*torch.zeros(3, 3), meaning, torch.ones(3) > 0)
    assert bias.tolist() == [4.0, -1.0, float("-inf")]
    before = encoder.prior
    with prior_scaled(encoder, 2.0, 0.0):
        assert encoder.prior is not before
    assert encoder.prior is before


def test_a_served_encoder_uses_it(encoder: KVEncoder, tmp_path: Path) -> None:
    manifest = {"model": "tiny", "model_digest": "d", "calibration": {"grounded_threshold": 0.125}}
    digest = save_encoder(encoder, tmp_path, manifest)

    def run(function: Any) -> Future[Any]:
        raise AssertionError("nothing is compiled here")

    plain = load_encoder(str(tmp_path), "tiny").bind(run)
    evidence = [Evidence(1.0, 0.5, 0.5), Evidence(0.2, 0.5, 0.5)]
    learned, unseen = plain.biases(evidence)
    assert (plain.grounded_threshold, unseen) == (0.125, None)
    save_calibration(Calibration(digest, 0.5, 2.0, 3.0), tmp_path / "elsewhere")
    assert load_encoder(str(tmp_path), "tiny").calibration is None
    served = load_encoder(str(tmp_path), "tiny", tmp_path / "elsewhere").bind(run)
    assert served.grounded_threshold == 0.5
    assert learned is not None
    assert served.biases(evidence) == [pytest.approx(2 * learned), None]
    unlikely = [Evidence(1.0, 0.5, 0.5, FLOOR - 3.0)]
    assert plain.biases(unlikely) == [None]
    assert served.biases(unlikely) != [None]


def test_of_cuts_that_are_as_good_the_middle_one_is_taken() -> None:
    attended = torch.tensor([0.0, 0.6, 0.7, 0.8])  # one fact was not shown
    found = verdict(attended, torch.zeros(4))
    assert found.threshold == pytest.approx(0.3)
    assert found.accuracy == pytest.approx(0.875)
    nearly = verdict(torch.cat([torch.full((3,), 0.004), torch.linspace(0.5, 0.9, 300)]), torch.zeros(100))
    assert nearly.threshold == pytest.approx(0.25, abs=0.01)  # not .002, though that is a little better
