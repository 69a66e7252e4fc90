"""HeadMap's enhancement on tiny models: it changes nothing untrained, learns a task, is saved, goes with facts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from editors.headmap.maps import SideMaps, Where, attached, headmap, lora_beside
from editors.headmap.storage import load_maps, save_maps
from editors.headmap.training import TaskItem, TaskSettings, choose, train_maps
from editors.weights.delta import tensor_digest
from editors.weights.errors import DeltaDamaged, DeltaMismatch
from engines.architectures import ARCHITECTURES, spec_for
from engines.kv_attention import inject
from engines.kv_batch import KVBatch
from tests.unit.engines.tiny_models import RandomAdapter, byte_tokenizer, tiny_model

LOCATED = {1: (0, 2), 3: (1,)}
IDS = torch.arange(60, 75)[None]
ITEMS = [
    TaskItem(f"Question {word}? Answer:", answer, ("yes", "no"))
    for word, answer in (("one", "yes"), ("two", "no"), ("three", "yes"), ("four", "no"))
]


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(input_ids=IDS).logits
    return found


def moved(maps: SideMaps) -> SideMaps:
    """As if trained."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in maps.parameters():
            parameter.normal_(std=0.3)
    return maps


@pytest.mark.parametrize("kind", sorted(ARCHITECTURES))
@pytest.mark.parametrize("where", list(Where))
def test_untrained_maps_change_nothing_and_trained_ones_only_within(kind: str, where: Where) -> None:
    model = tiny_model(kind)
    spec = spec_for(model)
    plain = logits(model)
    maps = headmap(spec, LOCATED, 3, where=where)
    with attached(spec, maps):
        assert torch.equal(logits(model), plain)
    moved(maps)
    with attached(spec, maps):
        assert not torch.allclose(logits(model), plain, atol=1e-3)
    with pytest.raises(ZeroDivisionError), attached(spec, maps):
        raise ZeroDivisionError
    assert torch.equal(logits(model), plain)


def test_maps_read_only_the_located_heads() -> None:
    """By hand: the heads' own columns, down, up, added to the attention's output."""
    model = tiny_model("llama")
    spec = spec_for(model)
    maps = moved(headmap(spec, {1: (2,)}, 3, scaling=0.5))
    heads = torch.randn(1, 4, spec.heads * spec.head_dim)
    down, up = maps.down["1"], maps.up["1"]
    own = heads[..., 2 * spec.head_dim : 3 * spec.head_dim]
    by_hand = 0.5 * ((own @ down.weight.T + down.bias) @ up.weight.T + up.bias)
    assert torch.allclose(maps.added(1, heads), by_hand, atol=1e-5)
    with pytest.raises(ValueError, match="not within the model"):
        headmap(spec, {0: (99,)}, 3)


def test_lora_beside_has_no_more_parameters() -> None:
    spec = spec_for(tiny_model("llama"))
    maps = headmap(spec, LOCATED, 16)
    lora = lora_beside(spec, maps)
    assert 0.5 * maps.parameters_count < lora.parameters_count <= maps.parameters_count
    assert set(lora.config.columns) == set(LOCATED)


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_training_learns_a_task_and_leaves_the_model_alone(kind: str, tmp_path: Path) -> None:
    model, tokenizer = tiny_model(kind), byte_tokenizer()
    spec = spec_for(model)
    before = {name: tensor_digest(value) for name, value in model.state_dict().items()}
    torch.manual_seed(1)
    maps = headmap(spec, {0: (0, 1), 1: (0, 1), 2: (0, 1)}, 8)
    losses = train_maps(model, tokenizer, maps, ITEMS, TaskSettings(epochs=60, batch=4, rate=0.02))
    assert losses[-1] < 0.5 * losses[0]
    assert {name: tensor_digest(value) for name, value in model.state_dict().items()} == before
    assert all(parameter.grad is None for parameter in model.parameters())
    save_maps(maps, tmp_path, "digest", {"items": len(ITEMS)})
    with attached(spec, load_maps(tmp_path, "digest")):
        assert [choose(model, tokenizer, item) for item in ITEMS] == [item.answer for item in ITEMS]
        enhanced = logits(model)
    with attached(spec, maps):
        assert torch.allclose(logits(model), enhanced)
    with pytest.raises(DeltaMismatch):
        load_maps(tmp_path, "another")
    file = tmp_path / "maps.safetensors"
    file.write_bytes(file.read_bytes()[:-4] + b"\xff" * 4)
    with pytest.raises(DeltaDamaged):
        load_maps(tmp_path, "digest")
    with pytest.raises(ValueError, match="nothing"):
        train_maps(model, tokenizer, maps, [], TaskSettings())


def test_maps_and_facts_go_together() -> None:
    model = tiny_model("llama")
    spec, adapter = spec_for(model), RandomAdapter.of(model)
    facts = KVBatch.pack([[adapter.fact("a", 3)]], adapter.layers)
    maps = moved(headmap(spec, dict.fromkeys(adapter.layers, (0, 1)), 3))
    seen = []
    for with_maps in (False, True):
        for with_facts in (False, True):
            with torch.no_grad():
                if with_maps and with_facts:
                    with attached(spec, maps), inject(model, adapter, facts):
                        seen.append(logits(model))
                elif with_maps:
                    with attached(spec, maps):
                        seen.append(logits(model))
                elif with_facts:
                    with inject(model, adapter, facts):
                        seen.append(logits(model))
                else:
                    seen.append(logits(model))
    for at, one in enumerate(seen):
        for other in seen[at + 1 :]:
            assert not torch.allclose(one, other, atol=1e-4)
    assert torch.equal(logits(model), seen[0])
