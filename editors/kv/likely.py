"""From where on a fact counts as asked for: the threshold of its relation's fit, `Prior.likely`.

A user's relations were never taught to the embedder that judges them, so the threshold is found on relations of the
phrase bank that were kept back from its teaching (editors/kv/matching.py): half of the questions have their fact
among the candidates, half have not. Of those without, nine in ten are to be shown none; the threshold is the lowest
that keeps to this, so that of those with a fact as many as can be are shown it.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from editors.kv.matching import kept_back
from editors.kv.meaning import FLOOR, Meaning
from editors.kv.phrases import PhraseBank
from editors.kv.prior import Prior
from editors.kv.problems import Scorer, evidence_tensors
from editors.kv.world import Mix, Slice, World

_HIDDEN = 0.9


@dataclass(frozen=True, slots=True)
class Likely:
    """The threshold, and what it comes to on the questions that it was found on."""

    threshold: float
    shown: float  # of the questions whose fact is there: it is seen, and no rival is preferred
    hidden: float  # of the questions whose fact is not there: nothing is seen


def fit_likely(
    bank: PhraseBank,
    tokenizer: Any,
    scorer: Scorer,
    meaning: Meaning,
    seed: int,
    problems: int = 24,
    progress: Callable[[float], None] = lambda share: None,
) -> Likely:
    """No model is run: the evidence decides. With too few relations kept back every fact is likely."""
    known = kept_back(bank)
    if len(known) < 2:
        return Likely(FLOOR, 1.0, 0.0)
    world = World(replace(bank, relations=known), tokenizer, mix=Mix(real=0.0, absent=0.5))
    preferred: list[Tensor] = []  # the meaning of the right fact where no rival is preferred, else below all
    highest: list[Tensor] = []  # of the facts seen where the right one is missing
    prior = Prior()
    for number in range(problems):
        problem = world.problem(
            random.Random(f"likely/{seed}/{number}"), Slice(held_out_subjects=True, candidates=16)
        )
        evidence = evidence_tensors(problem, scorer, meaning)
        bias, fit = prior(*evidence), evidence[3]
        asked = torch.tensor([question.asked for question in problem.questions])
        absent = torch.tensor([question.absent for question in problem.questions])
        found = fit.gather(1, asked[:, None])[:, 0]
        won = bias.argmax(-1) == asked
        preferred.append(torch.where(won, found, torch.full_like(found, 2 * FLOOR))[~absent])
        seen = fit.masked_fill(bias == float("-inf"), 2 * FLOOR)
        highest.append(seen.amax(-1)[absent])
        progress((number + 1) / problems)
    present, missing = torch.cat(preferred), torch.cat(highest)
    cuts = torch.arange(FLOOR, 0.0, 0.25)
    shown = (present[None] >= cuts[:, None]).float().mean(-1)
    hidden = (missing[None] < cuts[:, None]).float().mean(-1)
    # Where no threshold hides that many, the judge is poor: the highest, which hides the most.
    best = int((hidden >= _HIDDEN).int().argmax()) if hidden[-1] >= _HIDDEN else -1
    return Likely(float(cuts[best]), float(shown[best]), float(hidden[best]))
