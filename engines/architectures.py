"""Where the parts of a model live, as data: one spec per family, found by `config.model_type`.

To support another family, add a row here; the exactness tests run over every row. A family is listed only when
its attention is understood exactly: what a config may say and what it must not say is part of the row.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from engines.errors import UnsupportedModel


class Projections(enum.Enum):
    """How query, key and value are computed from the layer's input."""

    SPLIT = "three modules"
    BLOCKS = "one module: all queries, then all keys, then all values"
    PER_HEAD = "one module: for each head its query, key and value"


class Entry(enum.Enum):
    """How another attention is put in place of the model's own."""

    INTERFACE = "the library's table of attention functions"
    METHOD = "the attention module's method `_attn`"


class Layout(enum.Enum):
    """How linear maps store their weight."""

    LINEAR = "[out, in]"
    CONV1D = "[in, out]"


@dataclass(frozen=True, slots=True)
class ArchitectureSpec:
    """Module paths and config names of a family.

    Paths of `layers`, `embedding`, `positions`, `final_norm` and `lm_head` start at the causal language model,
    those of norms, `attention` and `mlp` at a layer, `qkv` and `output` at the attention, `down` at the MLP.
    """

    family: str
    layers: str
    embedding: str
    final_norm: str
    attention: str
    qkv: tuple[str, ...]
    projections: Projections
    output: str
    down: str
    input_norm: str
    mlp_norm: str | None  # what the MLP reads through; None: it shares the input norm
    attention_out_norm: str | None = None  # applied to what attention wrote, before it is added
    mlp_out_norm: str | None = None
    mlp: str = "mlp"
    lm_head: str = "lm_head"
    positions: str | None = None  # learned position embeddings; None: rotary
    norm_offset: float = 0.0  # what norms add to their weight before they multiply
    layout: Layout = Layout.LINEAR
    entry: Entry = Entry.INTERFACE
    parallel: bool | str = (
        False  # attention and MLP read the same input; a name: the config's flag that says so
    )
    in_tuple: bool = False  # a layer returns what it writes as the first of a tuple
    hidden: str = "hidden_size"
    layer_count: str = "num_hidden_layers"
    heads: str = "num_attention_heads"
    kv_heads: str | None = None  # None: as many as heads
    head_dim: str | None = None  # None: hidden / heads
    softcap: str | None = None  # the config's cap on attention logits; only eager attention applies it
    requires: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)  # config name -> values we cover


_LLAMA: dict[str, Any] = {
    "layers": "model.layers",
    "embedding": "model.embed_tokens",
    "final_norm": "model.norm",
    "attention": "self_attn",
    "qkv": ("q_proj", "k_proj", "v_proj"),
    "projections": Projections.SPLIT,
    "output": "o_proj",
    "down": "down_proj",
    "input_norm": "input_layernorm",
    "mlp_norm": "post_attention_layernorm",
    "kv_heads": "num_key_value_heads",
    "head_dim": "head_dim",
}
_FOUR_NORMS: dict[str, Any] = {
    **_LLAMA,
    "attention_out_norm": "post_attention_layernorm",
    "mlp_norm": "pre_feedforward_layernorm",
    "mlp_out_norm": "post_feedforward_layernorm",
    "norm_offset": 1.0,
    "requires": {"use_bidirectional_attention": (False, None)},
}
_GPT: dict[str, Any] = {
    "layers": "transformer.h",
    "embedding": "transformer.wte",
    "final_norm": "transformer.ln_f",
    "attention": "attn",
    "input_norm": "ln_1",
}

