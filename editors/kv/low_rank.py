"""Low-rank changes to the linear maps of a text embedder, while they are taught."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@cache
def tiles() -> bool:
    """Whether this processor multiplies bfloat16 in tiles: several times as fast."""
    return bool(torch.cpu.get_capabilities().get("amx_bf16"))


class LowRank(nn.Module):
    """A linear map and a change to it that begins at nothing."""

    def __init__(self, linear: nn.Linear, rank: int) -> None:
        super().__init__()
        # What does not change is brought into the form of the tiles once, not at every run.
        self.linear = deepcopy(linear).to(torch.bfloat16) if tiles() else linear
        self.down = nn.Parameter(torch.randn(rank, linear.in_features) / linear.in_features**0.5)
        self.up = nn.Parameter(torch.zeros(linear.out_features, rank))

    def forward(self, states: Tensor) -> Tensor:
        """The map, changed."""
        changed: Tensor = self.linear(states) + F.linear(F.linear(states, self.down), self.up)
        return changed


@contextmanager
def low_rank(model: Any, rank: int) -> Iterator[dict[str, Tensor]]:
    """The changes by name, as `SentenceEmbedder.adapted` takes them; within, they are part of the model."""
    model.requires_grad_(False)
    layers = model.get_submodule("encoder.layer").named_modules(prefix="encoder.layer")
    names = [name for name, part in layers if isinstance(part, nn.Linear)]
    originals = {name: model.get_submodule(name) for name in names}
    wrapped = {name: LowRank(linear, rank) for name, linear in originals.items()}
    try:
        for name, module in wrapped.items():
            model.set_submodule(name, module)
        yield {
            f"{name}.{side}": getattr(module, side)
            for name, module in wrapped.items()
            for side in ("down", "up")
        }
    finally:
        for name, linear in originals.items():
            model.set_submodule(name, linear)
