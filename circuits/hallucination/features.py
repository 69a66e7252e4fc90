"""What one look at an answer says about it. Numbers do not depend on the number of layers or on the relation.

All are taken where the answer's first telling token is predicted: after an article or a quotation mark, if it begins
with one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from circuits.lab import Lab
from circuits.lens import ranks
from circuits.look import Look
from circuits.probe import Placed

_EMPTY_WORDS = frozenset(("the", "a", "an", "called", "named", ""))
_MARKS = " \"'“”‘’*_("
_EARLY, _LATE = 0.5, 0.8  # shares of the depth


@dataclass(frozen=True, slots=True)
class Features:
    """Of one answer. `told`: which of its tokens is the first that tells something."""

    told: int
    values: Mapping[str, float]


def told_at(lab: Lab, tokens: Sequence[int]) -> int:
    """The first token of an answer that says more than an article or a quotation mark."""
    for at, piece in enumerate(lab.prompts.pieces(tokens)):
        if piece.strip().strip(_MARKS).casefold() not in _EMPTY_WORDS:
            return at
    return 0


def features(lab: Lab, seen: Look, placed: Placed, tokens: Sequence[int]) -> Features:
    """From a look at prompt and answer (`lens.look_at_answer`)."""
    told = told_at(lab, tokens)
    token, layers = tokens[told], lab.layers
    first, said = seen.logits[0].log_softmax(-1), seen.logits[told].log_softmax(-1)
    values = {f"output_{name}": value for name, value in _output(first).items()}
    values |= {f"told_{name}": value for name, value in _output(said).items()}
    values["told_log_probability"] = float(said[token])
    values |= _through_the_layers(seen, told, token)
    values |= _from_the_subject(seen, placed, told, token)
    values["subject_rank"] = math.log10(1 + _subject_rank(seen, placed, token))
    values["answer_tokens"] = math.log(len(tokens))
    values["depth_scale"] = math.log(layers)
    return Features(told, values)


def _output(said: Tensor) -> dict[str, float]:
    best = said.topk(2).values.exp()
    return {
        "top_log_probability": float(said.max()),
        "entropy": float(-(said.exp() * said).sum()),
        "margin": float(best[0] - best[1]),
    }


def _through_the_layers(seen: Look, told: int, token: int) -> dict[str, float]:
    """When the answer rises to the top, and how sure the stream is on its way."""
    logits = seen.lens(seen.residual[1:, seen.positions[told]])
    said = logits.log_softmax(-1)
    entropy = -(said.exp() * said).sum(-1)
    places = ranks(logits, token)
    count = len(places)
    found = {}
    for name, share in (("early", _EARLY), ("late", _LATE)):
        at = int(share * count)
        found[f"lens_{name}"] = float(said[at, token])
        found[f"lens_entropy_{name}"] = float(entropy[at])
        found[f"lens_rank_{name}"] = math.log10(1 + int(places[at]))
    outside = [at for at in range(count) if int(places[at]) >= 10]
    found["emerged"] = (outside[-1] + 1 if outside else 0) / count
    topped = [at for at in range(count) if int(places[at]) > 0]
    found["settled"] = (topped[-1] + 1 if topped else 0) / count
    return found


def _from_the_subject(seen: Look, placed: Placed, told: int, token: int) -> dict[str, float]:
    """How much of what is said comes through the subject, through the relation, from the MLPs."""

    def says(written: Tensor) -> Tensor:
        adds: Tensor = seen.direct(written, told, [token])[..., 0] - seen.direct_mean(written, told)
        return adds

    half = seen.patterns.shape[0] // 2
    subject, relation = list(placed.subject), list(placed.relation)
    through_subject = says(seen.through(told, subject))
    through_relation = says(seen.through(told, relation)) if relation else torch.zeros(1)
    heads = says(seen.head_writes(told))
    at = seen.positions[told]
    attention = seen.patterns[half:, told][..., subject].sum(-1)
    return {
        "moved": float(through_subject.clamp(min=0).sum()),
        "moved_most": float(through_subject.max()),
        "moved_against": float(through_subject.clamp(max=0).sum()),
        "related": float(through_relation.clamp(min=0).sum()),
        "heads": float(heads.sum()),
        "mlps": float(says(seen.mlp[:, at]).sum()),
        "attention_subject": float(attention.mean()),
        "attention_subject_most": float(attention.max()),
    }


def _subject_rank(seen: Look, placed: Placed, token: int) -> int:
    """The best rank of the answer in what the subject's last token is, at any other layer."""
    states = seen.residual[1::2, placed.subject[-1]]
    return int(ranks(seen.lens(states), token).min())
