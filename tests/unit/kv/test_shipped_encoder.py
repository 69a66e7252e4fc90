"""The encoder in this repository is the one its manifest describes, and does what the manifest says."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch

from editors.kv.evaluate import SLICES, judge
from editors.kv.phrases import load as load_phrases
from editors.kv.storage import load_weights
from editors.kv.trained import SHIPPED, load_encoder
from editors.kv.world import World
from engines.embedder import MiniLMEmbedder
from engines.models import DEFAULT_MODEL, default_model_path, load_model, model_digest
from service.evidence import scorer

pytestmark = pytest.mark.model

# 64 questions a slice: a rate of 0.9 moves by 0.04 (one standard deviation) from sample to sample.
_PROBLEMS = 2
_SLACK = 0.12


@pytest.fixture(scope="module")
def served() -> tuple[Any, Any]:
    return load_model(default_model_path(), dtype=torch.float32)


def test_it_fits_the_default_model(served: tuple[Any, Any]) -> None:
    loaded = load_encoder("default", DEFAULT_MODEL)
    loaded.check(model_digest(served[0]))
    assert loaded.adapter.digest == loaded.manifest["digest"]


def test_the_manifest_says_how_it_was_made() -> None:
    _, manifest = load_weights(SHIPPED / DEFAULT_MODEL)
    assert manifest["run"]["steps"] == manifest["recipe"]["train"]["steps"]
    assert set(manifest["data"]) == {"phrases", "facts", "embedder"}
    assert set(SLICES) <= {name.removesuffix("_unchanged") for name in manifest["figures"]}
    size = sum(path.stat().st_size for path in (SHIPPED / DEFAULT_MODEL).iterdir())
    assert size < 30 * 1024 * 1024


@pytest.mark.parametrize("name", ["right_seen", "right_phrasing", "absent_phrasing"])
def test_it_does_what_the_manifest_says(served: tuple[Any, Any], name: str) -> None:
    model, tokenizer = served
    encoder, manifest = load_weights(SHIPPED / DEFAULT_MODEL)
    world = World(load_phrases(), tokenizer)
    score = scorer(MiniLMEmbedder.load())
    judged = [
        judge(
            encoder,
            model,
            tokenizer,
            world.problem(random.Random(f"shipped/{name}/{i}"), SLICES[name]),
            score,
        )
        for i in range(_PROBLEMS)
    ]
    if name.startswith("absent"):
        seen = float(torch.cat([item.unchanged for item in judged]).float().mean())
        claimed = manifest["figures"][f"{name}_unchanged"]
    else:
        seen = float(torch.cat([item.right for item in judged]).float().mean())
        claimed = manifest["figures"][name]
    assert seen >= claimed - _SLACK
