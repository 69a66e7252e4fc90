"""What the store holds: namespaces, facts, revisions, and the mutations that change them.

All types are frozen values. Times are aware UTC datetimes. Texts are byte-exact: nothing is folded or
trimmed behind the caller's back (retrieval folds for matching, the store does not).
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


class ConflictPolicy(enum.Enum):
    """What to do when a single-valued relation of a subject has another object, or this one for another time.

    REPLACE also gives a fact of the same object and time the aliases and source that are new."""

    FAIL = "fail"
    REPLACE = "replace"
    ADD = "add"


class Action(enum.Enum):
    """What was done to a fact."""

    CREATE = "create"
    UPDATE = "update"
    REPLACE = "replace"
    DELETE = "delete"
    UNDELETE = "undelete"
    ROLLBACK = "rollback"


@dataclass(frozen=True, slots=True)
class Limits:
    """Every limit of the store; each is a configuration key of the same name and is named when it refuses."""

    max_subject_length: int = 256
    max_relation_length: int = 128
    max_object_length: int = 512
    max_aliases: int = 16
    max_source_length: int = 512
    max_batch_facts: int = 1000
    max_filter_length: int = 1024
    max_page_size: int = 1000
    default_page_size: int = 100
    max_query_length: int = 32_768
    max_top_k: int = 64
    max_multi_valued_relations: int = 256
    max_display_name_length: int = 128
    max_described_relations: int = 256
    max_relation_examples: int = 16
    max_example_length: int = 256


@dataclass(frozen=True, slots=True)
class RelationExamples:
    """How people ask for a relation: questions, or texts that its object completes; "{s}" stands for the subject."""

    relation: str
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Namespace:
    """A world of facts of its own."""

    namespace_id: str
    display_name: str
    multi_valued_relations: frozenset[str]
    revision: int
    fact_count: int
    etag: str
    create_time: datetime
    update_time: datetime
    relation_examples: tuple[RelationExamples, ...] = ()  # by relation


@dataclass(frozen=True, slots=True)
class Content:
    """What a caller says about the world: the part of a fact that revisions preserve."""

    subject: str
    relation: str
    object: str
    aliases: tuple[str, ...] = ()
    source: str = ""
    valid_from: datetime | None = None
    valid_to: datetime | None = None


@dataclass(frozen=True, slots=True)
class Fact:
    """A fact at one revision."""

    namespace: str
    fact_id: str
    uid: str
    content: Content
    revision: int
    namespace_revision: int
    etag: str
    create_time: datetime
    update_time: datetime
    delete_time: datetime | None = None
    purge_time: datetime | None = None

    @property
    def deleted(self) -> bool:
        """Whether the fact is softly deleted."""
        return self.delete_time is not None

    def holds_at(self, when: datetime) -> bool:
        """Whether the fact is live and valid at this time."""
        start, end = self.content.valid_from, self.content.valid_to
        return not self.deleted and (start is None or start <= when) and (end is None or when < end)


@dataclass(frozen=True, slots=True)
class FactRevision:
    """One entry of a fact's history."""

    fact: Fact
    action: Action
    principal: str
    create_time: datetime


# --- mutations -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CreateFact:
    """Add a fact; `fact_id` is made when empty."""

    namespace: str
    content: Content
    fact_id: str = ""
    on_conflict: ConflictPolicy = ConflictPolicy.FAIL


@dataclass(frozen=True, slots=True)
class UpdateFact:
    """Change the named fields of a fact (names of `Content` fields)."""

    namespace: str
    fact_id: str
    changes: Mapping[str, object]
    etag: str = ""


@dataclass(frozen=True, slots=True)
class DeleteFact:
    """Delete softly."""

    namespace: str
    fact_id: str
    etag: str = ""


@dataclass(frozen=True, slots=True)
class UndeleteFact:
    """Bring a softly deleted fact back."""

    namespace: str
    fact_id: str
    etag: str = ""


