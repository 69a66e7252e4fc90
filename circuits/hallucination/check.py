"""The check of one answer: how likely it is wrong, how it came about, and what a right answer would have needed.

At most five passes of one row (`check_cost`). What is known of the truth is used: where nothing is, the verdict rests
on the subject's part in the answer alone.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import torch

from circuits.hallucination.calibration import Calibration
from circuits.hallucination.features import Features, features
from circuits.interventions import Head, Node, Part, Site, ablated
from circuits.lab import Lab, Passes
from circuits.lens import Trajectory, look_at_answer, trajectory
from circuits.look import Look
from circuits.probe import Placed, answer_tokens, place
from circuits.reading import readers
from engines.contract import InjectedFact, Message

_DRIVERS = 8
_MIDDLE, _END = 0.4, 0.9  # shares of the depth between which a right answer may have stood
_HIGH_RANK = 10


class Verdict(enum.Enum):
    """How the answer came about."""

    OK = "ok"  # it is right, or nothing speaks against it
    NO_MOVER = "no_mover"  # no head carries the subject's attribute to the end
    WRONG_MOVER = "wrong_mover"  # what heads bring from the subject speaks for the wrong attribute
    LATE_OVERRIDE = "late_override"  # the right answer stood at mid-depth and was overtaken
    NEVER_ENRICHED = "never_enriched"  # the subject's representation never held it
    NOT_PREFERRED = "not_preferred"  # the answer is wrong, and the model itself prefers the right one
    OUTWEIGHED = "outweighed"  # heads bring the right one from the subject, other parts outweigh them


@dataclass(frozen=True, slots=True)
class Driver:
    """A part that says the given answer rather than the right one, or the other way round. Logits."""

    node: Node
    towards_answer: float
    through_subject: float  # for heads


@dataclass(frozen=True, slots=True)
class Needed:
    """What a right answer would have needed, where the two answers part: where they differ, or one of them ends.

    gap: logits that the right one lacked. nodes: the fewest parts whose direct say makes it up. after: the gap when
    they are ablated (zero), measured: other parts make up for some of it.
    """

    gap: float
    nodes: tuple[Node, ...]
    after: float


@dataclass(frozen=True, slots=True)
class Repair:
    """What injecting facts does. Log-probabilities of the whole answers.

    repaired: the truth is then more probable than the answer (one that begins with the other: it is said);
    says_truth: each of its tokens is the first choice.
    """

    answer_before: float
    answer_after: float
    truth_before: float
    truth_after: float
    repaired: bool
    says_truth: bool
    readers: tuple[tuple[Head, float, float], ...]  # share of attention on facts, logits added to the truth


@dataclass(frozen=True, slots=True)
class Check:
    """Everything that was found. `answer` and `truth` are trajectories; no truth where it is unknown.

    chance_wrong: from the calibration; None without one. overtaken: the depth (as in trajectories) from which the
    answer stands above the truth for good; None when it never does.
    """

    verdict: Verdict
    chance_wrong: float | None
    answer: Trajectory
    truth: Trajectory | None
    overtaken: int | None
    drivers: tuple[Driver, ...]
    needed: Needed | None
    repair: Repair | None
    features: Mapping[str, float]
    placed: Placed
    passes: Passes


def check_cost(*, truth: bool, facts: bool) -> Passes:
    """At most: one pass for the answer, two more for a known truth, two for facts to be injected."""
    return Passes(forward=1 + 2 * truth + 2 * (truth and facts))


def check(
    lab: Lab,
    prompt: str | Sequence[Message],
    subject: str,
    answer: str,
    *,
    truth: str = "",
    same: bool = False,
    facts: Sequence[InjectedFact] = (),
    calibration: Calibration | None = None,
) -> Check:
    """`same`: the caller knows that the answer is the truth, though written differently."""
    begun = lab.meter.done
    placed = place(lab, prompt, subject)
    said = answer_tokens(lab, prompt, answer)
    seen = look_at_answer(lab, placed, said)
    found = features(lab, seen, placed, said)
    chance = None if calibration is None else calibration.chance_wrong(found.values)
    answered = trajectory(seen, placed, answer, said)
    if not truth or same:
        verdict = _unknown(found, chance, calibration) if not truth else Verdict.OK
        passes = Passes(lab.meter.done.forward - begun.forward)
        return Check(verdict, chance, answered, None, None, (), None, None, found.values, placed, passes)
    right = answer_tokens(lab, prompt, truth, "truth")
    seen_right = look_at_answer(lab, placed, right)
    known = trajectory(seen_right, placed, truth, right)
    parting = _parting(said, right)
    drivers: tuple[Driver, ...] = ()
    needed = None
    if parting is not None:
        there = seen if parting < len(said) else seen_right
        pair = _rivals(there.logits[parting], said, right, parting)
        drivers = _drivers(lab, there, placed, pair, parting)
        needed = _needed(lab, there, [*placed.ids, *said[:parting]], pair, parting, drivers)
    carried = sum(driver.through_subject for driver in drivers)
    overtaken = _overtaken(answered, known)
    repair = _repair(lab, placed, said, right, facts, answered, known) if facts and lab.adapter else None
    if needed is None:
        verdict = Verdict.OK
    elif needed.gap <= 0:
        verdict = Verdict.NOT_PREFERRED
    elif overtaken is not None and _stood(answered, known):
        verdict = Verdict.LATE_OVERRIDE
    else:
        verdict = _moved(features(lab, seen_right, placed, right), carried, calibration)
    passes = Passes(lab.meter.done.forward - begun.forward)
    return Check(
        verdict, chance, answered, known, overtaken, drivers, needed, repair, found.values, placed, passes
    )


def _unknown(found: Features, chance: float | None, calibration: Calibration | None) -> Verdict:
    """Where nobody knows the truth."""
    if chance is None or calibration is None or chance <= calibration.threshold:
        return Verdict.OK
    if found.values["moved_most"] < calibration.moved_least:
        return Verdict.NO_MOVER
    if found.values["subject_rank"] > calibration.enriched_worst:
        return Verdict.NEVER_ENRICHED
    return Verdict.WRONG_MOVER


def _stood(answered: Trajectory, known: Trajectory) -> bool:
    """Whether the truth was among the first and above the answer somewhere at mid-depth."""
    count = len(known.rank)
    return any(
        known.rank[at] < _HIGH_RANK and known.first_log_probability[at] > answered.first_log_probability[at]
        for at in range(int(_MIDDLE * count), int(_END * count))
    )


def _moved(inside: Features, carried: float, calibration: Calibration | None) -> Verdict:
    """Where the model prefers a wrong answer. inside: of the truth; carried: what all heads bring from the subject for
    the answer rather than the truth."""
    worst = calibration.enriched_worst if calibration else 2.0
    least = calibration.moved_least if calibration else 0.0
    if inside.values["subject_rank"] > worst:
        return Verdict.NEVER_ENRICHED
    if carried > 0:
        return Verdict.WRONG_MOVER
    return Verdict.NO_MOVER if inside.values["moved_most"] < least else Verdict.OUTWEIGHED


def _parting(said: Sequence[int], right: Sequence[int]) -> int | None:
    """The first place where the two answers differ, or one of them ends; None when they are the same."""
    return next((at for at, (one, other) in enumerate(zip_longest(said, right)) if one != other), None)


def _rivals(logits: torch.Tensor, said: Sequence[int], right: Sequence[int], parting: int) -> list[int]:
    """The tokens that the answer and the truth have there. For one that has ended: what would come likeliest in place
    of the other's token."""

    def token(mine: Sequence[int], other: Sequence[int]) -> int:
        if parting < len(mine):
            return mine[parting]
        first, second = logits.topk(2).indices.tolist()
        return int(second if first == other[parting] else first)

    return [token(said, right), token(right, said)]


