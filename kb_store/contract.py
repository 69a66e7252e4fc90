"""What every backend must do. The docstrings are obligations; tests/contract checks them on each backend.

SQL is the truth. The vector index and compiled tokens are caches that can be rebuilt. All methods may be
called from any thread, and block: the service calls them from executors, never on its event loop.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future
from datetime import datetime
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from kb_store.audit import AuditEntry, AuditHead, AuditVerdict
from kb_store.model import (
    Condition,
    ConflictPolicy,
    Context,
    Fact,
    FactMutation,
    FactRevision,
    ImportProgress,
    ImportResult,
    ImportRow,
    LexicalHit,
    Namespace,
    OperationRecord,
    OutboxEntry,
    Page,
    RelationExamples,
    WriteResult,
)
from kb_store.reviews import Quarantine, Review, ReviewState

Vectors = NDArray[np.float32]


class FactReader(Protocol):
    """Reads see every write that was acknowledged before they began."""

    def get_fact(self, namespace: str, fact_id: str) -> Fact:
        """Must return the fact at its newest revision, deleted or not; NotFound when there is none."""
        ...

    def get_facts(self, namespace: str, fact_ids: Sequence[str]) -> tuple[Fact, ...]:
        """Must return them in the order asked, from one snapshot; NotFound names the first that is missing."""
        ...

    def list_facts(
        self,
        namespace: str,
        conditions: Sequence[Condition] = (),
        *,
        limit: int,
        after: int = 0,
        show_deleted: bool = False,
    ) -> Page:
        """Must return facts in creation order, each exactly once over all pages, however many writes happen
        in between. `contains` must match byte-exactly."""
        ...

    def list_revisions(
        self, namespace: str, fact_id: str, *, limit: int, before: int = 0
    ) -> tuple[FactRevision, ...]:
        """Must return newest first, starting below revision `before` (0: at the newest)."""
        ...

    def facts_by_row(self, namespace: str, rows: Sequence[int]) -> dict[int, Fact]:
        """Must leave out rows of other namespaces, deleted facts and rows that do not exist. This re-read is
        what keeps one namespace's facts out of another's answers: it must never trust an index."""
        ...

    def all_rows(self, namespace: str, *, batch: int) -> Iterator[list[tuple[int, Fact]]]:
        """Must yield every live fact of the namespace once, with its row number, in batches (for rebuilds)."""
        ...


class RowImporter(Protocol):
    """Takes the rows of imports in, a chunk at a time."""

    def import_rows(
        self,
        namespace: str,
        import_id: str,
        rows: Sequence[ImportRow],
        policy: ConflictPolicy,
        context: Context,
        *,
        quarantine: Quarantine = Quarantine.OFF,
        after: int | None = None,
    ) -> Future[ImportResult]:
        """Must commit the rows and the import's progress in one transaction. A row that is refused must be
        reported with its line and not hinder the others; a row that says what is stored, be it under
        another id, counts as unchanged.
        With `quarantine`, rows that are flagged (or all) must become reviews in place of facts; a row that waits
        already, saying the same, must not wait twice, and counts as unchanged. With `after`, ImportRunning
        unless exactly so many rows of the import are committed: whoever else commits some, at this or another
        process, none may be counted twice."""
        ...

    def import_progress(self, namespace: str, import_id: str) -> ImportProgress:
        """Must return zeros for an import that is not known, and count every chunk that was handed in to this
        process before: it may wait for them."""
        ...


class FactWriter(RowImporter, Protocol):
    """Writes are serialised by one writer and committed in groups."""

    def submit(self, mutations: Sequence[FactMutation], context: Context) -> Future[WriteResult]:
        """Applies the mutations as one: all or none, all of one namespace.

        The future must resolve only when the change is durable. Fact, revision, audit row, outbox row,
        full-text row and request_id must be written in the same transaction. Each mutation that changes
        something raises the namespace's revision by one; one that changes nothing (an update with the same
        content, a create without fact_id of what is live with the same object and times, unless REPLACE brings it
        other aliases or another source) must return the fact as it is and raise nothing. With a request_id seen
        before, the future must resolve to the first result with `replayed` set, or raise RequestIdReused when the
        digest differs. With validate_only every check must be made, the result be what it would have been, and
        nothing be written.
        A refused mutation must leave no trace and must not disturb others in the same commit group.
        """
        ...

    def write(self, mutations: Sequence[FactMutation], context: Context) -> WriteResult:
        """`submit` and wait."""
        ...

    def rehearsal(self) -> RowImporter:
        """Must give what takes one import in as the store would, each chunk as if those before it had been
        committed, in memory that does not grow with the file; the store must stay as it is."""
        ...

    def purge(self, now: datetime) -> int:
        """Must remove facts whose purge_time has passed, with revisions and index rows, and return how many; and
        reviews that were decided about as long ago as deleted facts are kept."""
        ...


class NamespaceStore(Protocol):
    """Namespaces and their revisions."""

    def create_namespace(
        self,
        namespace_id: str,
        display_name: str,
        multi_valued: frozenset[str],
        context: Context,
        relation_examples: Collection[RelationExamples] = (),
    ) -> Namespace:
        """AlreadyExists when taken; idempotent by request_id like `submit`."""
        ...

    def get_namespace(self, namespace_id: str) -> Namespace:
        """NotFound when there is none."""
        ...

    def list_namespaces(self, *, limit: int, after: str = "") -> tuple[Namespace, ...]:
        """Must be ordered by id, byte-exactly, starting after `after`."""
        ...

    def update_namespace(
        self,
        namespace_id: str,
        *,
        display_name: str | None,
        multi_valued: frozenset[str] | None,
        etag: str,
        context: Context,
        relation_examples: Collection[RelationExamples] | None = None,
    ) -> Namespace:
        """EtagMismatch when an etag is given and differs."""
        ...

    def delete_namespace(self, namespace_id: str, *, force: bool, etag: str, context: Context) -> None:
        """WrongState when it has live facts and force is not set. Must remove everything of it but the bare references
        by which requests that are sent again are known: they must not be done to a namespace made anew (NotFound)."""
        ...


class Outbox(Protocol):
    """Changes on their way to the index."""

    def read_outbox(self, *, after: int, limit: int) -> list[OutboxEntry]:
        """Must return entries in commit order, numbered without gaps (a gap tells the index that it missed
        something); an entry is visible only when its fact's write is durable."""
        ...

    def last_sequence(self) -> int:
        """Must return the sequence of the newest entry ever written (0 when none), also after trimming."""
        ...

    def trim_outbox(self, up_to: int) -> None:
        """Must forget entries up to and including this sequence, except what another replica has yet to read."""
        ...

    def on_commit(self, listener: Callable[[], None]) -> None:
        """Must call the listener soon after every commit that wrote outbox entries (from any thread), whichever
        process at this database made it."""
        ...


