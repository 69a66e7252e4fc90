"""What AdamW remembers of parameters, so that a training that was ended goes on as if it had not been."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

_MOMENTS = ("exp_avg", "exp_avg_sq")


def moments(optimiser: torch.optim.Optimizer, named: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """To keep beside the parameters themselves."""
    return {
        f"{key}.{name}": optimiser.state[parameter][key].contiguous()
        for name, parameter in named.items()
        for key in _MOMENTS
    }


def remember(
    optimiser: torch.optim.Optimizer,
    named: Mapping[str, Tensor],
    kept: Mapping[str, Tensor],
    step: int,
) -> None:
    """The inverse of `moments`, after so many steps."""
    for name, parameter in named.items():
        state = {key: kept[f"{key}.{name}"] for key in _MOMENTS}
        optimiser.state[parameter] = {"step": torch.tensor(float(step)), **state}
