"""The layers below the first one with facts compute the same with and without facts: run them once.

`run_trunk` stops at that layer; `from_trunk` lets a forward begin there. Saves a third of a training step.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from engines.architectures import spec_for


@dataclass(frozen=True, slots=True)
class Trunk:
    """The residual stream that enters `layer`, for every row of a batch."""

    layer: int
    states: Tensor
    tuples: bool  # whether this model's layers answer with a tuple

    def rows(self, chosen: Tensor) -> Trunk:
        """Some of the batch."""
        return Trunk(self.layer, self.states[chosen], self.tuples)


class _Reached(Exception):
    """Ends a forward at the layer whose input was wanted."""


@torch.no_grad()
def states_before(model: Any, layers: Sequence[int], **inputs: Tensor) -> list[Tensor]:
    """The residual streams that enter these layers, in ascending order; the model is run no further than the last."""
    caught: list[Tensor] = []

    def catch(module: Any, args: Any, kwargs: Any) -> None:
        caught.append(args[0] if args else kwargs["hidden_states"])
        if len(caught) == len(layers):
            raise _Reached

    hooks = [
        spec_for(model).layers[layer].register_forward_pre_hook(catch, with_kwargs=True) for layer in layers
    ]
    try:
        model.base_model(**inputs, use_cache=False)
    except _Reached:
        pass
    finally:
        for hook in hooks:
            hook.remove()
    return caught


def run_trunk(model: Any, layer: int, **inputs: Tensor) -> Trunk:
    """Runs the model up to (not including) the layer."""
    tuples: list[bool] = []

    def note(module: Any, args: Any, output: Any) -> None:
        tuples.append(isinstance(output, tuple))

    hook = spec_for(model).layers[0].register_forward_hook(note)
    try:
        (states,) = states_before(model, [layer], **inputs)
    finally:
        hook.remove()
    return Trunk(layer, states, bool(tuples and tuples[0]))


@contextmanager
def from_trunk(model: Any, trunk: Trunk) -> Iterator[None]:
    """Within, a forward over the same rows skips the layers below and goes on from the trunk's states."""
    layers = list(spec_for(model).layers)[: trunk.layer]
    answer = (trunk.states,) if trunk.tuples else trunk.states
    originals = [layer.forward for layer in layers]
    for layer in layers:
        layer.forward = lambda *args, **kwargs: answer
    try:
        yield
    finally:
        for layer, original in zip(layers, originals, strict=True):
            layer.forward = original
