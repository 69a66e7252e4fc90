"""Where a training of side maps stands: parameters and the optimiser's moments in one safetensors file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from editors.headmap.items import TaskItem
from editors.headmap.maps import SideMaps


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """`run` names what is trained on what and how: the file of another run is not gone on with."""

    path: Path
    run: str

    def write(self, maps: SideMaps, optimiser: torch.optim.Optimizer, losses: Sequence[float]) -> None:
        """Atomically."""
        tensors: dict[str, torch.Tensor] = {}
        for at, parameter in enumerate(maps.parameters()):
            state = optimiser.state[parameter]
            tensors |= {f"{at}.value": parameter.detach(), f"{at}.first": state["exp_avg"]}
            tensors |= {f"{at}.second": state["exp_avg_sq"], f"{at}.steps": state["step"].reshape(1)}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_suffix(".partial")
        plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
        save_file(plain, partial, {"run": self.run, "losses": json.dumps(list(losses))})
        partial.replace(self.path)

    def read(self, maps: SideMaps, optimiser: torch.optim.Optimizer) -> list[float]:
        """Puts both where they were; the losses so far. Nothing where there is no such file of this run."""
        if not self.path.is_file():
            return []
        try:
            with safe_open(self.path, framework="pt") as file:
                notes = file.metadata() or {}
                if notes.get("run") != self.run:
                    return []
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError):
            return []
        for at, parameter in enumerate(maps.parameters()):
            with torch.no_grad():
                parameter.copy_(tensors[f"{at}.value"])
            optimiser.state[parameter] = {
                "step": tensors[f"{at}.steps"].reshape(()),
                "exp_avg": tensors[f"{at}.first"].to(parameter.device),
                "exp_avg_sq": tensors[f"{at}.second"].to(parameter.device),
            }
        losses: list[float] = json.loads(notes["losses"])
        return losses


def run_name(maps: SideMaps, items: Sequence[TaskItem], settings: Any, model_digest: str) -> str:
    """By everything that decides how the training goes on."""
    values = [maps.config.to_json(), [asdict(item) for item in items], asdict(settings), model_digest]
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:24]
