"""Reliability, generality and locality: teacher-forced token by token, and as freely generated text.

Reliability asks behind the edited prompt, generality behind its paraphrases, locality behind the neighbours'.
Teacher-forced figures are higher than generated ones, and not 0 before an edit: always say which they are.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from editors.metrics.counterfact import EditCase
from editors.metrics.speaking import Forced, Pair, Speaker
from engines.whole_words import parts

_MARKS = re.compile(r"[+#]+")  # right behind a word they make it another one: C, C++, C#


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Rates 0..1; None where no case has such prompts."""

    reliability: float | None
    generality: float | None
    locality: float | None


def edited_pairs(cases: Sequence[EditCase]) -> list[Pair]:
    """Behind the edited prompt: the new object."""
    return [(case.request.prompt, case.request.target) for case in cases]


def paraphrase_pairs(cases: Sequence[EditCase]) -> list[Pair]:
    """Behind paraphrases: the new object."""
    return [(prompt, case.request.target) for case in cases for prompt in case.paraphrases]


def neighbour_pairs(cases: Sequence[EditCase]) -> list[Pair]:
    """Behind neighbours' prompts: the true object."""
    return [(prompt, case.true) for case in cases for prompt in case.neighbours]


def forced_accuracy(speaker: Speaker, cases: Sequence[EditCase], before: Sequence[Forced]) -> Accuracy:
    """Teacher-forced. `before`: what the unedited model predicted for `neighbour_pairs(cases)`.

    Reliability and generality are shares of the new object's tokens; locality is the share of the neighbours'
    tokens whose prediction is still that of the unedited model, right or wrong.
    """
    return Accuracy(
        _mean([each.accuracy for each in speaker.forced(edited_pairs(cases))]),
        _mean([each.accuracy for each in speaker.forced(paraphrase_pairs(cases))]),
        _mean(
            [
                unchanged(old, new)
                for old, new in zip(before, speaker.forced(neighbour_pairs(cases)), strict=True)
            ]
        ),
    )


def generated_accuracy(
    speaker: Speaker, cases: Sequence[EditCase], before: Sequence[str], max_tokens: int
) -> Accuracy:
    """Freely generated. `before`: the unedited model's texts behind the neighbours' prompts, of as many tokens.

    Reliability and generality: the text begins with the new object. Locality: the text is the same as before.
    """

    def begins(pairs: Sequence[Pair]) -> list[float]:
        texts = speaker.generate([prompt for prompt, _ in pairs], max_tokens)
        return [float(says(text, wanted)) for text, (_, wanted) in zip(texts, pairs, strict=True)]

    now = speaker.generate([prompt for prompt, _ in neighbour_pairs(cases)], max_tokens)
    return Accuracy(
        _mean(begins(edited_pairs(cases))),
        _mean(begins(paraphrase_pairs(cases))),
        _mean([float(old == new) for old, new in zip(before, now, strict=True)]),
    )


def unchanged(before: Forced, after: Forced) -> float:
    """Share of the tokens predicted as before."""
    return fmean(a == b for a, b in zip(before.predicted, after.predicted, strict=True))


def says(text: str, wanted: str) -> bool:
    """Whether a text begins with these words and numbers; case and what surrounds them do not matter."""
    said, words = _words(text), _words(wanted)
    return bool(words) and said[: len(words)] == words


def _words(text: str) -> list[str]:
    folded, found = text.casefold(), []
    for start, end in parts(folded):
        found.append(folded[start:end])
        if marks := _MARKS.match(folded, end):
            found.append(marks[0])
    return found


def _mean(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None