def _drivers(lab: Lab, seen: Look, placed: Placed, pair: Sequence[int], parting: int) -> tuple[Driver, ...]:
    """Heads and MLPs by how much they favour the first of the pair, the strongest first."""

    def favours(written: torch.Tensor) -> torch.Tensor:
        both = seen.direct(written, parting, pair)
        return both[..., 0] - both[..., 1]

    heads = favours(seen.head_writes(parting))
    moved = favours(seen.through(parting, placed.subject))
    mlps = favours(seen.mlp[:, seen.positions[parting]])
    found = [
        Driver(Head(layer, head), float(heads[layer, head]), float(moved[layer, head]))
        for layer in range(lab.layers)
        for head in range(lab.spec.heads)
    ]
    found += [Driver(Site(Part.MLP, layer), float(mlps[layer]), 0.0) for layer in range(lab.layers)]
    return tuple(sorted(found, key=lambda driver: -driver.towards_answer))


def _needed(
    lab: Lab,
    seen: Look,
    before: Sequence[int],
    pair: Sequence[int],
    parting: int,
    drivers: Sequence[Driver],
) -> Needed:
    """`before`: the text up to where they part."""
    one, other = pair
    logits = seen.logits[parting]
    gap = float(logits[one] - logits[other])
    chosen: list[Node] = []
    left = gap
    for driver in drivers[:_DRIVERS]:
        if left <= 0 or driver.towards_answer <= 0:
            break
        chosen.append(driver.node)
        left -= driver.towards_answer
    if not chosen:
        return Needed(gap, (), gap)
    with ablated(lab.spec, chosen):
        changed = lab.run([before], since=len(before) - 1)[0, -1].float()
    return Needed(gap, tuple(chosen), float(changed[one] - changed[other]))


def _repair(
    lab: Lab,
    placed: Placed,
    said: Sequence[int],
    right: Sequence[int],
    facts: Sequence[InjectedFact],
    answered: Trajectory,
    known: Trajectory,
) -> Repair:
    seen = look_at_answer(lab, placed, right, facts)
    truth = float(sum(seen.logits[at].log_softmax(-1)[token] for at, token in enumerate(right)))
    row = [*placed.ids, *said]
    with lab.injected(1, facts, since=placed.last):
        answer = float(lab.said([row], [len(placed.ids)])[0].sum())
    says = [int(logits.argmax()) for logits in seen.logits] == list(right)
    one_begins = all(one == other for one, other in zip(said, right, strict=False))
    repaired = says if one_begins else truth > answer
    readers_of_truth = tuple(readers(seen, right[0], _DRIVERS))
    return Repair(answered.final, answer, known.final, truth, repaired, says, readers_of_truth)


def _overtaken(answered: Trajectory, known: Trajectory) -> int | None:
    """From which depth on the answer's first token stands above the truth's for good."""
    above = [
        one > other
        for one, other in zip(answered.first_log_probability, known.first_log_probability, strict=True)
    ]
    if not above or not above[-1]:
        return None
    below = [at for at, is_above in enumerate(above) if not is_above]
    return below[-1] + 1 if below else 0
