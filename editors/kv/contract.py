"""What the service needs from a trained encoder."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from editors.kv.meaning import Meaning
from engines.contract import KVAdapter, KVTokens


@dataclass(frozen=True, slots=True)
class FactText:
    """A fact version to compile. `key` names it, e.g. "<uid>@<revision>"."""

    key: str
    subject: str
    relation: str
    object: str


_WORD_ENDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[_\s]+")


def spoken(relation: str) -> str:
    """A relation's name as words: applications call them `worksFor` or `date_of_birth` too."""
    return " ".join(_WORD_ENDS.sub(" ", relation).split()) or relation


@dataclass(frozen=True, slots=True)
class Evidence:
    """What retrieval found for one candidate: the prior on attention is made of it. Covers and cosine are 0..1."""

    subject_cover: float
    relation_cover: float
    dense: float
    meaning: float = 0.0  # log-probability that the relation is what the text asks for (editors.kv.meaning)


class FactEncoder(Protocol):
    """A trained encoder bound to its model. `compile` blocks; all methods may be called from any thread."""

    @property
    def digest(self) -> str:
        """Names weights and calibration."""
        ...

    @property
    def adapter(self) -> KVAdapter:
        """The part that runs inside attention; the engine is given it at start."""
        ...

    @property
    def grounded_threshold(self) -> float:
        """An answer is grounded when a fact's attention mass at some token exceeds this."""
        ...

    @property
    def meaning(self) -> Meaning:
        """Judges relations by meaning, for the evidence."""
        ...

    def compile(self, facts: Sequence[FactText]) -> list[KVTokens]:
        """Runs the frozen model over the facts' texts, in batches."""
        ...

    @property
    def fit_needed(self) -> float:
        """The least meaning of a fact that is injected."""
        ...

    def biases(self, evidence: Sequence[Evidence], wanted: bool = False) -> list[float | None]:
        """What is added to each candidate's attention logits; None: do not inject this candidate.

        `wanted`: the caller has chosen these facts; none is left out for being unlikely.
        """
        ...
