"""Logit lens: what the residual stream would answer at every depth, for given answers over all of their tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from circuits.lab import Lab, Passes
from circuits.look import Look, look
from circuits.probe import Placed
from engines.contract import InjectedFact


@dataclass(frozen=True, slots=True)
class Trajectory:
    """One answer through the layers. Depths: after the attention, then after the MLP of each layer.

    log_probability: of all the answer's tokens, each read where it is predicted; `first_...`: of its first alone.
    rank: of the first token at the last position; 0 is the top.
    subject_rank: per layer, after its MLP, the best rank of the first token over the subject's positions.
    """

    text: str
    tokens: int
    log_probability: tuple[float, ...]
    first_log_probability: tuple[float, ...]
    rank: tuple[int, ...]
    subject_rank: tuple[int, ...]

    @property
    def final(self) -> float:
        """The model's own log-probability of the whole answer."""
        return self.log_probability[-1]


@dataclass(frozen=True, slots=True)
class LensResult:
    """Trajectories of several answers to one prompt; `top`: per depth, the first token that stands highest."""

    answers: tuple[Trajectory, ...]
    top: tuple[str, ...]


def lens_cost(answers: int) -> Passes:
    """One pass for each answer."""
    return Passes(forward=answers)


def lens(lab: Lab, placed: Placed, answers: Sequence[tuple[str, Sequence[int]]]) -> LensResult:
    """Each answer with its tokens, as `answer_tokens` gives them."""
    found: list[Trajectory] = []
    top: tuple[str, ...] = ()
    for text, tokens in answers:
        seen = look_at_answer(lab, placed, tokens)
        found.append(trajectory(seen, placed, text, tokens))
        if not top:
            best = seen.lens(depths(seen)[:, 0]).argmax(-1).tolist()
            top = lab.prompts.pieces(best)
    return LensResult(tuple(found), top)


def look_at_answer(
    lab: Lab, placed: Placed, tokens: Sequence[int], facts: Sequence[InjectedFact] = ()
) -> Look:
    """One pass over prompt and answer, looked at where the answer's tokens are predicted."""
    positions = range(placed.last, placed.last + len(tokens))
    return look(lab, [*placed.ids, *tokens], positions, facts)


def depths(seen: Look) -> Tensor:
    """The states [2 L, positions, hidden] between the sub-layers: after each attention, after each MLP.

    Where both read the same stream, the first of the two is what would be there without the MLP.
    """
    at = list(seen.positions)
    middle = seen.residual[:-1, at] + seen.attention[:, at]
    return torch.stack([middle, seen.residual[1:, at]], dim=1).flatten(0, 1)


def trajectory(seen: Look, placed: Placed, text: str, tokens: Sequence[int]) -> Trajectory:
    """Read off a look at the answer."""
    states = depths(seen)
    sums = torch.zeros(len(states))
    first_said, rank = torch.zeros(0), torch.zeros(0)
    for place, token in enumerate(tokens):
        logits = seen.lens(states[:, place])
        said = logits.log_softmax(-1)[:, token].cpu()
        sums += said
        if place == 0:
            first_said, rank = said, ranks(logits, token)
    on_subject = torch.stack(
        [ranks(seen.lens(seen.residual[1:, at]), tokens[0]) for at in placed.subject]
    ).amin(0)
    return Trajectory(
        text,
        len(tokens),
        tuple(sums.tolist()),
        tuple(first_said.tolist()),
        tuple(map(int, rank.tolist())),
        tuple(map(int, on_subject.tolist())),
    )


def ranks(logits: Tensor, token: int) -> Tensor:
    """How many tokens stand above this one: [...] of [..., vocabulary]."""
    return (logits > logits[..., token, None]).sum(-1).cpu()
