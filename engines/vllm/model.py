"""Model classes that attend to facts: made from vLLM's own, by the architecture's spec, without copying any.

`class_for("LlamaForCausalLM")` is vLLM's class whose layers, where the adapter wants it, hand their residual stream
to their attention, and whose attention there is `attend` below. Nothing else changes.
"""

from __future__ import annotations

import inspect
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from engines.architectures import ARCHITECTURES, ArchitectureSpec
from engines.errors import UnsupportedModel
from engines.vllm.adapter_file import QueryMaps
from engines.vllm.model_facts import LayerFacts, ModelFacts
from engines.vllm.operation import register_operation

PREFIX = "Interleaf"  # of the names under which our classes are known to vLLM
CONFIG = "interleaf"  # our part of vLLM's additional_config
FACTS = "interleaf_facts"  # where a model keeps its `ModelFacts`

# vLLM's names of the architectures whose `config.model_type` has a spec.
SUPPORTED = {
    "LlamaForCausalLM": "llama",
    "MistralForCausalLM": "mistral",
    "Qwen2ForCausalLM": "qwen2",
    "Qwen3ForCausalLM": "qwen3",
    "GemmaForCausalLM": "gemma",
    "GPTNeoXForCausalLM": "gpt_neox",
    "GPT2LMHeadModel": "gpt2",
}


@cache
def attention_class(base: Any) -> Any:
    """vLLM's attention with facts; its layer leaves the residual stream in `stream` before."""

    def forward(
        self: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        output_shape: Any = None,
        output_dtype: Any = None,
    ) -> Tensor:
        output = query.new_empty(query.shape[0], self.num_heads, self.head_size)
        torch.ops.interleaf.attend(
            query.view(-1, self.num_heads, self.head_size),
            key.view(-1, self.num_kv_heads, self.head_size),
            value.view(-1, self.num_kv_heads, self.head_size),
            self.stream,
            output,
            self.layer_name,
        )
        return output.view(query.shape[0], -1)

    return type(f"{PREFIX}{base.__name__}", (base,), {"forward": forward})


@cache
def layer_class(base: Any, attention_path: str) -> Any:
    """vLLM's decoder layer, which tells its attention what residual stream it was given."""
    names = list(inspect.signature(base.forward).parameters)[1:]
    stream_at = names.index("hidden_states")
    residual_at = names.index("residual") if "residual" in names else None

    def forward(self: Any, *args: Any, **kwargs: Any) -> Any:
        def argument(name: str, at: int | None) -> Any:
            if at is None:
                return None
            return args[at] if at < len(args) else kwargs.get(name)

        stream, residual = argument("hidden_states", stream_at), argument("residual", residual_at)
        attention = self.get_submodule(attention_path).attn
        # A tensor of its own: the layer's kernels may write into its arguments, as the fused norm on GPUs does.
        own = stream.clone() if residual is None else stream + residual
        attention.stream = own.view(-1, own.shape[-1])
        result = base.forward(self, *args, **kwargs)
        attention.stream = None
        return result

    return type(f"{PREFIX}{base.__name__}", (base,), {"forward": forward})


def class_for(architecture: str) -> type:
    """vLLM's class of that name, with facts."""
    from vllm import ModelRegistry

    base = ModelRegistry.models[architecture].load_model_cls()
    spec = ARCHITECTURES[SUPPORTED[architecture]]

    def make(self: Any, *, vllm_config: Any, prefix: str = "") -> None:
        config = vllm_config.model_config.hf_config
        ours, config.architectures = config.architectures, [architecture]  # by which it finds its weights
        try:
            base.__init__(self, vllm_config=vllm_config, prefix=prefix)
        finally:
            config.architectures = ours
        _install(self, spec, vllm_config)

    return type(PREFIX + architecture, (base,), {"__init__": make, "__module__": __name__})


def __getattr__(name: str) -> type:
    """vLLM finds classes by module and name."""
    if name.startswith(PREFIX) and name.removeprefix(PREFIX) in SUPPORTED:
        made = globals()[name] = class_for(name.removeprefix(PREFIX))
        return made
    raise AttributeError(name)


def _install(model: Any, spec: ArchitectureSpec, vllm_config: Any) -> None:
    from vllm.distributed import get_tensor_model_parallel_rank

    register_operation()
    if vllm_config.parallel_config.pipeline_parallel_size > 1 or vllm_config.speculative_config is not None:
        raise UnsupportedModel(
            "facts cannot be attended to with pipeline parallelism or speculative decoding"
        )
    maps = QueryMaps.read(Path(vllm_config.additional_config[CONFIG]["adapter"]))
    layers = _layers(model, spec)
    attentions = [layers[layer].get_submodule(spec.attention).attn for layer in maps.layers]
    for attention in attentions:
        _require_plain(attention)
    first, device = attentions[0], torch.device(vllm_config.device_config.device)
    own = maps.heads(get_tensor_model_parallel_rank() * first.num_heads, first.num_heads, first.head_size)
    facts = ModelFacts(own.to(device), attentions, device)
    model.__dict__[FACTS] = facts
    for layer, attention in zip(maps.layers, attentions, strict=True):
        attention.__dict__["interleaf_layer"] = LayerFacts(facts, layer, attention)
        attention.__class__ = attention_class(attention.__class__)
        layers[layer].__class__ = layer_class(layers[layer].__class__, spec.attention)


def _layers(model: nn.Module, spec: ArchitectureSpec) -> Any:
    """Where vLLM keeps the layers: as transformers does, or under `model` in its classes around transformers'."""
    for path in (spec.layers, "model." + spec.layers.partition(".")[2]):
        try:
            return model.get_submodule(path)
        except AttributeError:
            continue
    raise UnsupportedModel(f"{type(model).__name__} is not laid out as {spec.family}")


def _require_plain(attention: Any) -> None:
    """UnsupportedModel for attention that is not what the sums are computed for."""
    implementation = attention.impl
    for name, plain in (("alibi_slopes", None), ("sinks", None), ("kv_sharing_target_layer_name", None)):
        if getattr(implementation, name, plain) is not plain:
            raise UnsupportedModel(f"facts cannot be attended to in a layer with {name}")
    if attention.query_quant is not None or attention.kv_cache_dtype not in ("auto", "bfloat16", "float16"):
        raise UnsupportedModel(f"facts cannot be attended to beside a cache of {attention.kv_cache_dtype}")
