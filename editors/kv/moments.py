"""What AdamW remembers of parameters, so that a training that was ended goes on as if it had not been."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from editors.kv.storage import write_tensors

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


def keep(path: Path, optimiser: torch.optim.Optimizer, named: Mapping[str, Tensor], step: int) -> None:
    """All that a training has after so many steps, in one file."""
    tensors = {name: parameter.detach().contiguous() for name, parameter in named.items()}
    write_tensors({**tensors, **moments(optimiser, named), "step": torch.tensor(step)}, path)


def resumed(path: Path | None, optimiser: torch.optim.Optimizer, named: Mapping[str, Tensor]) -> int:
    """Takes what `keep` wrote, if there is any; the step to go on with."""
    if path is None or not path.is_file():
        return 0
    tensors = load_file(path)
    with torch.no_grad():
        for name, parameter in named.items():
            parameter.copy_(tensors[name])
    step = int(tensors["step"])
    remember(optimiser, named, tensors, step)
    return step
