import datetime

from google.protobuf import field_mask_pb2 as _field_mask_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class FactState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FACT_STATE_UNSPECIFIED: _ClassVar[FactState]
    FACT_STATE_DURABLE: _ClassVar[FactState]
    FACT_STATE_SEARCHABLE: _ClassVar[FactState]
    FACT_STATE_COMPILED: _ClassVar[FactState]

class ConflictPolicy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CONFLICT_POLICY_UNSPECIFIED: _ClassVar[ConflictPolicy]
    CONFLICT_POLICY_FAIL: _ClassVar[ConflictPolicy]
    CONFLICT_POLICY_REPLACE: _ClassVar[ConflictPolicy]
    CONFLICT_POLICY_ADD: _ClassVar[ConflictPolicy]

class FactFormat(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FACT_FORMAT_UNSPECIFIED: _ClassVar[FactFormat]
    FACT_FORMAT_CSV: _ClassVar[FactFormat]
    FACT_FORMAT_JSONL: _ClassVar[FactFormat]
    FACT_FORMAT_N_TRIPLES: _ClassVar[FactFormat]

class Quarantine(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    QUARANTINE_UNSPECIFIED: _ClassVar[Quarantine]
    QUARANTINE_FLAGGED: _ClassVar[Quarantine]
    QUARANTINE_ALL: _ClassVar[Quarantine]

class SearchMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SEARCH_MODE_UNSPECIFIED: _ClassVar[SearchMode]
    SEARCH_MODE_FUSED: _ClassVar[SearchMode]
    SEARCH_MODE_DENSE: _ClassVar[SearchMode]
    SEARCH_MODE_LEXICAL: _ClassVar[SearchMode]
FACT_STATE_UNSPECIFIED: FactState
FACT_STATE_DURABLE: FactState
FACT_STATE_SEARCHABLE: FactState
FACT_STATE_COMPILED: FactState
CONFLICT_POLICY_UNSPECIFIED: ConflictPolicy
CONFLICT_POLICY_FAIL: ConflictPolicy
CONFLICT_POLICY_REPLACE: ConflictPolicy
CONFLICT_POLICY_ADD: ConflictPolicy
FACT_FORMAT_UNSPECIFIED: FactFormat
FACT_FORMAT_CSV: FactFormat
FACT_FORMAT_JSONL: FactFormat
FACT_FORMAT_N_TRIPLES: FactFormat
QUARANTINE_UNSPECIFIED: Quarantine
QUARANTINE_FLAGGED: Quarantine
QUARANTINE_ALL: Quarantine
SEARCH_MODE_UNSPECIFIED: SearchMode
SEARCH_MODE_FUSED: SearchMode
SEARCH_MODE_DENSE: SearchMode
SEARCH_MODE_LEXICAL: SearchMode

class Fact(_message.Message):
    __slots__ = ("name", "uid", "subject", "relation", "object", "aliases", "source", "valid_from", "valid_to", "revision", "namespace_revision", "state", "etag", "create_time", "update_time", "delete_time", "purge_time")
    NAME_FIELD_NUMBER: _ClassVar[int]
    UID_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    RELATION_FIELD_NUMBER: _ClassVar[int]
    OBJECT_FIELD_NUMBER: _ClassVar[int]
    ALIASES_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    VALID_FROM_FIELD_NUMBER: _ClassVar[int]
    VALID_TO_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_REVISION_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    DELETE_TIME_FIELD_NUMBER: _ClassVar[int]
    PURGE_TIME_FIELD_NUMBER: _ClassVar[int]
    name: str
    uid: str
    subject: str
    relation: str
    object: str
    aliases: _containers.RepeatedScalarFieldContainer[str]
    source: str
    valid_from: _timestamp_pb2.Timestamp
    valid_to: _timestamp_pb2.Timestamp
    revision: int
    namespace_revision: int
    state: FactState
    etag: str
    create_time: _timestamp_pb2.Timestamp
    update_time: _timestamp_pb2.Timestamp
    delete_time: _timestamp_pb2.Timestamp
    purge_time: _timestamp_pb2.Timestamp
    def __init__(self, name: _Optional[str] = ..., uid: _Optional[str] = ..., subject: _Optional[str] = ..., relation: _Optional[str] = ..., object: _Optional[str] = ..., aliases: _Optional[_Iterable[str]] = ..., source: _Optional[str] = ..., valid_from: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., valid_to: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., revision: _Optional[int] = ..., namespace_revision: _Optional[int] = ..., state: _Optional[_Union[FactState, str]] = ..., etag: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., delete_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., purge_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class FactRevision(_message.Message):
    __slots__ = ("name", "fact", "action", "principal", "create_time")
    NAME_FIELD_NUMBER: _ClassVar[int]
    FACT_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    name: str
    fact: Fact
    action: str
    principal: str
    create_time: _timestamp_pb2.Timestamp
    def __init__(self, name: _Optional[str] = ..., fact: _Optional[_Union[Fact, _Mapping]] = ..., action: _Optional[str] = ..., principal: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class CreateFactRequest(_message.Message):
    __slots__ = ("parent", "fact_id", "fact", "on_conflict", "request_id", "validate_only")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    FACT_ID_FIELD_NUMBER: _ClassVar[int]
    FACT_FIELD_NUMBER: _ClassVar[int]
    ON_CONFLICT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    parent: str
    fact_id: str
    fact: Fact
    on_conflict: ConflictPolicy
    request_id: str
    validate_only: bool
    def __init__(self, parent: _Optional[str] = ..., fact_id: _Optional[str] = ..., fact: _Optional[_Union[Fact, _Mapping]] = ..., on_conflict: _Optional[_Union[ConflictPolicy, str]] = ..., request_id: _Optional[str] = ..., validate_only: _Optional[bool] = ...) -> None: ...

class GetFactRequest(_message.Message):
    __slots__ = ("name", "min_revision")
    NAME_FIELD_NUMBER: _ClassVar[int]
    MIN_REVISION_FIELD_NUMBER: _ClassVar[int]
    name: str
    min_revision: int
    def __init__(self, name: _Optional[str] = ..., min_revision: _Optional[int] = ...) -> None: ...

class ListFactsRequest(_message.Message):
    __slots__ = ("parent", "page_size", "page_token", "filter", "show_deleted", "min_revision")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    SHOW_DELETED_FIELD_NUMBER: _ClassVar[int]
    MIN_REVISION_FIELD_NUMBER: _ClassVar[int]
    parent: str
    page_size: int
    page_token: str
    filter: str
    show_deleted: bool
    min_revision: int
    def __init__(self, parent: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., filter: _Optional[str] = ..., show_deleted: _Optional[bool] = ..., min_revision: _Optional[int] = ...) -> None: ...

class ListFactsResponse(_message.Message):
    __slots__ = ("facts", "next_page_token", "namespace_revision")
    FACTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_REVISION_FIELD_NUMBER: _ClassVar[int]
    facts: _containers.RepeatedCompositeFieldContainer[Fact]
    next_page_token: str
    namespace_revision: int
    def __init__(self, facts: _Optional[_Iterable[_Union[Fact, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., namespace_revision: _Optional[int] = ...) -> None: ...

class UpdateFactRequest(_message.Message):
    __slots__ = ("fact", "update_mask", "request_id", "validate_only")
    FACT_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    fact: Fact
    update_mask: _field_mask_pb2.FieldMask
    request_id: str
    validate_only: bool
    def __init__(self, fact: _Optional[_Union[Fact, _Mapping]] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ..., request_id: _Optional[str] = ..., validate_only: _Optional[bool] = ...) -> None: ...

class DeleteFactRequest(_message.Message):
    __slots__ = ("name", "etag", "request_id", "validate_only")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    name: str
    etag: str
    request_id: str
    validate_only: bool
    def __init__(self, name: _Optional[str] = ..., etag: _Optional[str] = ..., request_id: _Optional[str] = ..., validate_only: _Optional[bool] = ...) -> None: ...

class UndeleteFactRequest(_message.Message):
    __slots__ = ("name", "etag", "request_id", "validate_only")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    name: str
    etag: str
    request_id: str
    validate_only: bool
    def __init__(self, name: _Optional[str] = ..., etag: _Optional[str] = ..., request_id: _Optional[str] = ..., validate_only: _Optional[bool] = ...) -> None: ...

class BatchCreateFactsRequest(_message.Message):
    __slots__ = ("parent", "requests", "request_id", "validate_only")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    parent: str
    requests: _containers.RepeatedCompositeFieldContainer[CreateFactRequest]
    request_id: str
    validate_only: bool
    def __init__(self, parent: _Optional[str] = ..., requests: _Optional[_Iterable[_Union[CreateFactRequest, _Mapping]]] = ..., request_id: _Optional[str] = ..., validate_only: _Optional[bool] = ...) -> None: ...

class BatchCreateFactsResponse(_message.Message):
    __slots__ = ("facts", "namespace_revision")
    FACTS_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_REVISION_FIELD_NUMBER: _ClassVar[int]
    facts: _containers.RepeatedCompositeFieldContainer[Fact]
    namespace_revision: int
    def __init__(self, facts: _Optional[_Iterable[_Union[Fact, _Mapping]]] = ..., namespace_revision: _Optional[int] = ...) -> None: ...

class BatchGetFactsRequest(_message.Message):
    __slots__ = ("parent", "names")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    NAMES_FIELD_NUMBER: _ClassVar[int]
    parent: str
    names: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, parent: _Optional[str] = ..., names: _Optional[_Iterable[str]] = ...) -> None: ...

class BatchGetFactsResponse(_message.Message):
    __slots__ = ("facts",)
    FACTS_FIELD_NUMBER: _ClassVar[int]
    facts: _containers.RepeatedCompositeFieldContainer[Fact]
    def __init__(self, facts: _Optional[_Iterable[_Union[Fact, _Mapping]]] = ...) -> None: ...

class BatchDeleteFactsRequest(_message.Message):
    __slots__ = ("parent", "names", "request_id", "validate_only")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    NAMES_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    parent: str
    names: _containers.RepeatedScalarFieldContainer[str]
    request_id: str
    validate_only: bool
    def __init__(self, parent: _Optional[str] = ..., names: _Optional[_Iterable[str]] = ..., request_id: _Optional[str] = ..., validate_only: _Optional[bool] = ...) -> None: ...

class BatchDeleteFactsResponse(_message.Message):
    __slots__ = ("facts", "namespace_revision")
    FACTS_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_REVISION_FIELD_NUMBER: _ClassVar[int]
    facts: _containers.RepeatedCompositeFieldContainer[Fact]
    namespace_revision: int
    def __init__(self, facts: _Optional[_Iterable[_Union[Fact, _Mapping]]] = ..., namespace_revision: _Optional[int] = ...) -> None: ...

class ListFactRevisionsRequest(_message.Message):
    __slots__ = ("name", "page_size", "page_token")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    name: str
    page_size: int
    page_token: str
    def __init__(self, name: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListFactRevisionsResponse(_message.Message):
    __slots__ = ("revisions", "next_page_token")
    REVISIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    revisions: _containers.RepeatedCompositeFieldContainer[FactRevision]
    next_page_token: str
    def __init__(self, revisions: _Optional[_Iterable[_Union[FactRevision, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class RollbackFactRequest(_message.Message):
    __slots__ = ("name", "revision", "etag", "request_id", "validate_only")
    NAME_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    name: str
    revision: int
    etag: str
    request_id: str
    validate_only: bool
    def __init__(self, name: _Optional[str] = ..., revision: _Optional[int] = ..., etag: _Optional[str] = ..., request_id: _Optional[str] = ..., validate_only: _Optional[bool] = ...) -> None: ...

class SearchFactsRequest(_message.Message):
    __slots__ = ("parent", "query", "top_k", "mode", "min_revision")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    QUERY_FIELD_NUMBER: _ClassVar[int]
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    MIN_REVISION_FIELD_NUMBER: _ClassVar[int]
    parent: str
    query: str
    top_k: int
    mode: SearchMode
    min_revision: int
    def __init__(self, parent: _Optional[str] = ..., query: _Optional[str] = ..., top_k: _Optional[int] = ..., mode: _Optional[_Union[SearchMode, str]] = ..., min_revision: _Optional[int] = ...) -> None: ...

class SearchFactsResponse(_message.Message):
    __slots__ = ("hits", "namespace_revision")
    HITS_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_REVISION_FIELD_NUMBER: _ClassVar[int]
    hits: _containers.RepeatedCompositeFieldContainer[SearchHit]
    namespace_revision: int
    def __init__(self, hits: _Optional[_Iterable[_Union[SearchHit, _Mapping]]] = ..., namespace_revision: _Optional[int] = ...) -> None: ...

class SearchHit(_message.Message):
    __slots__ = ("fact", "score", "subject_cover", "relation_score", "dense_score")
    FACT_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_COVER_FIELD_NUMBER: _ClassVar[int]
    RELATION_SCORE_FIELD_NUMBER: _ClassVar[int]
    DENSE_SCORE_FIELD_NUMBER: _ClassVar[int]
    fact: Fact
    score: float
    subject_cover: float
    relation_score: float
    dense_score: float
    def __init__(self, fact: _Optional[_Union[Fact, _Mapping]] = ..., score: _Optional[float] = ..., subject_cover: _Optional[float] = ..., relation_score: _Optional[float] = ..., dense_score: _Optional[float] = ...) -> None: ...

class ImportFactsRequest(_message.Message):
    __slots__ = ("header", "data")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    header: ImportHeader
    data: bytes
    def __init__(self, header: _Optional[_Union[ImportHeader, _Mapping]] = ..., data: _Optional[bytes] = ...) -> None: ...

class ImportHeader(_message.Message):
    __slots__ = ("parent", "format", "on_conflict", "import_id", "source", "validate_only", "quarantine")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    ON_CONFLICT_FIELD_NUMBER: _ClassVar[int]
    IMPORT_ID_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    QUARANTINE_FIELD_NUMBER: _ClassVar[int]
    parent: str
    format: FactFormat
    on_conflict: ConflictPolicy
    import_id: str
    source: str
    validate_only: bool
    quarantine: Quarantine
    def __init__(self, parent: _Optional[str] = ..., format: _Optional[_Union[FactFormat, str]] = ..., on_conflict: _Optional[_Union[ConflictPolicy, str]] = ..., import_id: _Optional[str] = ..., source: _Optional[str] = ..., validate_only: _Optional[bool] = ..., quarantine: _Optional[_Union[Quarantine, str]] = ...) -> None: ...

class ImportFactsResponse(_message.Message):
    __slots__ = ("import_id", "rows_read", "rows_written", "rows_unchanged", "rows_failed", "failures", "namespace_revision", "done", "rows_held")
    IMPORT_ID_FIELD_NUMBER: _ClassVar[int]
    ROWS_READ_FIELD_NUMBER: _ClassVar[int]
    ROWS_WRITTEN_FIELD_NUMBER: _ClassVar[int]
    ROWS_UNCHANGED_FIELD_NUMBER: _ClassVar[int]
    ROWS_FAILED_FIELD_NUMBER: _ClassVar[int]
    FAILURES_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_REVISION_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    ROWS_HELD_FIELD_NUMBER: _ClassVar[int]
    import_id: str
    rows_read: int
    rows_written: int
    rows_unchanged: int
    rows_failed: int
    failures: _containers.RepeatedCompositeFieldContainer[ImportFailure]
    namespace_revision: int
    done: bool
    rows_held: int
    def __init__(self, import_id: _Optional[str] = ..., rows_read: _Optional[int] = ..., rows_written: _Optional[int] = ..., rows_unchanged: _Optional[int] = ..., rows_failed: _Optional[int] = ..., failures: _Optional[_Iterable[_Union[ImportFailure, _Mapping]]] = ..., namespace_revision: _Optional[int] = ..., done: _Optional[bool] = ..., rows_held: _Optional[int] = ...) -> None: ...

class ImportFailure(_message.Message):
    __slots__ = ("line", "reason", "message")
    LINE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    line: int
    reason: str
    message: str
    def __init__(self, line: _Optional[int] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class ExportFactsRequest(_message.Message):
    __slots__ = ("parent", "format", "filter")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    parent: str
    format: FactFormat
    filter: str
    def __init__(self, parent: _Optional[str] = ..., format: _Optional[_Union[FactFormat, str]] = ..., filter: _Optional[str] = ...) -> None: ...

class ExportFactsResponse(_message.Message):
    __slots__ = ("data",)
    DATA_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    def __init__(self, data: _Optional[bytes] = ...) -> None: ...
