"""The training loss: say the fact, say nothing else, go on as the plain model would."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from editors.kv.encoder import KVEncoder
from editors.kv.features import FactFeatures, read_features
from editors.kv.problems import Laid, Problem, Scorer, evidence_tensors, lay_out
from editors.kv.trunk import Trunk, from_trunk, run_trunk
from engines.kv_attention import AttentionRecord, KVBatch, inject


@dataclass(frozen=True, slots=True)
class Weights:
    """Of the parts of the loss."""

    absent: float = 0.5  # the asked fact is not there: answer as the plain model
    after: float = 0.5  # after the object: go on as the plain model
    early: float = 0.1  # inside the prompt: nothing happens yet
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


def hidden_states(model: Any, laid: Laid, trunk: Trunk) -> Tensor:
    """Last hidden states (after the final norm)."""
    with from_trunk(model, trunk):
        states: Tensor = model.base_model(
            input_ids=laid.ids, attention_mask=laid.mask, use_cache=False
        ).last_hidden_state
    return states


def trunk_of(model: Any, encoder: KVEncoder, laid: Laid) -> Trunk:
    """What does not depend on facts, computed once."""
    return run_trunk(model, encoder.layers[0], input_ids=laid.ids, attention_mask=laid.mask)


def log_probabilities(model: Any, states: Tensor) -> Tensor:
    """Of the next token."""
    logits: Tensor = model.get_output_embeddings()(states).float()
    return logits.log_softmax(-1)


def pooled_tokens(encoder: KVEncoder, features: FactFeatures, problem: Problem, scorer: Scorer) -> KVBatch:
    """All facts of the problem as one shared pool; each question sees its candidates only."""
    keys, values = encoder.tokens(features)
    bias = encoder.prior(*evidence_tensors(problem, scorer, encoder.meaning))
    layers = encoder.config.layers
    return KVBatch(
        keys={layer: keys[i][None] for i, layer in enumerate(layers)},
        values={layer: values[i][None] for i, layer in enumerate(layers)},
        bias=bias[:, features.owner],
    )


def losses(
    encoder: KVEncoder,
    model: Any,
    tokenizer: Any,
    problem: Problem,
    scorer: Scorer,
    weights: Weights,
    known: FactFeatures | None = None,
) -> Losses:
    """One forward with facts (with gradients for the encoder) and one without (the plain model's word).

    `known`: the facts' features, when they were read before.
    """
    config = encoder.config
    features = known or read_features(model, tokenizer, problem.facts, config.layers, config.late_layer)
    laid = lay_out(problem, tokenizer)
    trunk = trunk_of(model, encoder, laid)
    record = AttentionRecord(full=True)
    with inject(model, encoder, pooled_tokens(encoder, features, problem, scorer), record):
        states = hidden_states(model, laid, trunk)
    zero = states.new_zeros(())
    object_at = laid.nth >= 0
    said = _cross_entropy(model, states, laid, object_at, zero)
    closing = _cross_entropy(model, states, laid, (laid.target >= 0) & ~object_at, zero)
    rows = laid.keep.any(-1)
    decisive = laid.decide[:, None] == torch.arange(laid.ids.shape[1])
    early_at = laid.keep & (torch.arange(laid.ids.shape[1]) < laid.decide[:, None])
    absent_at = laid.keep & decisive
    after_at = laid.keep & ~absent_at & ~early_at
    absent = after = early = zero
    if rows.any():
        plain = torch.zeros_like(states)
        with torch.no_grad():
            plain[rows] = hidden_states(model, _rows(laid, rows), trunk.rows(rows))
        absent, after, early = (
            _divergence(model, plain, states, where, zero) for where in (absent_at, after_at, early_at)
        )
    attention = _attention_loss(record, features, problem, laid, zero)
    total = (
        said
        + weights.closing * closing
        + weights.absent * absent
        + weights.after * after
        + weights.early * early
        + weights.attention * attention
    )
    return Losses(total, *(float(part.detach()) for part in (said, absent, after, attention)))


def _rows(laid: Laid, rows: Tensor) -> Laid:
    return Laid(*(getattr(laid, name)[rows] for name in ("ids", "mask", "target", "nth", "keep", "decide")))


def _cross_entropy(model: Any, states: Tensor, laid: Laid, where: Tensor, zero: Tensor) -> Tensor:
    if not where.any():
        return zero
    return F.nll_loss(log_probabilities(model, states[where]), laid.target[where])


def _divergence(model: Any, plain: Tensor, states: Tensor, where: Tensor, zero: Tensor) -> Tensor:
    if not where.any():
        return zero
    with torch.no_grad():
        wanted = log_probabilities(model, plain[where])
    return F.kl_div(log_probabilities(model, states[where]), wanted, log_target=True, reduction="batchmean")


def _attention_loss(
    record: AttentionRecord, features: FactFeatures, problem: Problem, laid: Laid, zero: Tensor
) -> Tensor:
    """Negative log of the attention (mean over heads) on the token to say, in the upper half of the layers."""
    rows, at = torch.nonzero(laid.nth >= 0, as_tuple=True)
    if not len(rows):
        return zero
    starts = {int(owner): i for i, owner in reversed(list(enumerate(features.owner.tolist())))}
    wanted = torch.tensor(
        [
            starts[problem.questions[r].asked] + int(laid.nth[r, t])
            for r, t in zip(rows.tolist(), at.tolist(), strict=True)
        ]
    )
    layers = sorted(record.probabilities)
    parts = [
        -(record.probabilities[layer][rows, :, at, wanted].mean(-1) + 1e-6).log().mean()
        for layer in layers[len(layers) // 2 :]
    ]
    return torch.stack(parts).mean()
