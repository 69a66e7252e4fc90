"""A receipt of an edit: what the model says of the objects before and after, where it should change and where not.

Beside the edited prompt, paraphrases and neighbours it has controls. `absent`: the same prompt about a subject that
nobody edited; its answer must not follow. `shuffled`: an object that nobody asked for, behind the edited prompt; it
must not rise with the new one.
"""

from __future__ import annotations

import math
from collections.abc import Container, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from editors.metrics.accuracy import says
from editors.metrics.counterfact import EditCase
from editors.metrics.speaking import Forced, Pair, Speaker
from engines.whole_words import replaced

EDITED, PARAPHRASE, NEIGHBOUR, ABSENT, SHUFFLED = "edited", "paraphrase", "neighbour", "absent", "shuffled"
# A name that no model has read of, and objects of several kinds.
_NOBODY = "Mirela Vantongeren"
_OBJECTS = ("copper", "Portuguese", "Oslo", "the violin", "Tuesday")
_SAID_TOKENS = 16
_MARGIN_TOKENS = 4  # a long object may be said in other tokens than it is read in
_NOTHING = 1e-4  # of log-probability: smaller changes are none
_AS_MUCH = 0.5  # of the rise in probability behind the edited prompt: the control follows


@dataclass(frozen=True, slots=True)
class Standing:
    """How an object stands behind a prompt."""

    log_probability: float  # of all its tokens
    mean: float  # of log-probability, by token
    rank: int  # of its first token: how many tokens are as likely or likelier; 1: the likeliest by itself

    @property
    def probability(self) -> float:
        """Of all its tokens."""
        return math.exp(self.log_probability)


@dataclass(frozen=True, slots=True)
class Line:
    """One object behind one prompt."""

    fact: int  # the number of the fact that it is about
    kind: str
    prompt: str
    object: str
    is_new: bool  # the object that the edit is for; otherwise the one that it replaces (or a shuffled one)
    before: Standing
    after: Standing


@dataclass(frozen=True, slots=True)
class Said:
    """What the model says by itself behind an edited prompt."""

    fact: int
    prompt: str
    before: str
    after: str
    is_target: bool  # the text after begins with the new object


@dataclass(frozen=True, slots=True)
class Receipt:
    """Of one edit, of one fact or more. `problems` are sentences; there are none where all is well."""

    lines: tuple[Line, ...]
    said: tuple[Said, ...]
    problems: tuple[str, ...]

    def plain(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _Place:
    fact: int
    kind: str
    prompt: str
    object: str
    is_new: bool


@dataclass(frozen=True, slots=True)
class Readings:
    """Of one state of the model."""

    forced: tuple[Forced, ...]
    texts: tuple[str, ...]


class Watch:
    """What is looked at, the same before and after the edit."""

    def __init__(self, cases: Sequence[EditCase]) -> None:
        self._cases = tuple(cases)
        self._places = [place for at, case in enumerate(cases) for place in _places(at, case)]

    def read(self, speaker: Speaker) -> Readings:
        """The state that the speaker is in now."""
        pairs: list[Pair] = [(place.prompt, place.object) for place in self._places]
        prompts = [case.request.prompt for case in self._cases]
        forced = tuple(speaker.forced(pairs))
        longest = max(len(each.wanted) for each in forced)
        most = max(_SAID_TOKENS, longest + _MARGIN_TOKENS)
        return Readings(forced, tuple(speaker.generate(prompts, most)))

    def receipt(self, before: Readings, after: Readings) -> Receipt:
        """What the edit did."""
        lines = tuple(
            Line(
                place.fact,
                place.kind,
                place.prompt,
                place.object,
                place.is_new,
                _standing(old),
                _standing(new),
            )
            for place, old, new in zip(self._places, before.forced, after.forced, strict=True)
        )
        said = tuple(
            Said(at, case.request.prompt, old, new, says(new, case.request.target))
            for at, (case, old, new) in enumerate(zip(self._cases, before.texts, after.texts, strict=True))
        )
        # Words are compared: what has none, such as a symbol, is never found said.
        unsaid = {
            item.fact
            for item, case in zip(said, self._cases, strict=True)
            if not item.is_target and says(case.request.target, case.request.target)
        }
        return Receipt(lines, said, tuple(_problems(lines, unsaid)))


def _places(fact: int, case: EditCase) -> list[_Place]:
    request = case.request
    new, old = request.target, case.true
    places = []
    for kind, prompts in (
        (EDITED, (request.prompt,)),
        (PARAPHRASE, case.paraphrases),
        (NEIGHBOUR, case.neighbours),
        (ABSENT, (replaced(request.subject, _NOBODY, request.prompt),)),
    ):
        for prompt in prompts:
            places.append(_Place(fact, kind, prompt, new, True))
            if old:
                places.append(_Place(fact, kind, prompt, old, False))
    known = {new.casefold(), old.casefold()}
    other = next(item for item in _OBJECTS if item.casefold() not in known)
    places.append(_Place(fact, SHUFFLED, request.prompt, other, False))
    return places


def _standing(forced: Forced) -> Standing:
    return Standing(sum(forced.log_probabilities), forced.mean, forced.ranks[0])


def _problems(lines: Sequence[Line], unsaid: Container[int]) -> list[str]:
    """Sentences about facts by their number, from 1. `unsaid`: the facts whose object the model does not say."""
    found = []
    for fact in sorted({line.fact for line in lines}):
        mine = [line for line in lines if line.fact == fact]
        edited, shuffled = _of(mine, EDITED), _of(mine, SHUFFLED)
        gain = edited.after.mean - edited.before.mean
        name = f"fact {fact + 1}"
        if not all(math.isfinite(line.after.log_probability) for line in mine):
            found.append(f"{name}: what the model says is no longer a number: the edit broke it")
            continue
        if abs(gain) < _NOTHING:
            found.append(f"{name}: the edit changed nothing")
            continue
        if edited.after.rank > 1 and abs(edited.after.mean - shuffled.after.mean) < _NOTHING:
            found.append(f"{name}: all objects are now equally likely: the edit broke the model")
        if gain < 0:
            found.append(f"{name}: the new object is less likely than before")
        rivals = [line for line in mine if line.kind == EDITED and not line.is_new]
        if any(line.after.mean > edited.after.mean for line in rivals):
            found.append(f"{name}: the old object is still likelier than the new one")
        if fact in unsaid:
            found.append(f"{name}: the model does not say the new object by itself")
        absent = _of(mine, ABSENT)
        if absent.after.rank == 1 and absent.before.rank > 1:
            found.append(f"{name}: the new object is now said of a subject that was not edited")
        elif _follows(absent, edited):
            found.append(f"{name}: the new object rose about as much for a subject that was not edited")
        if gain > 0 and shuffled.after.mean - shuffled.before.mean > gain:
            found.append(f"{name}: an object that nobody asked for rose more than the new one")
    return found


def _follows(control: Line, edited: Line) -> bool:
    """Compared by probability: where there was none, it takes many times the little to make something of it."""
    if control.after.log_probability - control.before.log_probability < _NOTHING:
        return False
    rise, own = (line.after.probability - line.before.probability for line in (control, edited))
    return rise > _AS_MUCH * own


def _of(lines: Sequence[Line], kind: str) -> Line:
    return next(line for line in lines if line.kind == kind and (line.is_new or kind == SHUFFLED))
