"""Portability: does what follows from an edit change with it? Two relations are composed to a question of two hops.

Of "Anna's country is Peru" follows that the capital of the country of Anna is Lima. Teacher-forced, by mean token
log-likelihood: what follows from the new object against what follows from the old one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from editors.metrics.counterfact import EditCase
from editors.metrics.speaking import Pair, Speaker


@dataclass(frozen=True, slots=True)
class Step:
    """A relation that leads on from objects of another: a text with {s} that the object follows, and its facts."""

    template: str
    facts: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Hop:
    """What follows from an edit."""

    prompt: str
    new: str  # from the edit's object
    old: str  # from the object that it replaced


def hop_of(case: EditCase, relation: str, onward: Step) -> Hop | None:
    """`relation`: the edited relation's name, as in "the {relation} of {subject}".

    None where the second relation knows nothing of one of the objects, or the same of both.
    """
    new, old = onward.facts.get(case.request.target), onward.facts.get(case.true)
    if new is None or old is None or new == old:
        return None
    prompt = onward.template.replace("{s}", f"the {relation} of {case.request.subject}")
    return Hop(prompt[0].upper() + prompt[1:], new, old)


def portability(speaker: Speaker, hops: Sequence[Hop]) -> float | None:
    """Share of the hops at which what follows from the new object is likelier; None without hops."""
    if not hops:
        return None
    pairs: list[Pair] = [(hop.prompt, said) for hop in hops for said in (hop.new, hop.old)]
    means = [each.mean for each in speaker.forced(pairs)]
    return fmean(float(new > old) for new, old in zip(means[::2], means[1::2], strict=True))
