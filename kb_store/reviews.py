"""Rows of imports that are held back: what was flagged in them, and what became of them."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from datetime import datetime

from kb_store.model import ConflictPolicy, Content


class Quarantine(enum.Enum):
    """Which rows of an import wait for somebody's approval."""

    OFF = "off"
    FLAGGED = "flagged"
    ALL = "all"

    @property
    def strictness(self) -> int:
        """Greater where more is held back."""
        return (Quarantine.OFF, Quarantine.FLAGGED, Quarantine.ALL).index(self)


class Flag(enum.StrEnum):
    """Why a row is held back. CONTRADICTS_STORED: a single-valued relation has another object already, or the row
    would be written over a fact that says something else. CONTRADICTS_FILE: rows that came together say different
    objects. INSTRUCTION_LIKE: a text that speaks to a model. HIDDEN_TEXT: characters that nobody sees. NOT_FLAGGED:
    everything of that import is held."""

    CONTRADICTS_STORED = "contradicts_stored"
    CONTRADICTS_FILE = "contradicts_file"
    INSTRUCTION_LIKE = "instruction_like"
    HIDDEN_TEXT = "hidden_text"
    NOT_FLAGGED = "not_flagged"


class ReviewState(enum.StrEnum):
    """What became of a row."""

    HELD = "held"
    APPROVED = "approved"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Review:
    """A row that is, or was, held back. It is not a fact: nothing retrieves it.

    `fact_id` is the row's own (it may be empty), `written` the fact that its approval made or changed; `conflicts` are
    the facts that it contradicted when it came.
    """

    namespace: str
    review_id: str
    content: Content
    fact_id: str
    policy: ConflictPolicy
    flags: tuple[Flag, ...]
    conflicts: tuple[str, ...]
    import_id: str
    line: int
    principal: str
    create_time: datetime
    state: ReviewState = ReviewState.HELD
    decided_by: str = ""
    decide_time: datetime | None = None
    written: str = ""
    revision: int = field(default=0, compare=False)  # of the namespace, in the answer to a decision
