"""Everything the store can refuse or fail with.

StoreError
├── InvalidInput            a field that breaks a rule (names the field)
│   ├── LimitExceeded       a field that is over a configured limit (names the limit)
│   └── RequestIdReused     the request_id belongs to a different request
├── NotFound                namespace, fact, revision or operation
├── AlreadyExists           the id is taken
│   └── ConflictingFact     a single-valued relation already has another object
├── EtagMismatch            somebody else wrote in between
├── WrongState              undelete of a live fact, update of a deleted one, ...
├── ImportRunning           another stream is at work on this import
├── RevisionNotReached      min_revision lies ahead, and waiting did not help
├── StorageFull             no space left; reads go on
├── QuotaExceeded           the namespace has as many facts as it may have
├── StoreUnavailable        the database cannot be reached, or is busy: try again
├── StoreClosed             the store is shutting down
└── IndexCorrupt            an index file fails its checksum; it is rebuilt from SQL
"""

from __future__ import annotations


class StoreError(Exception):
    """Base of all errors of the store. `reason` is stable; `details` holds every dynamic part of the message."""

    reason = "STORE_ERROR"

    def __init__(self, message: str, **details: str | int) -> None:
        super().__init__(message)
        self.message = message
        self.details = {key: str(value) for key, value in details.items()}


class InvalidInput(StoreError):
    """A field breaks a rule."""

    reason = "INVALID_FIELD"

    def __init__(self, field: str, message: str, **details: str | int) -> None:
        super().__init__(f"{field}: {message}", field=field, **details)
        self.field = field


class LimitExceeded(InvalidInput):
    """A field is over a configured limit."""

    reason = "LIMIT_EXCEEDED"

    def __init__(self, field: str, limit: str, maximum: int, actual: int) -> None:
        super().__init__(
            field,
            f"{actual} is over the limit {limit} = {maximum}",
            limit=limit,
            maximum=maximum,
            actual=actual,
        )


class RequestIdReused(InvalidInput):
    """The request_id was used for a different request."""

    reason = "REQUEST_ID_REUSED"

    def __init__(self, request_id: str) -> None:
        super().__init__("request_id", "was used before with a different request", request_id=request_id)


class NotFound(StoreError):
    """There is no such thing, or not any more."""

    reason = "NOT_FOUND"

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(f"{kind} {name!r} does not exist", kind=kind, name=name)


class AlreadyExists(StoreError):
    """The id is taken."""

    reason = "ALREADY_EXISTS"

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(f"{kind} {name!r} exists already", kind=kind, name=name)


class ConflictingFact(AlreadyExists):
    """A single-valued relation of this subject already has another object, or this one for another time."""

    reason = "CONFLICTING_FACT"

    def __init__(self, namespace: str, fact_id: str) -> None:
        StoreError.__init__(
            self,
            "the relation is single-valued and this subject already has another object, or this one for another "
            f"time, in fact {fact_id!r}; choose on_conflict REPLACE or ADD, or declare the relation multi-valued",
            namespace=namespace,
            fact_id=fact_id,
        )


class EtagMismatch(StoreError):
    """The resource was changed since it was read."""

    reason = "ETAG_MISMATCH"

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(
            f"{kind} {name!r} was changed since it was read: read it again", kind=kind, name=name
        )


class WrongState(StoreError):
    """The resource is not in a state that allows this."""

    reason = "WRONG_STATE"


class ImportRunning(StoreError):
    """Another stream is at work on this import, or has just committed rows of it."""

    reason = "IMPORT_RUNNING"

    def __init__(self, import_id: str) -> None:
        super().__init__(
            f"another stream is at work on import {import_id!r}: send it again when that has ended",
            import_id=import_id,
        )


class RevisionNotReached(StoreError):
    """min_revision lies ahead of what the namespace has, or the wait for it ran out."""

    reason = "REVISION_NOT_REACHED"

    def __init__(self, namespace: str, wanted: int, reached: int) -> None:
        super().__init__(
            f"namespace {namespace!r} is at revision {reached}, {wanted} was asked for",
            namespace=namespace,
            wanted=wanted,
            reached=reached,
        )


class StorageFull(StoreError):
    """No space left on the device; reads go on."""

    reason = "STORAGE_FULL"


class StoreUnavailable(StoreError):
    """The database cannot be reached, or is busy. A write may or may not have been made: its request_id tells."""

    reason = "STORE_UNAVAILABLE"


class QuotaExceeded(StoreError):
    """The namespace has as many live facts as it may have."""

    reason = "FACT_QUOTA_EXCEEDED"

    def __init__(self, namespace: str, limit: int, facts: int) -> None:
        super().__init__(
            f"namespace {namespace!r} has {facts} facts and may have {limit} (quotas.max_facts): delete some, or have "
            "the quota raised",
            namespace=namespace,
            quota="quotas.max_facts",
            limit=limit,
            facts=facts,
        )


class StoreClosed(StoreError):
    """The store is shutting down."""

    reason = "STORE_CLOSED"


class IndexCorrupt(StoreError):
    """An index file does not match its manifest."""

    reason = "INDEX_CORRUPT"
