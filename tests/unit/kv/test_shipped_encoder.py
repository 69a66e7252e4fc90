"""The encoder in this repository is the one its manifest describes, and does what the manifest says."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from editors.kv.evaluate import SLICES, evaluate
from editors.kv.phrases import load as load_phrases
from editors.kv.states import bind_to_model
from editors.kv.storage import load_weights
from editors.kv.trained import SHIPPED, load_encoder
from editors.kv.world import World
from engines.embedder import SentenceEmbedder
from engines.models import DEFAULT_MODEL, default_model_path, load_model, model_digest
from service.encoders.training import real_relations
from service.serving.evidence import scorer

pytestmark = pytest.mark.model

# The manifest's own questions again; the weights were rounded to half precision after they were measured.
_SLACK = 0.03


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
    assert max(path.stat().st_size for path in (SHIPPED / DEFAULT_MODEL).iterdir()) < 30_000_000


@pytest.mark.parametrize("name", ["right_relation_phrasing", "absent_phrasing"])
def test_it_does_what_the_manifest_says(served: tuple[Any, Any], name: str) -> None:
    model, tokenizer = served
    encoder, manifest = load_weights(SHIPPED / DEFAULT_MODEL)
    bind_to_model(encoder.meaning.states, model, tokenizer)
    recipe = manifest["recipe"]
    world = World(load_phrases(), tokenizer, real_relations())
    found = evaluate(
        encoder,
        model,
        tokenizer,
        world,
        scorer(SentenceEmbedder.load()),
        problems=recipe["evaluation_problems"],
        seed=recipe["evaluation_seed"],
        slices={name: SLICES[name]},
    )
    assert found
    for figure, rate in found.items():
        assert rate == pytest.approx(manifest["figures"][figure], abs=_SLACK), figure