@dataclass(frozen=True, slots=True)
class RollbackFact:
    """Make an earlier revision the current one, as a new revision."""

    namespace: str
    fact_id: str
    revision: int
    etag: str = ""


FactMutation = CreateFact | UpdateFact | DeleteFact | UndeleteFact | RollbackFact


@dataclass(frozen=True, slots=True)
class Context:
    """Who writes, and the id that makes a retry safe."""

    principal: str = "anonymous"
    request_id: str = ""
    # Digest of the request behind request_id: the same id with another digest is refused.
    request_digest: str = ""
    validate_only: bool = False


@dataclass(frozen=True, slots=True)
class WriteResult:
    """The facts as they now are, in the order of the mutations, and the namespace's revision."""

    facts: tuple[Fact, ...]
    namespace_revision: int
    # True when request_id was seen before and this is the answer of that time.
    replayed: bool = False


# --- reading ---------------------------------------------------------------------------------------------


class FilterOp(enum.Enum):
    """Operators of a list filter."""

    EQUAL = "="
    NOT_EQUAL = "!="
    CONTAINS = ":"


@dataclass(frozen=True, slots=True)
class Condition:
    """One comparison of a filter; the conditions of a filter are joined by AND."""

    field: str
    op: FilterOp
    value: str


@dataclass(frozen=True, slots=True)
class Page:
    """Where to go on: `after` is the last sequence number seen."""

    facts: tuple[Fact, ...]
    next_after: int | None
    namespace_revision: int


# --- index and retrieval ---------------------------------------------------------------------------------


class SearchMode(enum.Enum):
    """Which half of the hybrid retrieval to use."""

    FUSED = "fused"
    DENSE = "dense"
    LEXICAL = "lexical"


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """A change that the index has not seen: the fact behind `row` is now at this revision, or gone. Of one that is
    there still (deleted or not), `namespace_create_time` tells its namespace from an earlier one of the same id."""

    sequence: int
    namespace: str
    row: int
    namespace_revision: int
    namespace_create_time: datetime | None


@dataclass(frozen=True, slots=True)
class LexicalHit:
    """A fact row found by full text, higher `score` is better (not comparable between queries)."""

    row: int
    score: float


@dataclass(frozen=True, slots=True)
class Hit:
    """A retrieved fact, re-read from SQL, and why it was retrieved. All scores are 0..1 (cosines clipped)."""

    fact: Fact
    score: float
    subject_cover: float
    relation_score: float
    dense_score: float


@dataclass(frozen=True, slots=True)
class SearchResult:
    """Hits, best first, the namespace's revision they were read at, and how its relations are asked for.

    `relations`: what is stored near the text in meaning, of whomever: the nearest first.
    """

    hits: tuple[Hit, ...]
    namespace_revision: int
    relation_examples: tuple[RelationExamples, ...] = ()
    relations: tuple[str, ...] = ()


# --- long-running operations and imports -----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OperationRecord:
    """A long-running operation as it is kept. Payloads are opaque bytes to the store."""

    operation_id: str
    kind: str
    done: bool
    metadata: bytes
    response: bytes = b""
    error_code: int = 0
    error_message: str = ""
    create_time: datetime | None = None
    replica: str = ""  # the process that runs it, where it joined the store


@dataclass(frozen=True, slots=True)
class ImportProgress:
    """How far an import has been committed."""

    import_id: str
    namespace: str
    rows: int
    written: int
    unchanged: int
    failed: int


@dataclass(frozen=True, slots=True)
class ImportRow:
    """A row of an import: its line in the file, and what it says."""

    line: int
    content: Content
    fact_id: str = ""


@dataclass(frozen=True, slots=True)
class RowFailure:
    """A row that was refused."""

    line: int
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class ImportResult:
    """The outcome of one chunk of rows."""

    progress: ImportProgress
    failures: tuple[RowFailure, ...] = field(default=())
    namespace_revision: int = 0
    held: int = 0  # rows of the chunk that wait for approval
