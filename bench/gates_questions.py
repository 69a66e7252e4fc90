"""Questions that are laid out once and asked of many variants of one encoder.

What a variant with other gates, biases or maps does not change is kept: the facts' states, the layers below the first
one with facts, the retriever's evidence and the plain model's answer. A pruned encoder has other layers: it needs
questions of its own.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from editors.kv.contract import Evidence, FactText
from editors.kv.encoder import KVEncoder
from editors.kv.features import FactFeatures, read_features
from editors.kv.meaning import Meaning
from editors.kv.objective import hidden_states, log_probabilities, pooled_tokens, trunk_of
from editors.kv.problems import Laid, Problem, Scorer, lay_out
from editors.kv.trunk import Trunk
from editors.kv.world import Slice, World
from engines.kv_attention import inject

MOST_CANDIDATES = 32
# Subjects, objects and phrasings that training never shows; a third of the questions names the relation.
_VIEW = Slice(
    held_out_subjects=True,
    held_out_objects=True,
    held_out_phrasings=True,
    frames=0.33,
    absent=0.0,
    real=0.0,
    chat=False,
    candidates=MOST_CANDIDATES,
)


@dataclass(frozen=True, slots=True)
class Prepared:
    """One problem, whose questions name their candidates with the most confusing first."""

    problem: Problem
    features: FactFeatures
    laid: Laid
    trunk: Trunk
    evidence: list[list[Evidence]]
    plain: Tensor  # what the model says first without facts


@torch.inference_mode()
def prepare(
    encoder: KVEncoder, model: Any, tokenizer: Any, world: World, scorer: Scorer, name: str
) -> Prepared:
    """`name` seeds what is drawn."""
    problem = world.problem(random.Random(f"gates/{name}"), _VIEW)
    laid = lay_out(problem, tokenizer)
    trunk = trunk_of(model, encoder, laid)
    return Prepared(
        problem=problem,
        features=read_features(
            model, tokenizer, problem.facts, encoder.config.layers, encoder.config.late_layer
        ),
        laid=laid,
        trunk=trunk,
        evidence=scorer(
            [question.searched for question in problem.questions], problem.facts, encoder.meaning
        ),
        plain=_first(model, hidden_states(model, laid, trunk), laid),
    )


@torch.inference_mode()
def right(encoder: KVEncoder, model: Any, asked: Prepared, candidates: int) -> list[bool]:
    """Whether the whole object is said, greedily, with that many candidates: the right one and its worst rivals."""
    states = _states(encoder, model, asked, slice(0, candidates))
    wanted = asked.laid.nth >= 0
    said = torch.full_like(asked.laid.target, -100)
    said[wanted] = log_probabilities(model, states[wanted]).argmax(-1)
    found: list[bool] = ((said == asked.laid.target) | ~wanted).all(-1).tolist()
    return found


@torch.inference_mode()
def unchanged(encoder: KVEncoder, model: Any, asked: Prepared, candidates: int) -> list[bool]:
    """Whether the first token is the plain model's where only that many rivals are there and the fact is not."""
    states = _states(encoder, model, asked, slice(1, candidates + 1))
    found: list[bool] = (_first(model, states, asked.laid) == asked.plain).tolist()
    return found


def _first(model: Any, states: Tensor, laid: Laid) -> Tensor:
    return log_probabilities(model, states[torch.arange(len(laid.ids)), laid.decide]).argmax(-1)


def _states(encoder: KVEncoder, model: Any, asked: Prepared, shown: slice) -> Tensor:
    questions = tuple(
        replace(question, candidates=question.candidates[shown]) for question in asked.problem.questions
    )
    problem = replace(asked.problem, questions=questions)

    def known(texts: Sequence[str], facts: Sequence[FactText], meaning: Meaning) -> list[list[Evidence]]:
        return asked.evidence

    with inject(model, encoder, pooled_tokens(encoder, asked.features, problem, known)):
        return hidden_states(model, asked.laid, asked.trunk)