# Keyed by `config.model_type`.
ARCHITECTURES: Mapping[str, ArchitectureSpec] = {
    "llama": ArchitectureSpec(family="llama", **_LLAMA),
    "mistral": ArchitectureSpec(family="mistral", **_LLAMA),
    "qwen2": ArchitectureSpec(family="qwen2", **_LLAMA),
    "qwen3": ArchitectureSpec(family="qwen3", **_LLAMA),
    "gemma": ArchitectureSpec(
        family="gemma",
        norm_offset=1.0,
        requires={"use_bidirectional_attention": (False, None)},
        **_LLAMA,
    ),
    "gemma2": ArchitectureSpec(family="gemma2", softcap="attn_logit_softcapping", **_FOUR_NORMS),
    "gemma3_text": ArchitectureSpec(family="gemma3", **_FOUR_NORMS),
    "gpt_neox": ArchitectureSpec(
        family="gpt_neox",
        layers="gpt_neox.layers",
        embedding="gpt_neox.embed_in",
        final_norm="gpt_neox.final_layer_norm",
        attention="attention",
        qkv=("query_key_value",),
        projections=Projections.PER_HEAD,
        output="dense",
        down="dense_4h_to_h",
        input_norm="input_layernorm",
        mlp_norm="post_attention_layernorm",
        parallel="use_parallel_residual",
    ),
    "gpt2": ArchitectureSpec(
        family="gpt2",
        qkv=("c_attn",),
        projections=Projections.BLOCKS,
        output="c_proj",
        down="c_proj",
        mlp_norm="ln_2",
        positions="transformer.wpe",
        layout=Layout.CONV1D,
        requires={"reorder_and_upcast_attn": (False,), "add_cross_attention": (False,)},
        **_GPT,
    ),
    "gptj": ArchitectureSpec(
        family="gptj",
        in_tuple=True,
        qkv=("q_proj", "k_proj", "v_proj"),
        projections=Projections.SPLIT,
        output="out_proj",
        down="fc_out",
        mlp_norm=None,
        entry=Entry.METHOD,
        parallel=True,
        **_GPT,
    ),
}


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A spec bound to a model: its modules and its numbers. Layer numbers are indexes into `layers`."""

    architecture: ArchitectureSpec
    model: Any
    layers: nn.ModuleList

    def attention(self, layer: int) -> nn.Module:
        """The layer's attention."""
        return self.layers[layer].get_submodule(self.architecture.attention)

    def qkv(self, layer: int) -> tuple[nn.Module, ...]:
        """The modules of query, key and value; one when they are fused (see `architecture.projections`)."""
        attention = self.attention(layer)
        return tuple(attention.get_submodule(name) for name in self.architecture.qkv)

    def output(self, layer: int) -> nn.Module:
        """The attention's output projection."""
        return self.attention(layer).get_submodule(self.architecture.output)

    def mlp(self, layer: int) -> nn.Module:
        """The layer's MLP."""
        return self.layers[layer].get_submodule(self.architecture.mlp)

    def mlp_down(self, layer: int) -> nn.Module:
        """The MLP's last map, back to the residual stream."""
        return self.mlp(layer).get_submodule(self.architecture.down)

    def input_norm(self, layer: int) -> nn.Module:
        """The norm that attention reads through."""
        return self.layers[layer].get_submodule(self.architecture.input_norm)

    def mlp_norm(self, layer: int) -> nn.Module:
        """The norm that the MLP reads through."""
        name = self.architecture.mlp_norm or self.architecture.input_norm
        return self.layers[layer].get_submodule(name)

    def attention_out_norm(self, layer: int) -> nn.Module | None:
        """The norm that what attention wrote goes through before it is added; None in most families."""
        return self._norm_behind(layer, self.architecture.attention_out_norm)

    def mlp_out_norm(self, layer: int) -> nn.Module | None:
        """Likewise of the MLP."""
        return self._norm_behind(layer, self.architecture.mlp_out_norm)

    @property
    def final_norm(self) -> nn.Module:
        """Before the language model's head."""
        return self._module(self.architecture.final_norm)

    @property
    def embedding(self) -> nn.Module:
        """Of input tokens."""
        return self._module(self.architecture.embedding)

    @property
    def lm_head(self) -> nn.Module:
        """From the final norm to logits."""
        return self._module(self.architecture.lm_head)

    def output_projection(self, layer: int) -> Tensor:
        """The weight of `output(layer)` as [hidden, heads * head dim], whatever the layout."""
        return self.weight_of(self.output(layer))

    def weight_of(self, module: nn.Module) -> Tensor:
        """The weight of one of this model's linear maps as [out, in]; a view."""
        weight: Tensor = module.weight  # type: ignore[assignment]
        return weight.T if self.layout_of(module) is Layout.CONV1D else weight

    def layout_of(self, module: nn.Module) -> Layout:
        """How one of this model's linear maps stores its weight."""
        return Layout.LINEAR if isinstance(module, nn.Linear) else self.architecture.layout

    def final_norm_weight(self) -> Tensor:
        """What the final norm multiplies with: [hidden]."""
        weight: Tensor = self.final_norm.weight  # type: ignore[assignment]
        return weight + self.architecture.norm_offset if self.architecture.norm_offset else weight

    def embedding_weight(self) -> Tensor:
        """[vocabulary, hidden], as stored (Gemma multiplies it when it looks tokens up)."""
        weight: Tensor = self.embedding.weight  # type: ignore[assignment]
        return weight

    @property
    def vocabulary(self) -> int:
        """Rows of the embedding."""
        return int(self.embedding_weight().shape[0])

    @property
    def hidden(self) -> int:
        """Width of the residual stream."""
        return int(getattr(self.model.config, self.architecture.hidden))

    @property
    def heads(self) -> int:
        """Query heads."""
        return int(getattr(self.model.config, self.architecture.heads))

    @property
    def kv_heads(self) -> int:
        """Key/value heads; each serves heads / kv_heads query heads, neighbours in order."""
        name = self.architecture.kv_heads
        return int(getattr(self.model.config, name)) if name else self.heads

    @property
    def head_dim(self) -> int:
        """May differ from hidden / heads."""
        name = self.architecture.head_dim
        stated = getattr(self.model.config, name, None) if name else None
        return int(stated) if stated else self.hidden // self.heads

    @property
    def context(self) -> int:
        """Positions that the model knows."""
        return int(self.model.config.max_position_embeddings)

    @property
    def parallel(self) -> bool:
        """Whether attention and MLP of a layer read the same residual stream."""
        flag = self.architecture.parallel
        return bool(getattr(self.model.config, flag)) if isinstance(flag, str) else flag

    def _norm_behind(self, layer: int, name: str | None) -> nn.Module | None:
        return self.layers[layer].get_submodule(name) if name else None

    def _module(self, path: str) -> nn.Module:
        module: nn.Module = self.model.get_submodule(path)
        return module


