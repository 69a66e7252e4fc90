"""Which facts an answer rests on, from the attention that fell on them and from its text.

A fact counts as used when its share of attention at some token exceeds the encoder's calibrated threshold.
EXACT: used, and its object stands in the text. DIFFERS: used, and it does not. NOT_USED: otherwise, also when
the object happens to stand in the text: then the model said it by itself, or another fact with this object did.
"""

from __future__ import annotations

import enum
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engines.whole_words import standing
from kb_store.model import Fact
from service.serving.compiled import version_key
from service.serving.knowledge import Known


class ValueCheck(enum.Enum):
    """How the text compares to the fact's object."""

    UNCHECKED = "unchecked"
    EXACT = "exact"
    DIFFERS = "differs"
    NOT_USED = "not_used"


class Grounding(enum.Enum):
    """Whether an answer rests on facts."""

    GROUNDED = "grounded"
    UNGROUNDED = "ungrounded"
    NO_FACTS = "no_facts"


@dataclass(frozen=True, slots=True)
class Citation:
    """An injected fact and its part in the answer. `together`: the question asked for it beside others."""

    fact: Fact
    attention: float
    retrieval_score: float
    value_check: ValueCheck
    together: bool = False


def cite(
    known: Sequence[Known], attention: Mapping[str, Sequence[float]], text: str, threshold: float
) -> tuple[Citation, ...]:
    """Every injected fact, the most attended first."""
    citations = []
    for item in known:
        peak = max(attention.get(version_key(item.fact), ()), default=0.0)
        if peak <= threshold:
            check = ValueCheck.NOT_USED
        elif stands_in(item.fact.content.object, text):
            check = ValueCheck.EXACT
        else:
            check = ValueCheck.DIFFERS
        citations.append(Citation(item.fact, peak, item.score, check, item.injected.order > 0))
    return tuple(sorted(citations, key=lambda citation: -citation.attention))


def cite_unchecked(known: Sequence[Known], attention: Mapping[str, float]) -> tuple[Citation, ...]:
    """The same where no text was generated."""
    citations = [
        Citation(item.fact, attention.get(version_key(item.fact), 0.0), item.score, ValueCheck.UNCHECKED)
        for item in known
    ]
    return tuple(sorted(citations, key=lambda citation: -citation.attention))


def grounding(citations: Sequence[Citation]) -> Grounding:
    """The verdict on a whole answer."""
    if not citations:
        return Grounding.NO_FACTS
    used = any(citation.value_check is not ValueCheck.NOT_USED for citation in citations)
    return Grounding.GROUNDED if used else Grounding.UNGROUNDED


def stands_in(value: str, text: str) -> bool:
    """Whether a value stands in a text as whole words and numbers, letter by letter; only white space may differ."""
    return bool(standing(_folded(value), _folded(text)))


def _folded(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).split())
