"""Facts as text before a prompt: what others do, and what the encoder is compared with."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol


class Spoken(Protocol):
    """A stored fact, an injected one, or one that was found."""

    @property
    def subject(self) -> str:
        """Whom it is about."""
        ...

    @property
    def relation(self) -> str:
        """What of it."""
        ...

    @property
    def object(self) -> str:
        """The value."""
        ...


def sentence(fact: Spoken) -> str:
    """The fact as the encoder reads it too."""
    return f"The {fact.relation} of {fact.subject} is {fact.object}."


def before(prompt: str, facts: Iterable[Spoken]) -> str:
    """The prompt with a line for each fact before it; the best fact stands nearest to the question."""
    lines = [sentence(fact) for fact in facts]
    return "\n".join([*reversed(lines), prompt])