class Replicas(Protocol):
    """Processes that share a database. One that is alone may join as well, and notices nothing of it."""

    def join(self, replica: str, *, reads_outbox: bool) -> None:
        """Says that this process, under a name that it keeps over restarts, is there; to be said again every few
        hours. For one that reads the outbox, entries that are newer than its last trimming (or than this, when it
        is new) must be kept until it trims them, or was not heard of for days."""
        ...

    def replicas(self) -> frozenset[str]:
        """Must name all that joined in the last days."""
        ...

    def shared_key(self, name: str, proposed: bytes) -> bytes:
        """Must give every process the same bytes under this name, those that were proposed first."""
        ...


class LexicalSearch(Protocol):
    """Full text on subject and aliases."""

    def search_lexical(
        self, namespace: str, text: str, *, limit: int, now: datetime | None = None
    ) -> list[LexicalHit]:
        """Must find every live fact of the namespace whose whole subject or alias stands in the text, before
        those of which only words do, best first; accents and case do not matter. Must not fail on any text,
        operators of a query language included. `now`: those that are valid then, and none besides."""
        ...


class OperationStore(Protocol):
    """Long-running operations, kept over restarts."""

    def save_operation(self, record: OperationRecord) -> None:
        """Must insert or replace; what runs it stays what it was at first."""
        ...

    def get_operation(self, operation_id: str) -> OperationRecord:
        """NotFound when there is none."""
        ...

    def list_operations(self, *, limit: int, after: str = "") -> tuple[OperationRecord, ...]:
        """Must be ordered by id, starting after `after`."""
        ...

    def delete_operation(self, operation_id: str) -> None:
        """NotFound when there is none."""
        ...


