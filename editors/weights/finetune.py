"""Fine-tuning of one MLP's down-projection.

FT-M is teacher-forced on the target's tokens, with the prompt masked. FT-L scores all of the target's tokens at
the prompt's last position, which is wrong for targets of several tokens; it is here as a baseline.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from editors.kv.trunk import Trunk, from_trunk, run_trunk
from editors.weights.contract import Means, check_edit, delta_of
from editors.weights.delta import Delta, Dense
from editors.weights.hooks import reweighted
from editors.weights.model import EditableModel
from editors.weights.request import EditRequest
from editors.weights.texts import Located, Rows, asked, batch, targets, taught


@dataclass(frozen=True, slots=True, kw_only=True)
class FineTuneConfig:
    """`clamp`: no weight moves further than this from where it was."""

    layer: int
    steps: int = 25
    rate: float = 5e-4
    decay: float = 0.0
    clamp: float | None = None
    stop: float = 0.01  # a loss below this is good enough
    facts_at_once: int = 16


@dataclass(frozen=True, slots=True)
class _Chunk:
    rows: Rows
    wanted: Tensor  # [rows, longest target]
    trunk: Trunk


@dataclass(frozen=True, slots=True)
class Objective:
    """What is read, and how it is judged."""

    text: Callable[[EditableModel, EditRequest], Located]
    loss: Callable[[EditableModel, Rows, Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class FineTune:
    """Implements `contract.Editor`."""

    config: FineTuneConfig
    name: str
    objective: Objective

    def compute(self, editable: EditableModel, requests: Sequence[EditRequest], means: Means) -> Delta:
        """See `contract.Editor`. One step of the optimiser for every chunk of facts, in every pass."""
        config = self.config
        check_edit(editable, requests, [config.layer])
        module = editable.spec.mlp_down(config.layer)
        start = editable.spec.weight_of(module).detach().float()
        losses: list[float] = []
        with torch.inference_mode(False), torch.enable_grad():
            chunks = [
                self._chunk(editable, requests[at : at + config.facts_at_once])
                for at in range(0, len(requests), config.facts_at_once)
            ]
            weight = start.clone().requires_grad_(True)
            optimiser = torch.optim.Adam([weight], lr=config.rate, weight_decay=config.decay)
            for step in range(config.steps):
                means.progress(self.name, step / config.steps)
                losses = []
                for chunk in chunks:
                    with from_trunk(editable.model, chunk.trunk), reweighted({module: weight}):
                        loss = self.objective.loss(editable, chunk.rows, chunk.wanted)
                    losses.append(float(loss.detach()))
                    if losses[-1] < config.stop:
                        continue
                    (weight.grad,) = torch.autograd.grad(loss, [weight])
                    optimiser.step()
                    if config.clamp is not None:
                        with torch.no_grad():
                            weight.copy_(weight.clamp(start - config.clamp, start + config.clamp))
                if max(losses) < config.stop:
                    break
        change = Dense(weight.detach() - start)
        return delta_of(self, editable, requests, [editable.change_at(module, change)], losses=losses)

    def _chunk(self, editable: EditableModel, requests: Sequence[EditRequest]) -> _Chunk:
        texts = [self.objective.text(editable, request) for request in requests]
        rows = batch(texts, editable.device)
        trunk = run_trunk(editable.model, self.config.layer, **rows.inputs)
        return _Chunk(rows, targets(texts, editable.device), trunk)


def ft_m(config: FineTuneConfig) -> FineTune:
    """Teacher-forced on the target's tokens."""
    return FineTune(config, "ft_m", Objective(taught, _masked_loss))


def ft_l(config: FineTuneConfig) -> FineTune:
    """All of the target's tokens at the prompt's last position."""
    return FineTune(config, "ft_l", Objective(_prompt_only, _last_loss))


def _masked_loss(editable: EditableModel, rows: Rows, wanted: Tensor) -> Tensor:
    logits = _logits(editable, rows, wanted.shape[1])
    per_token = F.cross_entropy(logits.transpose(1, 2), wanted, ignore_index=-100, reduction="none")
    return (per_token.sum(-1) / (wanted != -100).sum(-1)).mean()


def _prompt_only(editable: EditableModel, request: EditRequest) -> Located:
    prompt = asked(editable, request)
    return Located(prompt.ids, prompt.at, taught(editable, request).target)


def _last_loss(editable: EditableModel, rows: Rows, wanted: Tensor) -> Tensor:
    said = _logits(editable, rows, 1)[:, -1].log_softmax(-1)
    is_target = wanted != -100
    scores = said.gather(1, wanted.clamp_min(0)) * is_target
    return -(scores.sum(-1) / is_target.sum(-1)).mean()


def _logits(editable: EditableModel, rows: Rows, kept: int) -> Tensor:
    """At the last positions of each row."""
    logits: Tensor = editable.model(**rows.inputs, use_cache=False, logits_to_keep=kept).logits
    return logits.float()
