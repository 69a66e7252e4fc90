"""The training loss: say the fact, say nothing else, go on as the plain model would."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from editors.kv.encoder import KVEncoder
from editors.kv.reading import Known, answer_states
from engines.kv_attention import AttentionRecord, KVBatch, inject


@dataclass(frozen=True, slots=True)
class Weights:
    """Of the parts of the loss."""

    absent: float = 0.5  # the asked fact is not there: answer as the plain model
    after: float = 0.5  # after the object: go on as the plain model
    closing: float = 0.3  # in a chat the turn ends
    attention: float = 0.05  # look at the right token


REPORTED = ("said", "absent", "after", "attention")


@dataclass(frozen=True, slots=True)
class Losses:
    """The parts, each a mean; `total` is weighted."""

    total: Tensor
    said: float
    absent: float
    after: float
    attention: float


def log_probabilities(model: Any, states: Tensor) -> Tensor:
    """Of the next token."""
    logits: Tensor = model.get_output_embeddings()(states).float()
    return logits.log_softmax(-1)


def pooled_tokens(encoder: KVEncoder, known: Known) -> KVBatch:
    """All facts of the problem as one shared pool; each question sees its candidates only."""
    keys, values = encoder.tokens(known.features)
    bias = encoder.prior(*known.evidence)
    layers, owner = encoder.config.layers, known.features.owner
    return KVBatch(
        keys={layer: keys[i][None] for i, layer in enumerate(layers)},
        values={layer: values[i][None] for i, layer in enumerate(layers)},
        bias=bias[:, owner],
        owner=owner[None],
        place=(torch.arange(len(owner)) - first_tokens(known)[owner])[None],
    ).saying(known.turns)


def losses(encoder: KVEncoder, model: Any, known: Known, weights: Weights) -> Losses:
    """One pass over the answers, with gradients for the encoder; the plain model's word is known."""
    answers, plain = known.read.answers, known.read.plain
    record = AttentionRecord(full=True)
    with inject(model, encoder, pooled_tokens(encoder, known), record):
        states = answer_states(model, known.read)
    zero = states.new_zeros(())
    missing = torch.tensor([question.absent for question in known.problem.questions])
    present = ~missing[:, None]
    object_at = (answers.nth >= 0) & present
    closing_at = (answers.target >= 0) & (answers.nth < 0) & present
    absent_at = torch.zeros_like(object_at)
    absent_at[:, 0] = missing
    said = _cross_entropy(model, states, answers.target, object_at, zero)
    closing = _cross_entropy(model, states, answers.target, closing_at, zero)
    absent = _divergence(model, plain, states, absent_at, zero)
    after = _divergence(model, plain, states, answers.after & present, zero)
    attention = _attention_loss(record, known, object_at, zero)
    total = (
        said
        + weights.closing * closing
        + weights.absent * absent
        + weights.after * after
        + weights.attention * attention
    )
    return Losses(total, *(float(part.detach()) for part in (said, absent, after, attention)))


def _cross_entropy(model: Any, states: Tensor, target: Tensor, where: Tensor, zero: Tensor) -> Tensor:
    if not where.any():
        return zero
    return F.nll_loss(log_probabilities(model, states[where]), target[where])


def _divergence(model: Any, plain: Tensor, states: Tensor, where: Tensor, zero: Tensor) -> Tensor:
    if not where.any():
        return zero
    with torch.no_grad():
        wanted = log_probabilities(model, plain[where])
    return F.kl_div(log_probabilities(model, states[where]), wanted, log_target=True, reduction="batchmean")


def _attention_loss(record: AttentionRecord, known: Known, where: Tensor, zero: Tensor) -> Tensor:
    """Negative log of the attention (mean over heads) on the token to say, in the upper half of the layers."""
    rows, at = torch.nonzero(where, as_tuple=True)
    if not len(rows):
        return zero
    starts = first_tokens(known)
    asked = torch.tensor([question.asked for question in known.problem.questions])
    wanted = starts[asked[rows]] + known.read.answers.nth[rows, at]
    layers = sorted(record.probabilities)
    parts = [
        -(record.probabilities[layer][rows, :, at, wanted].mean(-1) + 1e-6).log().mean()
        for layer in layers[len(layers) // 2 :]
    ]
    return torch.stack(parts).mean()


def first_tokens(known: Known) -> Tensor:
    """For every fact, the place of its first token."""
    owner = known.features.owner
    places = torch.full((len(known.problem.facts),), len(owner))
    return places.scatter_reduce(0, owner, torch.arange(len(owner)), "amin")
