"""The part of a batch that a shifted state cannot reach, computed once: earlier positions, and earlier layers.

Attention is causal, so what stands before the first shifted position stays as it is; it is kept as keys and
values. Behind it, the layers below the shifted one stay as they are. Searching for a value runs the rest only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from editors.kv.trunk import Trunk, from_trunk, run_trunk
from editors.weights.texts import Rows


@dataclass(frozen=True, slots=True)
class Settled:
    """What `run` needs to go on from there."""

    start: int  # the first position that is run
    trunk: Trunk
    keys: tuple[Tensor, ...]  # of the positions before, by layer
    values: tuple[Tensor, ...]
    inputs: dict[str, Tensor]

    def run(self, model: Any, kept: int) -> Tensor:
        """Logits at the last `kept` positions, float32."""
        from transformers import DynamicCache

        cache = DynamicCache()
        for layer, (keys, values) in enumerate(zip(self.keys, self.values, strict=True)):
            cache.update(keys, values, layer)
        with from_trunk(model, self.trunk):
            logits: Tensor = model(
                **self.inputs,
                past_key_values=cache if self.start else None,
                use_cache=bool(self.start),
                logits_to_keep=kept,
            ).logits
        return logits.float()


@torch.no_grad()
def settle(model: Any, batch: Rows, layer: int) -> Settled:
    """For shifts of the layer's states at the batch's places."""
    start = int(batch.columns.min())
    trunk = run_trunk(model, layer, **batch.inputs)
    keys: tuple[Tensor, ...] = ()
    values: tuple[Tensor, ...] = ()
    if start:
        earlier = {name: tensor[:, :start] for name, tensor in batch.inputs.items()}
        keys, values = _read(model, earlier)
    inputs = {name: tensor[:, start:] for name, tensor in batch.inputs.items()}
    inputs["attention_mask"] = batch.inputs["attention_mask"]
    return Settled(start, replace(trunk, states=trunk.states[:, start:]), keys, values, inputs)


def _read(model: Any, inputs: dict[str, Tensor]) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    from transformers import DynamicCache

    cache = DynamicCache()
    model.base_model(**inputs, past_key_values=cache, use_cache=True)
    return tuple(part.keys for part in cache.layers), tuple(part.values for part in cache.layers)
