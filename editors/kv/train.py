"""Training: AdamW on the encoder alone, the model frozen; checkpointed, so that it can be ended and resumed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn

from editors.kv.encoder import KVEncoder
from editors.kv.library import Course, Library
from editors.kv.moments import moments, remember
from editors.kv.objective import REPORTED, Weights, losses
from editors.kv.problems import Scorer
from editors.kv.storage import write_tensors, write_text


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """The defaults are the recipe of the shipped encoder."""

    steps: int = 400
    repeats: int = 4  # steps for every problem that is read
    remembered: int = 48  # problems that are kept to be gone through again, with other candidates
    # Of the maps; low, so that they stay near a start that knows all relations alike (docs/adr/0008).
    learning_rate: float = 3e-4
    bias_learning_rate: float = 2e-2  # of the heads' biases
    warmup: int = 30
    weight_decay: float = 0.01
    clip: float = 1.0
    seed: int = 0
    checkpoint_every: int = 50
    weights: Weights = field(default_factory=Weights)


@dataclass(frozen=True, slots=True)
class StepReport:
    """Where the training stands."""

    step: int
    losses: dict[str, float]  # the parts named in REPORTED
    seconds: float


def train(
    encoder: KVEncoder,
    model: Any,
    tokenizer: Any,
    course: Course,
    scorer: Scorer,
    settings: TrainSettings,
    folder: Path,
    on_step: Callable[[StepReport], None] = lambda report: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> list[dict[str, float]]:
    """Trains in place; resumes from `folder` when it holds a checkpoint. Returns the loss curve.

    The prior stays as it is: on relations that the maps are trained on it would learn that it is not needed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    encoder.train().requires_grad_(True)
    encoder.prior.requires_grad_(False)
    optimiser = torch.optim.AdamW(
        _groups(encoder, settings), weight_decay=settings.weight_decay, betas=(0.9, 0.98)
    )
    first, curve = _resume(encoder, optimiser, folder)
    library = Library(encoder, model, tokenizer, course, scorer, size=settings.remembered)
    for step in range(first, settings.steps):
        if cancelled():
            if step > first:
                _checkpoint(encoder, optimiser, folder, step, curve)
            break
        started = time.perf_counter()
        torch.manual_seed(settings.seed * 1_000_003 + step)
        factor = _schedule(step, settings)
        for group in optimiser.param_groups:
            group["lr"] = group["base"] * factor
        parts = []
        lesson = library.lesson(step, repeats=settings.repeats, seed=settings.seed)
        for known in lesson:
            part = losses(encoder, model, known, settings.weights)
            (part.total / len(lesson)).backward()  # type: ignore[no-untyped-call]
            parts.append(part)
        torch.nn.utils.clip_grad_norm_(encoder.parameters(), settings.clip)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        means = {name: sum(getattr(part, name) for part in parts) / len(parts) for name in REPORTED}
        curve.append({"step": step, **means})
        on_step(StepReport(step, means, time.perf_counter() - started))
        if (step + 1) % settings.checkpoint_every == 0 or step + 1 == settings.steps:
            _checkpoint(encoder, optimiser, folder, step + 1, curve)
    encoder.eval().requires_grad_(False)
    return curve


def _groups(encoder: KVEncoder, settings: TrainSettings) -> list[dict[str, Any]]:
    biases = list(encoder.bias.parameters())
    others = {id(parameter) for parameter in (*biases, *encoder.prior.parameters())}
    maps = [parameter for parameter in encoder.parameters() if id(parameter) not in others]
    return [
        {"params": maps, "base": settings.learning_rate, "lr": 0.0},
        {"params": biases, "base": settings.bias_learning_rate, "lr": 0.0, "weight_decay": 0.0},
    ]


def _schedule(step: int, settings: TrainSettings) -> float:
    return min(1.0, (step + 1) / settings.warmup) * max(0.05, 1.0 - step / max(1, settings.steps))


def _checkpoint(
    encoder: KVEncoder,
    optimiser: torch.optim.Optimizer,
    folder: Path,
    step: int,
    curve: list[dict[str, float]],
) -> None:
    tensors = {f"encoder.{name}": value.detach().contiguous() for name, value in encoder.state_dict().items()}
    write_tensors(tensors | moments(optimiser, _trained(encoder)), folder / "checkpoint.safetensors")
    write_text(folder / "curve.json", json.dumps({"step": step, "curve": curve}))


def _trained(encoder: KVEncoder) -> dict[str, nn.Parameter]:
    return {name: part for name, part in encoder.named_parameters() if part.requires_grad}


def _resume(
    encoder: KVEncoder, optimiser: torch.optim.Optimizer, folder: Path
) -> tuple[int, list[dict[str, float]]]:
    path, curve_path = folder / "checkpoint.safetensors", folder / "curve.json"
    if not path.is_file() or not curve_path.is_file():
        return 0, []
    tensors = load_file(path)
    prefix = "encoder."
    encoder.load_state_dict({k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)})
    saved = json.loads(curve_path.read_text())
    remember(optimiser, _trained(encoder), tensors, saved["step"])
    return int(saved["step"]), list(saved["curve"])
