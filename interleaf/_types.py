"""What the client returns: frozen values, no protobuf in sight.

Times are aware UTC datetimes. Texts are what the server holds, byte for byte: treat them as untrusted.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

OnConflict = Literal["fail", "replace", "add"]
Quarantine = Literal["server", "flagged", "all"]
SearchBy = Literal["fused", "dense", "lexical"]
FileFormat = Literal["csv", "jsonl", "ntriples"]


class FactState(enum.StrEnum):
    """How far a write has come; each state implies the ones before it."""

    DURABLE = "durable"
    SEARCHABLE = "searchable"
    COMPILED = "compiled"


class Grounding(enum.StrEnum):
    """What an answer rests on."""

    GROUNDED = "grounded"
    UNGROUNDED = "ungrounded"
    NO_FACTS = "no_facts"
    UNKNOWN = "unknown"


class ValueCheck(enum.StrEnum):
    """How the generated text compares to a fact's object."""

    EXACT = "exact"
    DIFFERS = "differs"
    NOT_USED = "not_used"
    UNKNOWN = "unknown"


class FinishReason(enum.StrEnum):
    """Why generation ended."""

    STOP = "stop"
    LENGTH = "length"
    ABSTAINED = "abstained"  # asked to be strict, and no stored fact says it
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class NewFact:
    """A fact to add with `add_many`. A plain (subject, relation, object) tuple will do as well."""

    subject: str
    relation: str
    object: str
    aliases: tuple[str, ...] = ()
    source: str = ""
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    fact_id: str = ""


@dataclass(frozen=True, slots=True)
class Fact:
    """A fact at one revision. `name` is namespaces/{namespace}/facts/{fact}, `id` its last part."""

    name: str
    uid: str
    subject: str
    relation: str
    object: str
    aliases: tuple[str, ...]
    source: str
    valid_from: datetime | None
    valid_to: datetime | None
    revision: int
    namespace_revision: int
    state: FactState
    etag: str
    create_time: datetime | None
    update_time: datetime | None
    delete_time: datetime | None
    purge_time: datetime | None

    @property
    def id(self) -> str:
        """The last part of the name."""
        return self.name.rpartition("/")[2]

    @property
    def deleted(self) -> bool:
        """Whether the fact is softly deleted."""
        return self.delete_time is not None


@dataclass(frozen=True, slots=True)
class Revision:
    """One entry of a fact's history: the fact as it was, what was done, by whom and when."""

    fact: Fact
    action: str
    principal: str
    create_time: datetime | None

    @property
    def number(self) -> int:
        """The revision to give to `rollback`."""
        return self.fact.revision


@dataclass(frozen=True, slots=True)
class SearchHit:
    """A fact that retrieval found. All scores are 0..1; `score` is the fused one."""

    fact: Fact
    score: float
    subject_cover: float
    relation_score: float
    dense_score: float


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One turn of a chat; `role` is system, user or assistant."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Citation:
    """An injected fact. `attention` is its share where it was highest, 0..1; `layer_attention`, by layer, is given to
    operators only (`client.monitor`).
    """

    fact: str
    uid: str
    revision: int
    subject: str
    relation: str
    object: str
    attention: float
    retrieval_score: float
    value_check: ValueCheck
    layer_attention: Mapping[int, float] = field(default_factory=dict, hash=False)

    @property
    def used(self) -> bool:
        """Whether the model attended to the fact when it answered."""
        return self.value_check in (ValueCheck.EXACT, ValueCheck.DIFFERS)


@dataclass(frozen=True, slots=True)
class Timings:
    """Where the time went, in seconds. `compile` is the encoding of facts that were not compiled yet."""

    retrieval: float
    compile: float
    queue: float
    first_token: float
    total: float


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model said. `citations` holds every injected fact, the most attended first."""

    text: str
    finish_reason: FinishReason
    citations: tuple[Citation, ...]
    grounding: Grounding
    prompt_tokens: int
    generated_tokens: int
    injected_tokens: int
    timings: Timings
    namespace_revision: int
    model: str
    encoder: str

    @property
    def grounded(self) -> bool:
        """Whether the answer rests on the cited facts."""
        return self.grounding is Grounding.GROUNDED

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Comparison:
    """The plain model's answer and the answer with facts."""

    original: Answer
    edited: Answer

    @property
    def changed(self) -> bool:
        """Whether the facts changed the text."""
        return self.original.text != self.edited.text


@dataclass(frozen=True, slots=True)
class ContinuationScore:
    """How likely the model finds a continuation: natural logarithms, in all and by token."""

    log_probability: float
    token_log_probabilities: tuple[float, ...]
    tokens: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Scores:
    """One score per continuation, in the order asked."""

    scores: tuple[ContinuationScore, ...]
    citations: tuple[Citation, ...]
    namespace_revision: int


class Weight(enum.StrEnum):
    """Why a fact is shown to the model, or is not."""

    SHOWN = "shown"
    SUBJECT_NOT_NAMED = "subject_not_named"
    NOT_ASKED_FOR = "not_asked_for"
    BEHIND_ANOTHER = "behind_another"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class WeighedFact:
    """A fact that retrieval found. `fit`: how likely the question asks for its relation, a natural logarithm."""

    fact: str
    subject: str
    relation: str
    object: str
    weight: Weight
    subject_cover: float
    fit: float
    retrieval_score: float


@dataclass(frozen=True, slots=True)
class Weighing:
    """The facts that retrieval found, those that are shown first; `fit_needed` is the least fit of one that is."""

    facts: tuple[WeighedFact, ...]
    fit_needed: float
    namespace_revision: int


@dataclass(frozen=True, slots=True)
class Namespace:
    """A world of facts of its own. Retrieval has seen everything up to `searchable_revision`."""

    name: str
    display_name: str
    multi_valued_relations: tuple[str, ...]
    revision: int
    searchable_revision: int
    compiled_revision: int
    fact_count: int
    etag: str
    create_time: datetime | None
    update_time: datetime | None
    relation_examples: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The last part of the name."""
        return self.name.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Operation:
    """A long-running operation. `metadata` is its progress, as the fields of its message."""

    name: str
    done: bool
    metadata: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ImportFailure:
    """A row that was refused; lines count from 1, the header row of a CSV included."""

    line: int
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class ImportReport:
    """How an import stands (while it runs) or went (at its end). `failures` holds the first hundred."""

    import_id: str
    rows_read: int = 0
    rows_written: int = 0
    rows_unchanged: int = 0
    rows_failed: int = 0
    rows_held: int = 0
    failures: tuple[ImportFailure, ...] = ()
    namespace_revision: int = 0
    done: bool = False
