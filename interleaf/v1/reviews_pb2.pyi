import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from interleaf.v1 import facts_pb2 as _facts_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ReviewState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REVIEW_STATE_UNSPECIFIED: _ClassVar[ReviewState]
    REVIEW_STATE_HELD: _ClassVar[ReviewState]
    REVIEW_STATE_APPROVED: _ClassVar[ReviewState]
    REVIEW_STATE_REJECTED: _ClassVar[ReviewState]

class ReviewFlag(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REVIEW_FLAG_UNSPECIFIED: _ClassVar[ReviewFlag]
    REVIEW_FLAG_CONTRADICTS_STORED: _ClassVar[ReviewFlag]
    REVIEW_FLAG_CONTRADICTS_FILE: _ClassVar[ReviewFlag]
    REVIEW_FLAG_INSTRUCTION_LIKE: _ClassVar[ReviewFlag]
    REVIEW_FLAG_HIDDEN_TEXT: _ClassVar[ReviewFlag]
    REVIEW_FLAG_NOT_FLAGGED: _ClassVar[ReviewFlag]
REVIEW_STATE_UNSPECIFIED: ReviewState
REVIEW_STATE_HELD: ReviewState
REVIEW_STATE_APPROVED: ReviewState
REVIEW_STATE_REJECTED: ReviewState
REVIEW_FLAG_UNSPECIFIED: ReviewFlag
REVIEW_FLAG_CONTRADICTS_STORED: ReviewFlag
REVIEW_FLAG_CONTRADICTS_FILE: ReviewFlag
REVIEW_FLAG_INSTRUCTION_LIKE: ReviewFlag
REVIEW_FLAG_HIDDEN_TEXT: ReviewFlag
REVIEW_FLAG_NOT_FLAGGED: ReviewFlag

class Review(_message.Message):
    __slots__ = ("name", "fact", "flags", "conflicts", "import_id", "line", "on_conflict", "principal", "create_time", "state", "decided_by", "decide_time", "written", "namespace_revision")
    NAME_FIELD_NUMBER: _ClassVar[int]
    FACT_FIELD_NUMBER: _ClassVar[int]
    FLAGS_FIELD_NUMBER: _ClassVar[int]
    CONFLICTS_FIELD_NUMBER: _ClassVar[int]
    IMPORT_ID_FIELD_NUMBER: _ClassVar[int]
    LINE_FIELD_NUMBER: _ClassVar[int]
    ON_CONFLICT_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    DECIDED_BY_FIELD_NUMBER: _ClassVar[int]
    DECIDE_TIME_FIELD_NUMBER: _ClassVar[int]
    WRITTEN_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_REVISION_FIELD_NUMBER: _ClassVar[int]
    name: str
    fact: _facts_pb2.Fact
    flags: _containers.RepeatedScalarFieldContainer[ReviewFlag]
    conflicts: _containers.RepeatedScalarFieldContainer[str]
    import_id: str
    line: int
    on_conflict: _facts_pb2.ConflictPolicy
    principal: str
    create_time: _timestamp_pb2.Timestamp
    state: ReviewState
    decided_by: str
    decide_time: _timestamp_pb2.Timestamp
    written: str
    namespace_revision: int
    def __init__(self, name: _Optional[str] = ..., fact: _Optional[_Union[_facts_pb2.Fact, _Mapping]] = ..., flags: _Optional[_Iterable[_Union[ReviewFlag, str]]] = ..., conflicts: _Optional[_Iterable[str]] = ..., import_id: _Optional[str] = ..., line: _Optional[int] = ..., on_conflict: _Optional[_Union[_facts_pb2.ConflictPolicy, str]] = ..., principal: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., state: _Optional[_Union[ReviewState, str]] = ..., decided_by: _Optional[str] = ..., decide_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., written: _Optional[str] = ..., namespace_revision: _Optional[int] = ...) -> None: ...

class ListReviewsRequest(_message.Message):
    __slots__ = ("parent", "page_size", "page_token", "state", "import_id")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    IMPORT_ID_FIELD_NUMBER: _ClassVar[int]
    parent: str
    page_size: int
    page_token: str
    state: ReviewState
    import_id: str
    def __init__(self, parent: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., state: _Optional[_Union[ReviewState, str]] = ..., import_id: _Optional[str] = ...) -> None: ...

class ListReviewsResponse(_message.Message):
    __slots__ = ("reviews", "next_page_token")
    REVIEWS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    reviews: _containers.RepeatedCompositeFieldContainer[Review]
    next_page_token: str
    def __init__(self, reviews: _Optional[_Iterable[_Union[Review, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetReviewRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class ApproveReviewRequest(_message.Message):
    __slots__ = ("name", "on_conflict", "request_id", "validate_only")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ON_CONFLICT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    name: str
    on_conflict: _facts_pb2.ConflictPolicy
    request_id: str
    validate_only: bool
    def __init__(self, name: _Optional[str] = ..., on_conflict: _Optional[_Union[_facts_pb2.ConflictPolicy, str]] = ..., request_id: _Optional[str] = ..., validate_only: _Optional[bool] = ...) -> None: ...

class RejectReviewRequest(_message.Message):
    __slots__ = ("name", "request_id", "validate_only")
    NAME_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    name: str
    request_id: str
    validate_only: bool
    def __init__(self, name: _Optional[str] = ..., request_id: _Optional[str] = ..., validate_only: _Optional[bool] = ...) -> None: ...