class AuditLog(Protocol):
    """Who changed what: an entry for each mutation, written in its transaction, chained to the entry before."""

    def read_audit(
        self, *, limit: int, before: int = 0, namespace: str = "", principal: str = ""
    ) -> tuple[AuditEntry, ...]:
        """Must return newest first, starting below entry `before` (0: at the newest), of all namespaces and
        principals or of those named. Entries are numbered from 1 without gaps."""
        ...

    def verify_audit(self, expected: AuditHead | None = None) -> AuditVerdict:
        """Must find every entry that was changed, removed (at the end, too) or slipped in, and say whether the log
        holds the entry that `expected` was the head of."""
        ...


class ReviewStore(Protocol):
    """Rows of imports that wait for approval. None of them may be found by any read or search of facts."""

    def get_review(self, namespace: str, review_id: str) -> Review:
        """NotFound when there is none."""
        ...

    def list_reviews(
        self,
        namespace: str,
        *,
        state: ReviewState = ReviewState.HELD,
        import_id: str = "",
        limit: int,
        after: str = "",
    ) -> tuple[Review, ...]:
        """Must be ordered by review_id (the order in which they came), starting after `after`; of one import where
        one is named. NotFound when there is no such namespace."""
        ...

    def count_held(self) -> int:
        """Must count the rows that wait, in all namespaces."""
        ...

    def decide_review(
        self,
        namespace: str,
        review_id: str,
        *,
        approve: bool,
        policy: ConflictPolicy | None,
        context: Context,
    ) -> Review:
        """An approved row must be written as its import would have (or by `policy`), in one transaction with the
        decision and its audit entry, and refused as the import would have refused it; then it goes on waiting.
        WrongState when it was decided about before; idempotent by request_id like `submit`."""
        ...


class Store(
    FactReader,
    FactWriter,
    NamespaceStore,
    Outbox,
    LexicalSearch,
    OperationStore,
    AuditLog,
    ReviewStore,
    Replicas,
    Protocol,
):
    """A whole backend."""

    def close(self) -> None:
        """Must finish what was submitted, then refuse with StoreClosed."""
        ...

    def check(self) -> list[str]:
        """Must verify the backend's integrity and return what is wrong, in sentences; empty when all is well."""
        ...


class Embedder(Protocol):
    """Turns texts into vectors of length 1. Given from outside: the store knows no model."""

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        ...

    @property
    def digest(self) -> str:
        """Must change whenever the vectors would."""
        ...

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Must return one row per text, float32, L2-normalised."""
        ...


class VectorIndex(Protocol):
    """Nearest neighbours within one namespace. Row numbers are the store's."""

    def apply(
        self, namespace: str, *, remove: Sequence[int], rows: Sequence[int], vectors: Vectors, sequence: int
    ) -> None:
        """Must remove, then add (a row that is there is replaced), then note `sequence` as seen."""
        ...

    def search(self, namespace: str, vector: Vectors, *, limit: int) -> list[tuple[int, float]]:
        """Must return (row, cosine), best first; an unknown namespace is empty."""
        ...

    def similarities(self, namespace: str, vector: Vectors, rows: Sequence[int]) -> dict[int, float]:
        """Must return the cosines of those of these rows that are in the index (for facts found otherwise)."""
        ...

    def applied_sequence(self) -> int:
        """The outbox sequence up to which the index is complete."""
        ...

    def rows(self, namespace: str) -> frozenset[int]:
        """Every row in the index (for checks against SQL)."""
        ...

    def drop(self, namespace: str) -> None:
        """Must forget the namespace."""
        ...

    def save(self) -> None:
        """Must be atomic: after a crash at any moment the old or the new state loads, or none (then rebuilt)."""
        ...
