"""Questions that are laid out once and asked of many variants of one encoder.

What a variant with other gates, biases or maps does not change is kept: the facts' states, the layers below the first
one with facts, the retriever's evidence and the plain model's answer. A pruned encoder has other layers: it needs
questions of its own.
"""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from editors.kv.encoder import KVEncoder
from editors.kv.objective import log_probabilities, pooled_tokens
from editors.kv.problems import Scorer
from editors.kv.reading import Known, answer_states, read_problem
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


@torch.inference_mode()
def prepare(encoder: KVEncoder, model: Any, tokenizer: Any, world: World, scorer: Scorer, name: str) -> Known:
    """One problem, whose questions name their candidates with the most confusing first; `name` seeds what is drawn."""
    problem = world.problem(random.Random(f"gates/{name}"), _VIEW)
    return read_problem(model, tokenizer, encoder.config, encoder.meaning, scorer, problem)


@torch.inference_mode()
def right(encoder: KVEncoder, model: Any, asked: Known, candidates: int) -> list[bool]:
    """Whether the whole object is said, greedily, with that many candidates: the right one and its worst rivals."""
    answers, states = asked.read.answers, _states(encoder, model, asked, slice(0, candidates))
    wanted = answers.nth >= 0
    said = torch.full_like(answers.target, -100)
    said[wanted] = log_probabilities(model, states[wanted]).argmax(-1)
    found: list[bool] = ((said == answers.target) | ~wanted).all(-1).tolist()
    return found


@torch.inference_mode()
def unchanged(encoder: KVEncoder, model: Any, asked: Known, candidates: int) -> list[bool]:
    """Whether the first token is the plain model's where only that many rivals are there and the fact is not."""
    states = _states(encoder, model, asked, slice(1, candidates + 1))
    found: list[bool] = (_first(model, states) == _first(model, asked.read.plain)).tolist()
    return found


def _first(model: Any, states: Tensor) -> Tensor:
    return log_probabilities(model, states[:, 0]).argmax(-1)


def _states(encoder: KVEncoder, model: Any, asked: Known, shown: slice) -> Tensor:
    fewer = asked.seeing(
        [replace(question, candidates=question.candidates[shown]) for question in asked.problem.questions]
    )
    with inject(model, encoder, pooled_tokens(encoder, fewer)):
        return answer_states(model, asked.read)
