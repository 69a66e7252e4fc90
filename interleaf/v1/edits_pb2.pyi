import datetime

from google.longrunning import operations_pb2 as _operations_pb2
from google.protobuf import empty_pb2 as _empty_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class EditState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EDIT_STATE_UNSPECIFIED: _ClassVar[EditState]
    EDIT_STATE_COMPUTED: _ClassVar[EditState]
    EDIT_STATE_APPLIED: _ClassVar[EditState]
    EDIT_STATE_NOT_RESTORED: _ClassVar[EditState]
    EDIT_STATE_DAMAGED: _ClassVar[EditState]
EDIT_STATE_UNSPECIFIED: EditState
EDIT_STATE_COMPUTED: EditState
EDIT_STATE_APPLIED: EditState
EDIT_STATE_NOT_RESTORED: EditState
EDIT_STATE_DAMAGED: EditState

class EditFact(_message.Message):
    __slots__ = ("prompt", "subject", "target", "old", "relation", "paraphrases", "neighbours")
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    OLD_FIELD_NUMBER: _ClassVar[int]
    RELATION_FIELD_NUMBER: _ClassVar[int]
    PARAPHRASES_FIELD_NUMBER: _ClassVar[int]
    NEIGHBOURS_FIELD_NUMBER: _ClassVar[int]
    prompt: str
    subject: str
    target: str
    old: str
    relation: str
    paraphrases: _containers.RepeatedScalarFieldContainer[str]
    neighbours: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, prompt: _Optional[str] = ..., subject: _Optional[str] = ..., target: _Optional[str] = ..., old: _Optional[str] = ..., relation: _Optional[str] = ..., paraphrases: _Optional[_Iterable[str]] = ..., neighbours: _Optional[_Iterable[str]] = ...) -> None: ...

class Edit(_message.Message):
    __slots__ = ("name", "state", "method", "namespace", "facts", "settings", "digest", "model_digest", "tensors", "problems", "problem", "create_time", "apply_time", "compute_seconds", "size_bytes", "live")
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    FACTS_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    MODEL_DIGEST_FIELD_NUMBER: _ClassVar[int]
    TENSORS_FIELD_NUMBER: _ClassVar[int]
    PROBLEMS_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    APPLY_TIME_FIELD_NUMBER: _ClassVar[int]
    COMPUTE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    LIVE_FIELD_NUMBER: _ClassVar[int]
    name: str
    state: EditState
    method: str
    namespace: str
    facts: _containers.RepeatedCompositeFieldContainer[EditFact]
    settings: str
    digest: str
    model_digest: str
    tensors: _containers.RepeatedCompositeFieldContainer[EditedTensor]
    problems: _containers.RepeatedScalarFieldContainer[str]
    problem: str
    create_time: _timestamp_pb2.Timestamp
    apply_time: _timestamp_pb2.Timestamp
    compute_seconds: float
    size_bytes: int
    live: _containers.RepeatedCompositeFieldContainer[LiveCheck]
    def __init__(self, name: _Optional[str] = ..., state: _Optional[_Union[EditState, str]] = ..., method: _Optional[str] = ..., namespace: _Optional[str] = ..., facts: _Optional[_Iterable[_Union[EditFact, _Mapping]]] = ..., settings: _Optional[str] = ..., digest: _Optional[str] = ..., model_digest: _Optional[str] = ..., tensors: _Optional[_Iterable[_Union[EditedTensor, _Mapping]]] = ..., problems: _Optional[_Iterable[str]] = ..., problem: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., apply_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., compute_seconds: _Optional[float] = ..., size_bytes: _Optional[int] = ..., live: _Optional[_Iterable[_Union[LiveCheck, _Mapping]]] = ...) -> None: ...

class EditedTensor(_message.Message):
    __slots__ = ("name", "kind", "before", "after")
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    name: str
    kind: str
    before: str
    after: str
    def __init__(self, name: _Optional[str] = ..., kind: _Optional[str] = ..., before: _Optional[str] = ..., after: _Optional[str] = ...) -> None: ...

class LiveCheck(_message.Message):
    __slots__ = ("prompt", "target", "before", "after")
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    prompt: str
    target: str
    before: ObjectStanding
    after: ObjectStanding
    def __init__(self, prompt: _Optional[str] = ..., target: _Optional[str] = ..., before: _Optional[_Union[ObjectStanding, _Mapping]] = ..., after: _Optional[_Union[ObjectStanding, _Mapping]] = ...) -> None: ...

