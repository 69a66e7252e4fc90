"""What `client.reviews` returns. Texts are untrusted, times are aware UTC datetimes."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime

from interleaf._types import Fact, OnConflict


class ReviewState(enum.StrEnum):
    """What became of a row."""

    HELD = "held"
    APPROVED = "approved"
    REJECTED = "rejected"
    UNKNOWN = "unknown"


class ReviewFlag(enum.StrEnum):
    """Why a row waits: a sign for a person, not a proof."""

    CONTRADICTS_STORED = "contradicts_stored"
    CONTRADICTS_FILE = "contradicts_file"  # rows that came together say different objects; each of them waits
    INSTRUCTION_LIKE = "instruction_like"  # a text that speaks to a model
    HIDDEN_TEXT = "hidden_text"  # characters that nobody sees, or that change the order of reading
    NOT_FLAGGED = "not_flagged"  # everything of its import waits
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Review:
    """A row of an import that waits, or was decided about. `name` is namespaces/{namespace}/reviews/{review}.

    `fact` is what the row says (its name is set where the row names an id), `conflicts` are names of the facts that it
    contradicted when it came, `written` is the name of the fact that says it since it was approved.
    """

    name: str
    fact: Fact
    flags: tuple[ReviewFlag, ...]
    conflicts: tuple[str, ...]
    import_id: str
    line: int
    on_conflict: OnConflict | None
    principal: str
    create_time: datetime | None
    state: ReviewState
    decided_by: str
    decide_time: datetime | None
    written: str
    namespace_revision: int = 0  # in the answer to a decision: `min_revision` of reads that are to see it

    @property
    def id(self) -> str:
        """The last part of the name."""
        return self.name.rpartition("/")[2]
