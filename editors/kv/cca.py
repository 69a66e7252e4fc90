"""Canonical correlation: the directions in which two sets of paired states say the same."""

from __future__ import annotations

import torch
from torch import Tensor


def canonical_directions(
    left: Tensor, right: Tensor, count: int, ridge: float
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Means, canonical maps (columns are directions) and correlations, the strongest `count`."""
    mean_l, mean_r = left.mean(0), right.mean(0)
    left, right = left - mean_l, right - mean_r
    cover_l, cover_r = left.T @ left / len(left), right.T @ right / len(right)
    white_l, white_r = _whitener(cover_l, ridge), _whitener(cover_r, ridge)
    u, rho, v = torch.linalg.svd(white_l @ (left.T @ right / len(left)) @ white_r)
    return mean_l, mean_r, white_l @ u[:, :count], white_r @ v[:count].T, rho[:count].clamp(0, 1)


def _whitener(cover: Tensor, ridge: float) -> Tensor:
    regularised = cover + ridge * cover.diagonal().mean() * torch.eye(len(cover))
    values, vectors = torch.linalg.eigh(regularised)
    whitener: Tensor = vectors @ torch.diag(values.clamp_min(1e-8).rsqrt()) @ vectors.T
    return whitener
