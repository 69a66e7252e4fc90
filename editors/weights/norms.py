"""Norms as the linear maps that they are where their scale stays as it was: parts of what they read then add up."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def through(norm: nn.Module, read: Tensor, wrote: Tensor, parts: Tensor) -> Tensor:
    """What parts [..., hidden] of that which the norm read [hidden] are of what it wrote."""
    return centred(norm, parts) * scale(norm, read.float(), wrote.float())


def centred(norm: nn.Module, states: Tensor) -> Tensor:
    """What the norm scales."""
    return states - states.mean(-1, keepdim=True) if isinstance(norm, nn.LayerNorm) else states


def scale(norm: nn.Module, read: Tensor, wrote: Tensor) -> Tensor:
    """What the norm multiplied each coordinate of its centred input with."""
    bias = getattr(norm, "bias", None)
    if isinstance(bias, Tensor):
        wrote = wrote - bias.float()
    inner = centred(norm, read)
    return torch.where(inner.abs() > 1e-6, wrote / inner, torch.zeros_like(inner))
