"""The value that makes the model say the target: a shift of one hidden state, found by gradient descent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from editors.weights.hooks import forward_until, shifted
from editors.weights.model import EditableModel
from editors.weights.request import EditRequest
from editors.weights.settled import settle
from editors.weights.texts import Located, Rows, asked, bare_subject, batch, targets, taught
from engines.models import Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueSettings:
    """How the value is looked for."""

    steps: int = 25
    rate: float = 0.5
    drift: float = 0.0625  # weight of the divergence at the bare subject
    decay: float = 0.5  # weight of the shift's size, relative to the squared norm of what is shifted
    clamp: float = 4.0  # the shift's norm is at most this many times the norm of what is shifted
    stop: float = 0.05  # a loss below this is good enough
    facts_at_once: int = 4


@dataclass(frozen=True, slots=True)
class Shifts:
    """One row for each request."""

    shift: Tensor  # [requests, hidden], float32
    initial: Tensor  # [requests, hidden]: what is shifted, behind the bare prompt
    losses: tuple[float, ...]  # the last seen
    steps: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Search:
    """Looks for shifts of what `module` (the layer, or a part of it) writes at the subject's last token."""

    editable: EditableModel
    module: nn.Module
    layer: int
    prefixes: Sequence[str]
    settings: ValueSettings
    progress: Progress

    def run(self, requests: Sequence[EditRequest]) -> Shifts:
        """Facts do not see each other: found together or alone, a fact's shift is the same but for rounding. Together
        come those with as much text behind the subject, which is what each step runs through."""
        order = sorted(range(len(requests)), key=lambda at: self._length_behind(requests[at]))
        size = self.settings.facts_at_once
        parts = []
        for start in range(0, len(order), size):
            self.progress("looking for values", start / len(order))
            parts.append(self._found([requests[at] for at in order[start : start + size]]))
        losses = [loss for part in parts for loss in part.losses]
        steps = [taken for part in parts for taken in part.steps]
        back = sorted(range(len(order)), key=order.__getitem__)
        return Shifts(
            torch.cat([part.shift for part in parts])[back],
            torch.cat([part.initial for part in parts])[back],
            tuple(losses[at] for at in back),
            tuple(steps[at] for at in back),
        )

    def _length_behind(self, request: EditRequest) -> int:
        text = taught(self.editable, request, "")
        return len(text.ids) - text.at

    def _found(self, requests: Sequence[EditRequest]) -> Shifts:
        editable, settings = self.editable, self.settings
        model, device = editable.model, editable.device
        task = _task(editable, requests, self.prefixes)
        plain = batch([asked(editable, request) for request in requests], device)
        (passed,) = forward_until(model, [self.module], **plain.inputs)
        initial = passed.wrote[plain.rows, plain.columns].detach().float()
        size = initial.norm(dim=-1)
        settled = settle(model, task.rows, self.layer)
        columns = task.rows.columns - settled.start
        shift = torch.zeros_like(initial).requires_grad_(True)
        optimiser = torch.optim.Adam([shift], lr=settings.rate)
        before: Tensor | None = None
        done = torch.zeros(len(requests), dtype=torch.bool, device=device)
        taken = torch.zeros(len(requests), dtype=torch.long, device=device)
        losses = torch.zeros(len(requests), device=device)
        for step in range(settings.steps):
            with shifted(self.module, task.rows.rows, columns, shift[task.owner]):
                said, subject = _log_probabilities(settled.run(model, task.wanted.shape[1]), task)
            before = subject.detach() if before is None else before
            drift = (before.exp() * (before - subject)).sum(-1)
            decay = settings.decay * shift.norm(dim=-1) / size.square()
            per_fact = said.view(len(requests), task.per_fact).mean(-1) + settings.drift * drift + decay
            losses = torch.where(done, losses, per_fact.detach())
            done = done | (losses < settings.stop)
            if done.all() or step == settings.steps - 1:
                break
            (shift.grad,) = torch.autograd.grad(per_fact.sum(), [shift])
            kept = shift.detach().clone()
            optimiser.step()
            with torch.no_grad():
                longest = settings.clamp * size
                scale = (longest / shift.norm(dim=-1).clamp_min(1e-12)).clamp_max(1.0)
                shift.copy_(torch.where(done[:, None], kept, shift * scale[:, None]))
            taken += ~done
            self.progress("looking for values", (step + 1) / settings.steps)
        return Shifts(shift.detach(), initial, tuple(losses.tolist()), tuple(taken.tolist()))


@dataclass(frozen=True, slots=True)
class _Task:
    """The chunk's texts as one batch: each fact's taught texts, then the bare subjects."""

    rows: Rows
    owner: Tensor  # the fact that a row belongs to
    taught: int  # rows with a target; the rest are bare subjects
    wanted: Tensor  # [taught rows, longest target]
    per_fact: int


def _task(editable: EditableModel, requests: Sequence[EditRequest], prefixes: Sequence[str]) -> _Task:
    texts: list[Located] = [taught(editable, request, prefix) for request in requests for prefix in prefixes]
    subjects = [bare_subject(editable, request) for request in requests]
    owner = [fact for fact in range(len(requests)) for _ in prefixes] + list(range(len(requests)))
    return _Task(
        rows=batch([*texts, *subjects], editable.device),
        owner=torch.tensor(owner, device=editable.device),
        taught=len(texts),
        wanted=targets(texts, editable.device),
        per_fact=len(prefixes),
    )


def _log_probabilities(logits: Tensor, task: _Task) -> tuple[Tensor, Tensor]:
    """Of each taught row: the target's mean negative log-probability; of each bare subject: the next token's all."""
    token_losses = F.cross_entropy(
        logits[: task.taught].transpose(1, 2), task.wanted, ignore_index=-100, reduction="none"
    )
    counted = (task.wanted != -100).sum(-1)
    # A bare subject ends with its last token: texts are aligned at the right.
    return token_losses.sum(-1) / counted, logits[task.taught :, -1].log_softmax(-1)
