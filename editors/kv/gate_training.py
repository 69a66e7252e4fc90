"""Training of gates: the encoder's own loss, and a price for every head that stays open."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from editors.kv.gates import GatedEncoder
from editors.kv.library import Course, Library
from editors.kv.objective import REPORTED, Weights, losses
from editors.kv.problems import Scorer
from editors.kv.train import StepReport


@dataclass(frozen=True, slots=True)
class GateSettings:
    """How gates are trained, and whether the encoder goes on learning beside them."""

    steps: int = 150
    repeats: int = 4  # steps for every problem that is read
    remembered: int = 24  # problems that are kept to be gone through again
    penalty: float = 0.02  # what an open head costs, in nats of the loss
    learning_rate: float = 0.2  # of the gates
    start: float = 0.0  # where they begin: half open; where they are open the price is hardly felt
    map_learning_rate: float = 0.0  # of the encoder's maps; 0: they stay as they are
    bias_learning_rate: float = 0.0  # of the heads' biases
    clip: float = 1.0
    seed: int = 0
    weights: Weights = field(default_factory=Weights)


def train_gates(
    gated: GatedEncoder,
    model: Any,
    tokenizer: Any,
    course: Course,
    scorer: Scorer,
    settings: GateSettings,
    on_step: Callable[[StepReport], None] = lambda report: None,
) -> list[dict[str, float]]:
    """Trains in place; returns the curve: the parts of the loss, and the expected number of open heads.

    A learning rate of 0 freezes what it is for; with that of the gates 0 they stay as they are, and the encoder learns
    to do with the heads that are open. The prior is never trained.
    """
    groups = _groups(gated, settings)
    if not groups:
        raise ValueError("nothing to train: all learning rates are 0")
    optimiser = torch.optim.Adam(groups, betas=(0.9, 0.98))
    trained = [parameter for group in groups for parameter in group["params"]]
    if settings.learning_rate:
        with torch.no_grad():
            gated.gates.location.fill_(settings.start)
    gated.train()
    torch.manual_seed(settings.seed)
    curve: list[dict[str, float]] = []
    library = Library(gated, model, tokenizer, course, scorer, size=settings.remembered)
    for step in range(settings.steps):
        started = time.perf_counter()
        lesson = library.lesson(step, repeats=settings.repeats, seed=settings.seed)
        parts = []
        for known in lesson:
            gated.gates.draw()
            part = losses(gated, model, known, settings.weights)
            price = settings.penalty * gated.gates.expected_open().sum()
            ((part.total + price) / len(lesson)).backward()  # type: ignore[no-untyped-call]
            parts.append(part)
        torch.nn.utils.clip_grad_norm_(trained, settings.clip)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        means = {name: sum(getattr(part, name) for part in parts) / len(parts) for name in REPORTED}
        means["open"] = float(gated.gates.expected_open().detach().sum())
        curve.append({"step": step, **means})
        on_step(StepReport(step, means, time.perf_counter() - started))
    gated.eval().requires_grad_(False)
    return curve


def _groups(gated: GatedEncoder, settings: GateSettings) -> list[dict[str, Any]]:
    """What has a learning rate; everything else is frozen."""
    gated.requires_grad_(False)
    maps = (gated.key_context, gated.key_subject, gated.key_object, gated.value, gated.query_map)
    wanted: tuple[tuple[list[nn.Parameter], float], ...] = (
        ([gated.gates.location], settings.learning_rate),
        ([weight for module in maps for weight in module.parameters()], settings.map_learning_rate),
        (list(gated.bias.parameters()), settings.bias_learning_rate),
    )
    groups: list[dict[str, Any]] = []
    for parameters, rate in wanted:
        if rate:
            groups.append({"params": parameters, "lr": rate})
            for parameter in parameters:
                parameter.requires_grad_(True)
    return groups
