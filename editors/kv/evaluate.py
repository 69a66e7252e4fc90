"""How good an encoder is: exact objects, silence when the fact is absent, and where attention falls."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from editors.kv.calibration import verdict
from editors.kv.encoder import KVEncoder
from editors.kv.objective import first_tokens, log_probabilities, pooled_tokens
from editors.kv.problems import Problem, Scorer
from editors.kv.reading import Known, answer_states, read_problem
from editors.kv.world import Slice, World
from engines.kv_attention import AttentionRecord, inject

# What is asked of an encoder: every slice has unseen subjects and unseen objects.
_UNSEEN = Slice(
    held_out_subjects=True, held_out_objects=True, real=0.0, absent=0.0, candidates=16, chat=False
)
SLICES = {
    "right_seen": replace(_UNSEEN, frames=0.0),
    "right_phrasing": replace(_UNSEEN, frames=0.0, held_out_phrasings=True),
    "right_relation": replace(_UNSEEN, frames=1.0, held_out_relations=True),
    "right_relation_phrasing": replace(_UNSEEN, frames=0.0, held_out_relations=True, held_out_phrasings=True),
    "right_chat": replace(_UNSEEN, frames=0.0, held_out_phrasings=True, chat=True),
    "absent_phrasing": replace(_UNSEEN, frames=0.0, held_out_phrasings=True, absent=1.0),
    "absent_relation": replace(_UNSEEN, frames=0.5, held_out_relations=True, absent=1.0),
}


@dataclass(frozen=True, slots=True)
class Judged:
    """One batch: per question whether it was right, what it said first, and the attention on facts."""

    right: Tensor  # bool: the whole object (teacher-forced greedy, which is greedy exact match)
    unchanged: Tensor  # bool: first token as the plain model's
    kept: Tensor  # bool: every token, where the object would stand, as the plain model's
    intruded: Tensor  # bool: first token changed into the first token of a candidate's object
    mass: Tensor  # the most attended candidate's share at the first answer position


def judge(encoder: KVEncoder, model: Any, tokenizer: Any, problem: Problem, scorer: Scorer) -> Judged:
    """Runs a problem with facts and without."""
    return judge_known(
        encoder, model, read_problem(model, tokenizer, encoder.config, encoder.meaning, scorer, problem)
    )


@torch.inference_mode()
def judge_known(encoder: KVEncoder, model: Any, known: Known) -> Judged:
    """A problem that was read, with facts."""
    answers, record = known.read.answers, AttentionRecord(full=True)
    with inject(model, encoder, pooled_tokens(encoder, known), record):
        states = answer_states(model, known.read)
    object_at = answers.nth >= 0
    predicted, expected = torch.full_like(answers.target, -100), torch.full_like(answers.target, -100)
    predicted[object_at] = log_probabilities(model, states[object_at]).argmax(-1)
    expected[object_at] = log_probabilities(model, known.read.plain[object_at]).argmax(-1)
    right = ((predicted == answers.target) | ~object_at).all(-1)
    first, plain = predicted[:, 0], expected[:, 0]
    starts = known.features.token_ids[first_tokens(known)].tolist()
    intruded = torch.tensor(
        [
            int(first[row]) in {starts[c] for c in question.candidates} and bool(first[row] != plain[row])
            for row, question in enumerate(known.problem.questions)
        ]
    )
    kept = (predicted == expected).all(-1)
    return Judged(right, first == plain, kept, intruded, _mass(record, known.features.owner, len(right)))


def evaluate(
    encoder: KVEncoder,
    model: Any,
    tokenizer: Any,
    world: World,
    scorer: Scorer,
    *,
    problems: int,
    seed: int,
    slices: Mapping[str, Slice] = SLICES,
    progress: Callable[[float], None] = lambda share: None,
) -> dict[str, float]:
    """Rates 0..1 for every slice, and, where there are questions with an answer and without, the attention
    threshold that best tells them apart."""
    rates: dict[str, float] = {}
    present: list[Tensor] = []
    missing: list[Tensor] = []
    for place, (name, view) in enumerate(slices.items()):
        if view.chat and not world.chats:
            continue
        judged = []
        for i in range(problems):
            progress((place + i / problems) / len(slices))
            problem = world.problem(random.Random(f"evaluate/{seed}/{name}/{i}"), view)
            judged.append(judge(encoder, model, tokenizer, problem, scorer))
        if view.absent:
            rates[f"{name}_unchanged"] = _mean(judged, "unchanged")
            rates[f"{name}_kept"] = _mean(judged, "kept")
            rates[f"{name}_intrusion"] = _mean(judged, "intruded")
            missing += [item.mass for item in judged]
        else:
            rates[name] = _mean(judged, "right")
            present += [item.mass for item in judged]
    if present and missing:
        told = verdict(torch.cat(present), torch.cat(missing))
        rates |= {"grounded_threshold": told.threshold, "grounded_accuracy": told.accuracy}
    return rates


def _mean(judged: list[Judged], name: str) -> float:
    return float(torch.cat([getattr(item, name) for item in judged]).float().mean())


def _mass(record: AttentionRecord, owner: Tensor, questions: int) -> Tensor:
    """As engines report it: per fact, mean over heads and layers; here at the position before the answer."""
    if not record.probabilities:  # no question was shown a fact
        return torch.zeros(questions)
    per_token = torch.stack([p[:, :, 0].mean(1) for p in record.probabilities.values()]).mean(0)
    facts = torch.zeros(len(per_token), int(owner.max()) + 1).index_add_(1, owner, per_token)
    return facts.amax(-1)
