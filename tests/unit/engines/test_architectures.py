"""Every row of the table, bound to a real model of its family."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny_models import LAYERS, VOCABULARY, tiny_model
from torch import nn
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM
from transformers.pytorch_utils import Conv1D

from engines.architectures import ARCHITECTURES, Projections, spec_for
from engines.errors import UnsupportedModel

KINDS = sorted(ARCHITECTURES)


@pytest.mark.parametrize("kind", KINDS)
def test_modules_and_numbers(kind: str) -> None:
    model = tiny_model(kind)
    spec = spec_for(model)
    assert len(spec.layers) == LAYERS == getattr(model.config, spec.architecture.layer_count)
    assert spec.embedding is model.get_input_embeddings()
    assert spec.lm_head is model.get_output_embeddings()
    assert (spec.vocabulary, spec.hidden, spec.context) == (VOCABULARY, 40, 128)
    assert spec.heads % spec.kv_heads == 0
    assert spec.embedding_weight().shape == (VOCABULARY, 40)
    assert (spec.architecture.positions is None) == (kind != "gpt2")
    for layer in range(LAYERS):
        down = spec.weight_of(spec.mlp_down(layer))
        assert down.shape[0] == spec.hidden
        widths = [spec.weight_of(module).shape[0] for module in spec.qkv(layer)]
        expected = [spec.heads, spec.kv_heads, spec.kv_heads]
        if spec.architecture.projections is Projections.SPLIT:
            assert widths == [count * spec.head_dim for count in expected]
        else:
            assert widths == [sum(expected) * spec.head_dim]


@pytest.mark.parametrize("kind", KINDS)
def test_the_output_projection_is_what_attention_writes(kind: str) -> None:
    spec = spec_for(tiny_model(kind))
    module = spec.output(2)
    assert isinstance(module, nn.Linear | Conv1D)
    width = spec.heads * spec.head_dim
    written = module(torch.eye(width)) - module(torch.zeros(1, width))
    assert torch.allclose(written.T, spec.output_projection(2), atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_the_norms_are_those_that_are_read_through(kind: str) -> None:
    model = tiny_model(kind)
    spec = spec_for(model)
    seen: dict[str, torch.Tensor] = {}

    def note(name: str) -> Any:
        return lambda module, args, output: seen.__setitem__(name, output)

    def note_input(name: str) -> Any:
        return lambda module, args, kwargs: seen.__setitem__(
            name, args[0] if args else kwargs["hidden_states"]
        )

    spec.input_norm(1).register_forward_hook(note("input"))
    spec.mlp_norm(1).register_forward_hook(note("mlp"))
    spec.attention(1).register_forward_pre_hook(note_input("attention reads"), with_kwargs=True)
    spec.mlp(1).register_forward_pre_hook(note_input("mlp reads"), with_kwargs=True)
    model(input_ids=torch.tensor([[1, 2, 3]]))
    assert torch.equal(seen["input"], seen["attention reads"])
    assert torch.equal(seen["mlp"], seen["mlp reads"])
    assert torch.equal(seen["attention reads"], seen["mlp reads"]) == (kind == "gptj")


@pytest.mark.parametrize("kind", KINDS)
def test_the_final_norm_multiplies_with_its_weight(kind: str) -> None:
    spec = spec_for(tiny_model(kind))
    norm, states = spec.final_norm, torch.randn(3, spec.hidden)
    bias = getattr(norm, "bias", None)
    shift = torch.zeros(spec.hidden) if bias is None else bias
    gain, out = spec.final_norm_weight().clone(), norm(states)
    norm.weight.fill_(1.0 - spec.architecture.norm_offset)
    assert torch.allclose(out, (norm(states) - shift) * gain + shift, atol=1e-5)


def test_parallel_layers_are_told_from_the_configuration() -> None:
    assert spec_for(tiny_model("gptj")).parallel
    assert spec_for(tiny_model("gpt_neox")).parallel
    assert not spec_for(tiny_model("gpt_neox", use_parallel_residual=False)).parallel
    assert not spec_for(tiny_model("llama")).parallel


def test_other_families_are_refused_with_a_list_of_those_there_are() -> None:
    config = AutoConfig.for_model(
        "opt", vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, ffn_dim=8
    )
    model = AutoModelForCausalLM.from_config(config)
    with pytest.raises(UnsupportedModel, match=r"'opt'; there are: gemma, .*qwen3"):
        spec_for(model)


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("gpt2", {"reorder_and_upcast_attn": True}),
        ("gpt2", {"add_cross_attention": True}),
        ("gemma3_text", {"use_bidirectional_attention": True}),
    ],
)
def test_variants_that_are_not_covered_are_refused(kind: str, changes: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedModel, match=next(iter(changes))):
        spec_for(tiny_model(kind, **changes))


@pytest.mark.parametrize("kind", ["llama", "gemma3_text"])
def test_rotary_embeddings_that_depend_on_who_shares_the_batch_are_refused(kind: str) -> None:
    model = tiny_model(kind)
    factors = {"short_factor": [1.0] * 4, "long_factor": [2.0] * 4, "original_max_position_embeddings": 32}
    longrope = {"rope_type": "longrope", "rope_theta": 10000.0, "factor": 4.0, **factors}
    stated = model.config.rope_parameters
    model.config.rope_parameters = (
        longrope if "rope_type" in stated else {**stated, "full_attention": longrope}
    )
    with pytest.raises(UnsupportedModel, match=r"'longrope'.* together with it"):
        spec_for(model)


def test_a_model_without_a_language_head_is_refused() -> None:
    body = AutoModel.from_config(tiny_model("llama").config)
    with pytest.raises(UnsupportedModel, match="not laid out"):
        spec_for(body)
