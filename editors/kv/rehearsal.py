"""Keys and queries learn to choose beside the prior, on states that the frozen model was run for only once.

A training step runs the model for a few dozen questions; here thousands are gone through many times in minutes,
with attention's own arithmetic: a question's query against the keys of all tokens of all facts of its subject,
and against nothing at all, which is right when the fact that it asks for is missing. What the model does with the
facts, and how states change where it reads them, is left to the training that follows.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from editors.kv.encoder import KVEncoder, normalised
from editors.kv.features import FactFeatures, object_ids, read_features
from editors.kv.problems import Problem, Scorer, evidence_tensors

_STATES = ("context", "subject", "embedding", "late")
_ROWS = 32
_NOTHING = 5.0  # logit of attending to no fact, before it is learned
_NOTHING_RATE = 1e-2


@dataclass(frozen=True, slots=True)
class RehearsalSettings:
    """The defaults are the recipe of the shipped encoder."""

    subjects: int = 400
    facts: int = 10  # of a subject, at most
    epochs: int = 12
    batch: int = 8  # subjects
    learning_rate: float = 1e-3
    decay: float = 0.8  # of the learning rates, per epoch
    later: float = 0.4  # of questions: asked in the middle of the object, or behind it
    absent: float = 0.35
    layerwise: float = 0.3  # weight of each layer's own choice beside that of all together


@dataclass(frozen=True, slots=True)
class ReadSubject:
    """What was read about one subject: half precision, they are kept by the thousand."""

    features: FactFeatures
    asked: Tensor  # [layers, questions, hidden]: the state that looks for the answer
    right: Tensor  # [questions]: the token that it should find
    evidence: tuple[Tensor, ...]  # as the prior takes it


def read_subjects(
    encoder: KVEncoder,
    model: Any,
    tokenizer: Any,
    problems: Sequence[Problem],
    scorer: Scorer,
    settings: RehearsalSettings,
    seed: int = 0,
    progress: Callable[[float], None] = lambda share: None,
) -> list[ReadSubject]:
    """Runs the model once over `problems`: one subject each, a question for every fact, all facts visible."""
    rng = random.Random(f"rehearsal/{seed}")
    known: list[ReadSubject] = []
    for start in range(0, len(problems), settings.batch):
        chunk = problems[start : start + settings.batch]
        known += _read(encoder, model, tokenizer, chunk, scorer, settings, rng)
        progress((start + len(chunk)) / len(problems))
    return known


def rehearse(
    encoder: KVEncoder,
    known: Sequence[ReadSubject],
    settings: RehearsalSettings,
    seed: int = 0,
    progress: Callable[[float], None] = lambda share: None,
) -> None:
    """Trains the encoder in place."""
    rng = random.Random(f"order/{seed}")
    encoder.requires_grad_(True)
    nothing = nn.Parameter(torch.full((len(encoder.layers) + 1,), _NOTHING))
    maps = [*encoder.query_map.parameters(), *encoder.key_context.parameters()]
    maps += [*encoder.key_subject.parameters(), *encoder.key_object.parameters()]
    encoder.prior.requires_grad_(False)
    optimiser = torch.optim.Adam(
        [{"params": maps, "lr": settings.learning_rate}, {"params": [nothing], "lr": _NOTHING_RATE}]
    )
    for epoch in range(settings.epochs):
        order = rng.sample(range(len(known)), len(known))
        for start in range(0, len(order), settings.batch):
            batch = [known[place] for place in order[start : start + settings.batch]]
            losses = [_loss(encoder, item, nothing, settings) for item in batch]
            optimiser.zero_grad(set_to_none=True)
            torch.stack(losses).mean().backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            progress((epoch + (start + len(batch)) / len(order)) / settings.epochs)
        for group in optimiser.param_groups:
            group["lr"] *= settings.decay
    _settle(encoder, nothing.detach())


@torch.no_grad()
def choices(encoder: KVEncoder, item: ReadSubject, *, evidence: bool = True) -> list[bool]:
    """Whether each question finds its token, over all layers; by states alone, or with the prior on evidence."""
    together = _logits(encoder, item).mean(0)
    if evidence:
        together = together + encoder.prior(*item.evidence)[:, item.features.owner]
    found: list[bool] = (together.argmax(-1) == item.right).tolist()
    return found


def _read(
    encoder: KVEncoder,
    model: Any,
    tokenizer: Any,
    problems: Sequence[Problem],
    scorer: Scorer,
    settings: RehearsalSettings,
    rng: random.Random,
) -> list[ReadSubject]:
    """Several subjects at once, so that texts of like length can run together."""
    config = encoder.config
    everything = tuple(fact for problem in problems for fact in problem.facts)
    features = read_features(model, tokenizer, everything, config.layers, config.late_layer)
    first = {int(owner): place for place, owner in reversed(list(enumerate(features.owner.tolist())))}
    texts: list[list[int]] = []
    right: list[int] = []
    before = 0
    for problem in problems:
        for question in problem.questions:
            said = object_ids(tokenizer, problem.facts[question.asked].object)
            count = rng.randint(1, len(said)) if rng.random() < settings.later else 0
            texts.append(tokenizer(question.prompt).input_ids + said[:count])
            right.append(first[before + question.asked] + count)
        before += len(problem.facts)
    asked = _last_states(model, tokenizer, texts, config.layers).half()
    found = []
    facts = questions = 0
    for problem in problems:
        own = (features.owner >= facts) & (features.owner < facts + len(problem.facts))
        mine = slice(questions, questions + len(problem.questions))
        tokens = int(own.nonzero()[0])
        found.append(
            ReadSubject(
                _part(features, own, facts),
                asked[:, mine].contiguous(),
                torch.tensor(right[mine]) - tokens,
                evidence_tensors(problem, scorer, encoder.meaning),
            )
        )
        facts, questions = facts + len(problem.facts), questions + len(problem.questions)
    return found


def _part(features: FactFeatures, own: Tensor, first: int) -> FactFeatures:
    """The features of some facts that follow each other, in half precision."""
    return FactFeatures(
        context=normalised(features.context[:, own]).half(),
        subject=normalised(features.subject[:, own]).half(),
        embedding=normalised(features.embedding[own]).half(),
        late=normalised(features.late[own]).half(),
        closing=features.closing[own],
        owner=features.owner[own] - first,
        token_ids=features.token_ids[own],
    )


@torch.no_grad()
def _last_states(model: Any, tokenizer: Any, texts: Sequence[list[int]], layers: Sequence[int]) -> Tensor:
    """[layers, texts, hidden], normalised: they must fit in half precision."""
    order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
    parts = []
    for start in range(0, len(order), _ROWS):
        chunk = [texts[place] for place in order[start : start + _ROWS]]
        length = max(map(len, chunk))
        ids = torch.full((len(chunk), length), tokenizer.pad_token_id)
        mask = torch.zeros((len(chunk), length), dtype=torch.long)
        for row, text in enumerate(chunk):
            ids[row, : len(text)] = torch.tensor(text)
            mask[row, : len(text)] = 1
        states = model.base_model(
            input_ids=ids, attention_mask=mask, output_hidden_states=True, use_cache=False
        ).hidden_states
        rows, ends = torch.arange(len(chunk)), mask.sum(-1) - 1
        parts.append(torch.stack([normalised(states[layer][rows, ends]) for layer in layers]))
    return torch.cat(parts, 1)[:, torch.tensor(order).argsort()]


def _logits(encoder: KVEncoder, item: ReadSubject) -> Tensor:
    """As attention has them, mean over heads: [layers, questions, tokens]."""
    config, features = encoder.config, item.features
    keys = encoder.keys(replace(features, **{name: getattr(features, name).float() for name in _STATES}))
    group = config.heads // config.kv_heads
    logits = []
    for position, layer in enumerate(config.layers):
        query = encoder.query(layer, item.asked[position].float()[None])[0]  # [heads, questions, dim]
        own = keys[position].transpose(0, 1).repeat_interleave(group, 0)  # [heads, tokens, dim]
        logits.append((query @ own.transpose(1, 2)).mean(0) / math.sqrt(config.head_dim))
    return torch.stack(logits)


def _loss(encoder: KVEncoder, item: ReadSubject, nothing: Tensor, settings: RehearsalSettings) -> Tensor:
    """Of all layers together and, less, of each: the right token, or nothing where its fact is hidden."""
    owner, count = item.features.owner, len(item.right)
    absent = torch.rand(count) < settings.absent
    hidden = (owner[None] == owner[item.right][:, None]) & absent[:, None]
    bias = encoder.prior(*item.evidence)[:, owner].masked_fill(hidden, -1e4)
    by_layer = _logits(encoder, item) + bias
    everything = torch.cat([by_layer.mean(0)[None], by_layer])
    everything = torch.cat([everything, nothing[:, None, None].expand(-1, count, 1)], dim=-1)
    right = torch.where(absent, torch.tensor(len(owner)), item.right)
    losses = [F.cross_entropy(part, right) for part in everything]
    return losses[0] + settings.layerwise * torch.stack(losses[1:]).mean()


@torch.no_grad()
def _settle(encoder: KVEncoder, nothing: Tensor) -> None:
    """A head looks at facts as readily as the choice against nothing came out for its layer."""
    for position, layer in enumerate(encoder.layers):
        encoder.bias[str(layer)] += _NOTHING - nothing[1 + position]
