"""The attention operation, opaque to compilers: `torch.ops.interleaf.attend`."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor

from engines.vllm.model_facts import LayerFacts

OPERATION = "interleaf::attend"


def _attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    stream: Tensor,
    output: Tensor,
    layer_name: str,
) -> None:
    from vllm.model_executor.layers.attention.attention import (
        get_attention_context,
        unified_attention_with_output,
        unified_kv_cache_update,
    )

    metadata, attention, cache, slots = get_attention_context(layer_name)
    if not attention.attn_backend.forward_includes_kv_cache_update:
        unified_kv_cache_update(key, value, layer_name)
    layer: LayerFacts = attention.interleaf_layer
    has_facts = metadata is not None and bool(layer.facts.reading.numel())
    if has_facts and layer.kernel is not None:
        sums = layer.kernel.attend(query, cache, metadata, output)
        layer.attend(query, stream, output, metadata, sums)
        return
    unified_attention_with_output(query, key, value, output, layer_name)
    if has_facts:
        layer.keep_keys(key, slots, cache.numel())
        layer.attend(query, stream, output, metadata, None)


@cache
def register_operation() -> Any:
    """The operation, opaque to compilers: `torch.ops.interleaf.attend`."""
    library: Any = torch.library.Library("interleaf", "FRAGMENT")  # type: ignore[no-untyped-call]
    library.define(
        "attend(Tensor query, Tensor key, Tensor value, Tensor stream, Tensor(a!) output, "
        "str layer_name) -> ()"
    )
    for key in ("CPU", "CUDA"):
        library.impl("attend", _attend, key)
    library.impl("attend", lambda *arguments: None, "Meta")
    return library