class ObjectStanding(_message.Message):
    __slots__ = ("log_probability", "probability", "rank")
    LOG_PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    RANK_FIELD_NUMBER: _ClassVar[int]
    log_probability: float
    probability: float
    rank: int
    def __init__(self, log_probability: _Optional[float] = ..., probability: _Optional[float] = ..., rank: _Optional[int] = ...) -> None: ...

class ReceiptLine(_message.Message):
    __slots__ = ("fact", "kind", "prompt", "object", "is_new", "before", "after")
    FACT_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    OBJECT_FIELD_NUMBER: _ClassVar[int]
    IS_NEW_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    fact: int
    kind: str
    prompt: str
    object: str
    is_new: bool
    before: ObjectStanding
    after: ObjectStanding
    def __init__(self, fact: _Optional[int] = ..., kind: _Optional[str] = ..., prompt: _Optional[str] = ..., object: _Optional[str] = ..., is_new: _Optional[bool] = ..., before: _Optional[_Union[ObjectStanding, _Mapping]] = ..., after: _Optional[_Union[ObjectStanding, _Mapping]] = ...) -> None: ...

class ReceiptText(_message.Message):
    __slots__ = ("fact", "prompt", "before", "after", "is_target")
    FACT_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    IS_TARGET_FIELD_NUMBER: _ClassVar[int]
    fact: int
    prompt: str
    before: str
    after: str
    is_target: bool
    def __init__(self, fact: _Optional[int] = ..., prompt: _Optional[str] = ..., before: _Optional[str] = ..., after: _Optional[str] = ..., is_target: _Optional[bool] = ...) -> None: ...

class EditReceipt(_message.Message):
    __slots__ = ("edit", "lines", "texts", "problems")
    EDIT_FIELD_NUMBER: _ClassVar[int]
    LINES_FIELD_NUMBER: _ClassVar[int]
    TEXTS_FIELD_NUMBER: _ClassVar[int]
    PROBLEMS_FIELD_NUMBER: _ClassVar[int]
    edit: str
    lines: _containers.RepeatedCompositeFieldContainer[ReceiptLine]
    texts: _containers.RepeatedCompositeFieldContainer[ReceiptText]
    problems: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, edit: _Optional[str] = ..., lines: _Optional[_Iterable[_Union[ReceiptLine, _Mapping]]] = ..., texts: _Optional[_Iterable[_Union[ReceiptText, _Mapping]]] = ..., problems: _Optional[_Iterable[str]] = ...) -> None: ...

class CreateEditRequest(_message.Message):
    __slots__ = ("parent", "edit_id", "method", "facts", "settings", "request_id", "validate_only")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    EDIT_ID_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    FACTS_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    parent: str
    edit_id: str
    method: str
    facts: _containers.RepeatedCompositeFieldContainer[EditFact]
    settings: str
    request_id: str
    validate_only: bool
    def __init__(self, parent: _Optional[str] = ..., edit_id: _Optional[str] = ..., method: _Optional[str] = ..., facts: _Optional[_Iterable[_Union[EditFact, _Mapping]]] = ..., settings: _Optional[str] = ..., request_id: _Optional[str] = ..., validate_only: _Optional[bool] = ...) -> None: ...

class ListEditsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListEditsResponse(_message.Message):
    __slots__ = ("edits", "next_page_token")
    EDITS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    edits: _containers.RepeatedCompositeFieldContainer[Edit]
    next_page_token: str
    def __init__(self, edits: _Optional[_Iterable[_Union[Edit, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetEditRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class GetEditReceiptRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class ApplyEditRequest(_message.Message):
    __slots__ = ("name", "all_namespaces", "validate_only", "combine")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ALL_NAMESPACES_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    COMBINE_FIELD_NUMBER: _ClassVar[int]
    name: str
    all_namespaces: bool
    validate_only: bool
    combine: bool
    def __init__(self, name: _Optional[str] = ..., all_namespaces: _Optional[bool] = ..., validate_only: _Optional[bool] = ..., combine: _Optional[bool] = ...) -> None: ...

class RevertEditRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class DeleteEditRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class CompareEditsRequest(_message.Message):
    __slots__ = ("parent", "methods", "facts", "request_id", "validate_only", "circuits")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    METHODS_FIELD_NUMBER: _ClassVar[int]
    FACTS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    CIRCUITS_FIELD_NUMBER: _ClassVar[int]
    parent: str
    methods: _containers.RepeatedScalarFieldContainer[str]
    facts: _containers.RepeatedCompositeFieldContainer[EditFact]
    request_id: str
    validate_only: bool
    circuits: bool
    def __init__(self, parent: _Optional[str] = ..., methods: _Optional[_Iterable[str]] = ..., facts: _Optional[_Iterable[_Union[EditFact, _Mapping]]] = ..., request_id: _Optional[str] = ..., validate_only: _Optional[bool] = ..., circuits: _Optional[bool] = ...) -> None: ...

class EditWorkMetadata(_message.Message):
    __slots__ = ("edit", "kind", "methods", "facts", "stage", "share", "start_time")
    EDIT_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    METHODS_FIELD_NUMBER: _ClassVar[int]
    FACTS_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    edit: str
    kind: str
    methods: _containers.RepeatedScalarFieldContainer[str]
    facts: int
    stage: str
    share: float
    start_time: _timestamp_pb2.Timestamp
    def __init__(self, edit: _Optional[str] = ..., kind: _Optional[str] = ..., methods: _Optional[_Iterable[str]] = ..., facts: _Optional[int] = ..., stage: _Optional[str] = ..., share: _Optional[float] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class LayerReading(_message.Message):
    __slots__ = ("layer", "rank_last", "rank_subject", "probability_last", "probability_subject")
    LAYER_FIELD_NUMBER: _ClassVar[int]
    RANK_LAST_FIELD_NUMBER: _ClassVar[int]
    RANK_SUBJECT_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_LAST_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_SUBJECT_FIELD_NUMBER: _ClassVar[int]
    layer: int
    rank_last: float
    rank_subject: float
    probability_last: float
    probability_subject: float
    def __init__(self, layer: _Optional[int] = ..., rank_last: _Optional[float] = ..., rank_subject: _Optional[float] = ..., probability_last: _Optional[float] = ..., probability_subject: _Optional[float] = ...) -> None: ...

class HeadChange(_message.Message):
    __slots__ = ("layer", "head", "before", "after", "tokens_before", "tokens_after")
    LAYER_FIELD_NUMBER: _ClassVar[int]
    HEAD_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    TOKENS_BEFORE_FIELD_NUMBER: _ClassVar[int]
    TOKENS_AFTER_FIELD_NUMBER: _ClassVar[int]
    layer: int
    head: int
    before: float
    after: float
    tokens_before: _containers.RepeatedScalarFieldContainer[str]
    tokens_after: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, layer: _Optional[int] = ..., head: _Optional[int] = ..., before: _Optional[float] = ..., after: _Optional[float] = ..., tokens_before: _Optional[_Iterable[str]] = ..., tokens_after: _Optional[_Iterable[str]] = ...) -> None: ...

class MethodComparison(_message.Message):
    __slots__ = ("method", "figures", "layers", "readings", "heads", "said")
    class FiguresEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    METHOD_FIELD_NUMBER: _ClassVar[int]
    FIGURES_FIELD_NUMBER: _ClassVar[int]
    LAYERS_FIELD_NUMBER: _ClassVar[int]
    READINGS_FIELD_NUMBER: _ClassVar[int]
    HEADS_FIELD_NUMBER: _ClassVar[int]
    SAID_FIELD_NUMBER: _ClassVar[int]
    method: str
    figures: _containers.ScalarMap[str, float]
    layers: _containers.RepeatedScalarFieldContainer[int]
    readings: _containers.RepeatedCompositeFieldContainer[LayerReading]
    heads: _containers.RepeatedCompositeFieldContainer[HeadChange]
    said: str
    def __init__(self, method: _Optional[str] = ..., figures: _Optional[_Mapping[str, float]] = ..., layers: _Optional[_Iterable[int]] = ..., readings: _Optional[_Iterable[_Union[LayerReading, _Mapping]]] = ..., heads: _Optional[_Iterable[_Union[HeadChange, _Mapping]]] = ..., said: _Optional[str] = ...) -> None: ...

class EditComparison(_message.Message):
    __slots__ = ("methods", "left_out", "svg")
    class LeftOutEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    METHODS_FIELD_NUMBER: _ClassVar[int]
    LEFT_OUT_FIELD_NUMBER: _ClassVar[int]
    SVG_FIELD_NUMBER: _ClassVar[int]
    methods: _containers.RepeatedCompositeFieldContainer[MethodComparison]
    left_out: _containers.ScalarMap[str, str]
    svg: str
    def __init__(self, methods: _Optional[_Iterable[_Union[MethodComparison, _Mapping]]] = ..., left_out: _Optional[_Mapping[str, str]] = ..., svg: _Optional[str] = ...) -> None: ...
