"""What is studied: a prompt, where its subject and its relation stand, and the answers that are compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from circuits.errors import InvalidProbe
from circuits.lab import Lab
from engines.contract import Message
from engines.whole_words import mentions, standing


@dataclass(frozen=True, slots=True)
class Probe:
    """A question about a fact. `alternatives`: other objects of the same relation."""

    prompt: str | tuple[Message, ...]
    subject: str
    object: str
    relation: str = ""  # words of the prompt; empty: all that is not the subject
    alternatives: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Placed:
    """A prompt in tokens. Positions count from 0; `last` is where the answer begins to be said."""

    ids: tuple[int, ...]
    pieces: tuple[str, ...]
    subject: tuple[int, ...]
    relation: tuple[int, ...]

    @property
    def last(self) -> int:
        """The last position."""
        return len(self.ids) - 1


def place(lab: Lab, prompt: str | Sequence[Message], subject: str, relation: str = "") -> Placed:
    """Finds the spans: the last mention of the subject, and of the relation's words.

    Words of their own come before those inside of others. Case matters only where what is wanted has capitals and
    stands so: "US" is not "us". Of a chat only what its messages say is looked at. Without words for the relation it is
    everything but the subject, the last position, and the first, which takes attention that goes nowhere. InvalidProbe
    when a span is not there.
    """
    ids, places, text = lab.prompts.located(prompt)
    found = _tokens(text, places, "subject", subject)
    if relation:
        said = tuple(at for at in _tokens(text, places, "relation", relation) if at not in found)
    else:
        said = tuple(at for at in range(1, len(ids) - 1) if at not in found and places[at][1] > places[at][0])
    return Placed(tuple(ids), lab.prompts.pieces(ids), found, said)


def answer_tokens(lab: Lab, prompt: str | Sequence[Message], answer: str, field: str = "answer") -> list[int]:
    """The answer as it follows the prompt. A plain text's answer begins with a space unless it has one."""
    is_text = isinstance(prompt, str)
    said = f" {answer}" if is_text and not answer[:1].isspace() and not str(prompt).endswith(" ") else answer
    _, tail = lab.prompts.encode_pair(prompt, said)
    if not tail:
        raise InvalidProbe(field, "has no tokens")
    return tail


def _tokens(text: str, places: Sequence[tuple[int, int]], field: str, wanted: str) -> tuple[int, ...]:
    if not wanted.strip():
        raise InvalidProbe(field, "must not be empty")
    words = wanted.strip()
    found = standing(words, text) if words != words.lower() else []
    found = found or mentions(words, text, any_case=True)
    if not found:
        raise InvalidProbe(field, "does not stand in the prompt")
    start, end = found[-1]
    return tuple(at for at, (first, past) in enumerate(places) if first < end and past > start)
