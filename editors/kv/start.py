"""A closed-form start, so that training takes minutes: from random maps it learns very slowly.

Values: a copy circuit. What the value map writes, seen through the layer's output projection and the final
norm, raises the logit of the token it was made from; so every token of the vocabulary can be said from the
first step, also those that training never shows.
Keys and queries: both are projected onto the directions in which states before an object vary most, at the same
layer, each from its own mean: what is similar then is near. Canonical correlation fits the pairs better and finds
the relations that it was not fitted on worse (docs/adr/0008).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from editors.kv.contract import FactText
from editors.kv.encoder import KVEncoder, normalised
from editors.kv.features import object_ids, read_features
from engines.architectures import spec_for

# A question and the fact that answers it; the question ends right before the object.
Pair = tuple[str, FactText]


@dataclass(frozen=True, slots=True)
class StartSettings:
    """Strengths of the start; the defaults were found on SmolLM2-135M and are relative to the model's own norms."""

    pairs: int = 2000
    batch: int = 50
    written_share: float = 0.35  # norm of what a value writes, relative to the residual stream
    matched_logit: float = 10.0
    head_bias: float = 1.0


@torch.no_grad()
def closed_form_start(
    encoder: KVEncoder,
    model: Any,
    tokenizer: Any,
    pairs: Sequence[Pair],
    settings: StartSettings,
    progress: Callable[[float], None] = lambda share: None,
) -> list[float]:
    """Sets the encoder's maps; returns how alike questions and their facts are at each layer (mean cosine)."""
    questions, contexts, norms = _paired_states(encoder, model, tokenizer, pairs, settings, progress)
    spec, config = spec_for(model), encoder.config
    group = config.heads // config.kv_heads
    strengths = []
    width = config.kv_heads * config.head_dim
    for position, layer in enumerate(config.layers):
        name = str(layer)
        asked, told = questions[position], contexts[position]
        mean_q, mean_c = asked.mean(0), told.mean(0)
        asked, told = asked - mean_q, told - mean_c
        # Directions are dealt out over the KV heads like cards, strong ones to each.
        order = torch.arange(width).view(config.head_dim, config.kv_heads).T.reshape(-1)
        directions = _strongest(asked, told, width)[:, order]
        matched = ((asked @ directions) * (told @ directions)).sum(-1).mean() / config.kv_heads
        strengths.append(float(torch.cosine_similarity(asked @ directions, told @ directions).mean()))
        scale = (config.head_dim**0.5 * settings.matched_logit / matched.clamp_min(1e-3)) ** 0.5
        key = directions.T * scale
        query = key.view(config.kv_heads, 1, config.head_dim, -1).expand(-1, group, -1, -1)
        query = query.reshape(config.heads * config.head_dim, -1)
        _set(encoder.query_map[name], query, -(query @ mean_q))
        _set(encoder.key_context[name], key, -(key @ mean_c))
        for unused in (encoder.key_subject[name], encoder.key_object[name]):
            for parameter in unused.parameters():
                parameter.zero_()
        encoder.bias[name].fill_(settings.head_bias)
        written = (
            spec.output_projection(layer).float().view(config.hidden, config.kv_heads, group, config.head_dim)
        )
        written = written.sum(2).reshape(config.hidden, width)
        gain = spec.final_norm_weight().float()
        copy = (written * gain[:, None]).T
        said = spec.weight_of(spec.lm_head)
        sample = normalised(said[torch.randint(0, len(said), (500,))].float())
        norm = (sample @ copy.T @ written.T).norm(dim=-1).mean()
        copy = copy * (settings.written_share * norms[position] / norm)
        _set(encoder.value[name], torch.cat([copy, torch.zeros_like(copy)], dim=1), torch.zeros(width))
    return strengths


def _set(linear: Any, weight: Tensor, bias: Tensor) -> None:
    linear.weight.copy_(weight)
    linear.bias.copy_(bias)


def _paired_states(
    encoder: KVEncoder,
    model: Any,
    tokenizer: Any,
    pairs: Sequence[Pair],
    settings: StartSettings,
    progress: Callable[[float], None],
) -> tuple[Tensor, Tensor, list[float]]:
    """States before each object token, of questions and of facts, [layers, pairs, hidden]; residual norms."""
    layers = encoder.config.layers
    asked, told = [], []
    for start in range(0, len(pairs), settings.batch):
        chunk = pairs[start : start + settings.batch]
        features = read_features(
            model, tokenizer, [fact for _, fact in chunk], layers, encoder.config.late_layer
        )
        told.append(features.context[:, ~features.closing])
        asked.append(_question_states(model, tokenizer, chunk, layers))
        progress(min(1.0, (start + len(chunk)) / len(pairs)))
    questions, contexts = torch.cat(asked, 1), torch.cat(told, 1)
    norms = [float(states.norm(dim=-1).mean()) for states in questions]
    return normalised(questions), normalised(contexts), norms


def _question_states(model: Any, tokenizer: Any, pairs: Sequence[Pair], layers: Sequence[int]) -> Tensor:
    prompts = [tokenizer(question).input_ids for question, _ in pairs]
    answers = [object_ids(tokenizer, fact.object) for _, fact in pairs]
    length = max(len(p) + len(a) for p, a in zip(prompts, answers, strict=True))
    ids = torch.full((len(pairs), length), tokenizer.pad_token_id)
    mask = torch.zeros((len(pairs), length), dtype=torch.long)
    rows: list[int] = []
    at: list[int] = []
    for row, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
        ids[row, : len(prompt) + len(answer)] = torch.tensor(prompt + answer)
        mask[row, : len(prompt) + len(answer)] = 1
        rows += [row] * len(answer)
        at += range(len(prompt) - 1, len(prompt) + len(answer) - 1)
    states = model.base_model(
        input_ids=ids, attention_mask=mask, output_hidden_states=True, use_cache=False
    ).hidden_states
    return torch.stack([states[layer][rows, at].float() for layer in layers])


def _strongest(asked: Tensor, told: Tensor, count: int) -> Tensor:
    """Orthonormal columns: where both vary most. Zeros, where there are fewer directions than columns."""
    cover = (asked.T @ asked + told.T @ told) / (len(asked) + len(told))
    directions = torch.linalg.eigh(cover).eigenvectors[:, -count:].flip(-1)
    return functional.pad(directions, (0, count - directions.shape[1]))