# One set of frequencies for all rows of a forward, by the longest of them.
_ROPES_OF_BATCHES = {"longrope"}


def _rope_types(config: Any) -> set[str]:
    """Of all layers: some families name one for each kind of them."""
    stated = getattr(config, "rope_parameters", None) or {}
    kinds = [stated, *(each for each in stated.values() if isinstance(each, Mapping))]
    return {str(each["rope_type"]) for each in kinds if "rope_type" in each}


def spec_for(model: Any) -> ModelSpec:
    """The spec of a causal language model; UnsupportedModel, with the reason, when no row covers it."""
    config = model.config
    architecture = ARCHITECTURES.get(config.model_type)
    if architecture is None:
        known = ", ".join(sorted(ARCHITECTURES))
        raise UnsupportedModel(f"no architecture spec for {config.model_type!r}; there are: {known}")
    for name, allowed in architecture.requires.items():
        value = getattr(config, name, allowed[0])
        if value not in allowed:
            raise UnsupportedModel(f"{config.model_type} with {name}={value!r} is not covered")
    if refused := _rope_types(config) & _ROPES_OF_BATCHES:
        raise UnsupportedModel(
            f"{config.model_type} with rope_type={min(refused)!r} is not covered: "
            "an answer would depend on the lengths of those that are made together with it"
        )
    try:
        layers = model.get_submodule(architecture.layers)
        spec = ModelSpec(architecture, model, layers)
        shape = tuple(spec.output_projection(0).shape)
    except AttributeError as error:
        raise UnsupportedModel(
            f"{type(model).__name__} is not laid out as {config.model_type}: {error}"
        ) from error
    wanted = (spec.hidden, spec.heads * spec.head_dim)
    if shape != wanted:
        raise UnsupportedModel(f"{type(model).__name__}: output projection is {shape}, expected {wanted}")
    return spec
