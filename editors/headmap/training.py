"""Training side maps on a task: texts and the answers that should follow them; only the answers are in the loss."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional as F

from editors.headmap.checkpoint import Checkpoint
from editors.headmap.items import TaskItem
from editors.headmap.maps import SideMaps, attached
from engines.architectures import spec_for
from engines.decoding import left_padded, positions
from engines.models import Progress
from engines.prompts import PromptEncoder

_CHECKPOINT_STEPS = 10


@dataclass(frozen=True, slots=True)
class TaskSettings:
    """AdamW; the rate rises over `warmup` steps and stays."""

    epochs: int = 2
    batch: int = 8
    rate: float = 1e-3
    warmup: int = 10
    seed: int = 0


def train_maps(
    model: Any,
    tokenizer: Any,
    maps: SideMaps,
    items: Sequence[TaskItem],
    settings: TaskSettings,
    progress: Progress = lambda what, share: None,
    checkpoint: Checkpoint | None = None,
) -> list[float]:
    """Trains `maps` in place; the loss of every step. The model's weights and gradients are left alone.

    With a checkpoint a training that was ended (`progress` may raise) goes on where it last wrote one, with the
    same batches as if it had not been ended.
    """
    if not items:
        raise ValueError("there is nothing to train on")
    spec, prompts = spec_for(model), PromptEncoder(tokenizer)
    optimiser = torch.optim.AdamW(maps.parameters(), lr=settings.rate, weight_decay=0.0)
    losses = checkpoint.read(maps, optimiser) if checkpoint else []
    batches = _batches(items, settings)
    with torch.inference_mode(False), torch.enable_grad(), attached(spec, maps):
        for chosen in batches[len(losses) :]:
            progress("training", len(losses) / len(batches))
            for group in optimiser.param_groups:
                group["lr"] = settings.rate * min(1.0, (len(losses) + 1) / max(1, settings.warmup))
            loss = _loss(model, prompts, chosen)
            gradients = torch.autograd.grad(loss, list(maps.parameters()))
            for parameter, gradient in zip(maps.parameters(), gradients, strict=True):
                parameter.grad = gradient
            optimiser.step()
            losses.append(float(loss.detach()))
            if checkpoint and (len(losses) % _CHECKPOINT_STEPS == 0 or len(losses) == len(batches)):
                checkpoint.write(maps, optimiser, losses)
    for parameter in maps.parameters():
        parameter.grad = None
    return losses


def _batches(items: Sequence[TaskItem], settings: TaskSettings) -> list[list[TaskItem]]:
    """All of the training, in an order that the seed decides."""
    order = random.Random(settings.seed)
    found = []
    for _ in range(settings.epochs):
        shuffled = order.sample(list(items), len(items))
        found += [
            shuffled[start : start + settings.batch] for start in range(0, len(shuffled), settings.batch)
        ]
    return found


def _loss(model: Any, prompts: PromptEncoder, items: Sequence[TaskItem]) -> torch.Tensor:
    logits, wanted = _forward(model, prompts, items)
    return F.cross_entropy(logits.transpose(1, 2), wanted, ignore_index=-100)


def _forward(
    model: Any, prompts: PromptEncoder, items: Sequence[TaskItem]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits at the answers' places, and the tokens that should stand there (-100: none)."""
    device = next(model.parameters()).device
    encoded = [prompts.encode_pair(item.text, " " + item.answer) for item in items]
    ids, mask = left_padded([[*head, *tail[:-1]] for head, tail in encoded], device)
    kept = max(len(tail) for _, tail in encoded)
    wanted = torch.tensor([[-100] * (kept - len(tail)) + tail for _, tail in encoded], device=device)
    logits = model(
        input_ids=ids,
        attention_mask=mask,
        position_ids=positions(mask),
        use_cache=False,
        logits_to_keep=kept,
    ).logits.float()
    return logits, wanted
