"""ES, PS, NS and S as in ROME's evaluation on CounterFact: which of two objects is likelier.

Likelihoods are means over tokens of the log-likelihood.

ES: behind the edited prompt the new object beats the true one. PS: behind paraphrases it does too. NS: behind
prompts about neighbours, of which the true object holds, that one still wins. S: their harmonic mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from editors.metrics.speaking import Forced, Pair, Speaker
from editors.weights.request import EditRequest


@dataclass(frozen=True, slots=True)
class EditCase:
    """An edit, and where its effect is looked for."""

    request: EditRequest
    true: str  # the object that the unedited world has
    paraphrases: tuple[str, ...] = ()
    neighbours: tuple[str, ...] = ()  # prompts about other subjects that have the same true object


@dataclass(frozen=True, slots=True)
class Compared:
    """Mean token log-likelihoods of both objects behind one prompt."""

    new: float
    true: float


@dataclass(frozen=True, slots=True)
class CaseScore:
    """One case's comparisons."""

    edited: Compared
    paraphrases: tuple[Compared, ...]
    neighbours: tuple[Compared, ...]

    @property
    def es(self) -> float:
        """1 or 0."""
        return float(self.edited.new > self.edited.true)

    @property
    def ps(self) -> float | None:
        """Share of the paraphrases; None without any."""
        return fmean(c.new > c.true for c in self.paraphrases) if self.paraphrases else None

    @property
    def ns(self) -> float | None:
        """Share of the neighbours; None without any."""
        return fmean(c.true > c.new for c in self.neighbours) if self.neighbours else None


def score_cases(speaker: Speaker, cases: Sequence[EditCase]) -> list[CaseScore]:
    """All cases under one state of the model."""
    return scores_of(cases, speaker.forced(compared_pairs(cases)))


def compared_pairs(cases: Sequence[EditCase]) -> list[Pair]:
    """What is to be read for `scores_of`."""
    pairs: list[Pair] = []
    for case in cases:
        for prompt in (case.request.prompt, *case.paraphrases, *case.neighbours):
            pairs += [(prompt, case.request.target), (prompt, case.true)]
    return pairs


def scores_of(cases: Sequence[EditCase], forced: Sequence[Forced]) -> list[CaseScore]:
    """From what was read for `compared_pairs(cases)`."""
    means = [result.mean for result in forced]
    compared = [Compared(*both) for both in zip(means[::2], means[1::2], strict=True)]
    scores = []
    at = 0
    for case in cases:
        here = compared[at : (at := at + 1 + len(case.paraphrases) + len(case.neighbours))]
        behind = 1 + len(case.paraphrases)
        scores.append(CaseScore(here[0], tuple(here[1:behind]), tuple(here[behind:])))
    return scores


def summary(scores: Sequence[CaseScore]) -> Mapping[str, float]:
    """es, ps, ns: means over the cases that have such prompts, 0..1; s: their harmonic mean."""
    if not scores:
        raise ValueError("nothing was scored")
    means = {
        "es": [score.es for score in scores],
        "ps": [score.ps for score in scores if score.ps is not None],
        "ns": [score.ns for score in scores if score.ns is not None],
    }
    found = {name: fmean(values) for name, values in means.items() if values}
    return {**found, "s": harmonic_mean(list(found.values()))}


def harmonic_mean(values: Sequence[float]) -> float:
    """0 where any value is."""
    if min(values) <= 0:
        return 0.0
    return len(values) / sum(1 / value for value in values)
