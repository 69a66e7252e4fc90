"""Tiny random models of every listed architecture, a random adapter, facts, and a byte-level tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from engines.contract import InjectedFact, KVTokens

VOCABULARY = 260  # 256 bytes and four special tokens
LAYERS = 4
WINDOW = 6  # of sliding attention: shorter than the prompts

_COMMON: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 40,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "max_position_embeddings": 128,
    "pad_token_id": 256,
    "bos_token_id": 258,
    "eos_token_id": 257,
}
_GROUPED: dict[str, Any] = {
    **_COMMON,
    "intermediate_size": 56,
    "num_key_value_heads": 2,
    "head_dim": 16,  # heads * head_dim is not the hidden size
}
# What every family is tried with: config.model_type -> config values.
CONFIGS: dict[str, dict[str, Any]] = {
    "llama": {**_GROUPED, "attention_bias": True},
    "mistral": {**_GROUPED, "sliding_window": WINDOW},
    "qwen2": {
        **_GROUPED,
        "head_dim": 10,
        "use_sliding_window": True,
        "sliding_window": WINDOW,
        "max_window_layers": 2,
    },
    "qwen3": _GROUPED,
    "gemma": {**_GROUPED, "num_key_value_heads": 1},
    "gemma2": {
        **_GROUPED,
        "sliding_window": WINDOW,
        "query_pre_attn_scalar": 20,
        "attn_logit_softcapping": 2.0,
        "final_logit_softcapping": 5.0,
    },
    "gemma3_text": {**_GROUPED, "sliding_window": WINDOW, "query_pre_attn_scalar": 20},
    "gpt_neox": {
        **_COMMON,
        "intermediate_size": 56,
        "use_parallel_residual": True,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.4},
    },
    "gpt2": {**_COMMON, "n_inner": 56},
    "gptj": {**_COMMON, "n_inner": 56, "rotary_dim": 4},
}
EAGER = ("gemma2", "gptj")  # softcapping, and a family without another attention


def tiny_model(kind: str, seed: int = 0, **changes: Any) -> Any:
    """A model whose weights are large enough for attention to matter."""
    values = {**CONFIGS[kind], **changes}
    implementation = values.pop("attn_implementation", "eager" if kind in EAGER else "sdpa")
    config = AutoConfig.for_model(kind, **values)
    model = AutoModelForCausalLM.from_config(config, attn_implementation=implementation)
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if parameter.dim() > 1:
            parameter.data.copy_(noise * 1.5 * parameter.shape[-1] ** -0.5)
        else:
            parameter.data.add_(noise * 0.2)
    return model.eval().requires_grad_(False)


class RandomAdapter(nn.Module):
    """A KVAdapter that was never trained."""

    def __init__(
        self, hidden: int, heads: int, kv_heads: int, head_dim: int, layers: Sequence[int] = (1, 3)
    ) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.layers, self.digest = tuple(layers), "random"
        self.heads, self.kv_heads, self.head_dim = heads, kv_heads, head_dim
        self.maps = nn.ModuleDict({str(layer): nn.Linear(hidden, heads * head_dim) for layer in layers})
        self.biases = nn.ParameterDict({str(layer): nn.Parameter(torch.randn(heads)) for layer in layers})

    @classmethod
    def of(cls, model: Any, layers: Sequence[int] = (1, 3)) -> RandomAdapter:
        """Of the right shape."""
        config = model.config
        heads = config.num_attention_heads
        kv_heads = getattr(config, "num_key_value_heads", None) or heads
        return cls(
            config.hidden_size,
            heads,
            kv_heads,
            getattr(config, "head_dim", None) or config.hidden_size // heads,
            layers,
        )

    def query(self, layer: int, residual: Tensor) -> Tensor:
        batch, length, _ = residual.shape
        normalised = nn.functional.layer_norm(residual.float(), residual.shape[-1:])
        query: Tensor = self.maps[str(layer)](normalised)
        return query.view(batch, length, self.heads, self.head_dim).transpose(1, 2)

    def linear_query(self, layer: int) -> tuple[Tensor, Tensor]:
        projection: Any = self.maps[str(layer)]
        return projection.weight, projection.bias

    def head_bias(self, layer: int) -> Tensor:
        return self.biases[str(layer)]

    def fact(self, key: str, tokens: int = 2, bias: float = 0.0) -> InjectedFact:
        """Random tokens, the same for the same key."""
        generator = torch.Generator().manual_seed(sum(map(ord, key)))
        shape = (2, len(self.layers), tokens, self.kv_heads, self.head_dim)
        keys, values = torch.randn(shape, generator=generator) * 2
        return InjectedFact(KVTokens(key, self.digest, keys, values), bias)


def byte_tokenizer() -> Any:
    """Every byte is a token, so that characters come in pieces."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    inner = Tokenizer(models.BPE({character: i for i, character in enumerate(alphabet)}, []))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    inner.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", eos_token="<eos>", bos_token="<bos>", unk_token="<unk>"
    )
    tokenizer.chat_template = (
        "{% for m in messages %}{% if m['role'] == 'robot' %}{{ raise_exception('no robots') }}{% endif %}"
        "<bos>{{ m['role'] }}: {{ m['content'] }}<eos>{% endfor %}"
        "{% if add_generation_prompt %}<bos>assistant: {% endif %}"
    )
    return tokenizer
