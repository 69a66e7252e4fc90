"""A model fine-tuned on facts: every weight, on sentences that say them."""

from __future__ import annotations

import copy
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from circuits.grafting.schemes import GraftCase
from circuits.lab import Lab, Passes

_MOMENTS = ("step", "exp_avg", "exp_avg_sq")  # AdamW's state


@dataclass(frozen=True, slots=True)
class Tuning:
    """AdamW over the facts, several times."""

    epochs: int = 10
    batch: int = 4
    learning_rate: float = 2e-5
    weight_decay: float = 0.01
    seed: int = 0


@dataclass(frozen=True)
class Tuned:
    """The fine-tuned copy, and the mean loss of each epoch."""

    model: Any
    losses: tuple[float, ...]


def tuning_cost(cases: int, tuning: Tuning = Tuning()) -> Passes:
    """Of `fine_tuned`."""
    steps = -(-cases // tuning.batch) * tuning.epochs
    return Passes(forward=steps, backward=steps)


def fine_tuned(
    lab: Lab, cases: Sequence[GraftCase], tuning: Tuning = Tuning(), kept: Path | None = None
) -> Tuned:
    """A copy of the lab's model that was trained to say these rows, prompts and answers both. The lab's model stays
    as it is; Cancelled ends it between two steps. Trained in full precision whatever the model's is: small steps
    would be rounded away.

    `kept`: a file that each epoch is written to, so that a training that was ended goes on, as if it had not been.
    """
    model = copy.deepcopy(lab.model).float().requires_grad_(True)
    # The lab counts and pads; it only has to run the copy.
    school = Lab(model, lab.tokenizer, rows=tuning.batch)
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=tuning.learning_rate, weight_decay=tuning.weight_decay
    )
    losses = [] if kept is None else _resumed(model, optimiser, kept)
    draw, order = random.Random(tuning.seed), list(cases)
    with school.metered(lab.meter):
        for epoch in range(tuning.epochs):
            draw.shuffle(order)
            if epoch < len(losses):
                continue
            each = []
            for start in range(0, len(order), tuning.batch):
                rows = [case.row for case in order[start : start + tuning.batch]]
                loss = _loss(school, rows)
                school.meter.count(Passes(backward=1))
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
                each.append(loss.item())
            losses.append(sum(each) / len(each))
            if kept is not None:
                _keep(model, optimiser, losses, kept)
    for parameter in model.parameters():
        parameter.grad = None
    return Tuned(model.requires_grad_(False).to(lab.model.dtype), tuple(losses))


def _keep(model: Any, optimiser: torch.optim.AdamW, losses: Sequence[float], file: Path) -> None:
    """Weights, both moments of each, and the losses so far; whole or not at all."""
    tensors = {}
    for name, parameter in model.named_parameters():
        state = optimiser.state[parameter]
        tensors[f"weight.{name}"] = parameter.detach()
        tensors |= {f"{moment}.{name}": state[moment] for moment in _MOMENTS}
    tensors["losses"] = torch.tensor(losses, dtype=torch.float64)
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(".part")
    save_file(tensors, part)
    part.replace(file)


def _resumed(model: Any, optimiser: torch.optim.AdamW, file: Path) -> list[float]:
    """The losses of the epochs that were kept; model and optimiser are as they were then."""
    if not file.is_file():
        return []
    tensors = load_file(file)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(tensors[f"weight.{name}"])
            optimiser.state[parameter] = {moment: tensors[f"{moment}.{name}"] for moment in _MOMENTS}
    found: list[float] = tensors["losses"].tolist()
    return found


def _loss(school: Lab, rows: Sequence[list[int]]) -> torch.Tensor:
    logits = school.run(rows, gradients=True)
    targets = torch.full(logits.shape[:2], -100, device=logits.device)
    for at, row in enumerate(rows):
        targets[at, : len(row) - 1] = torch.tensor(row[1:], device=logits.device)
    return torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), targets.flatten())
