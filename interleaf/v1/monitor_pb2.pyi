import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from interleaf.v1 import inference_pb2 as _inference_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ListInjectionsRequest(_message.Message):
    __slots__ = ("parent", "after_sequence", "page_size")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    AFTER_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    parent: str
    after_sequence: int
    page_size: int
    def __init__(self, parent: _Optional[str] = ..., after_sequence: _Optional[int] = ..., page_size: _Optional[int] = ...) -> None: ...

class ListInjectionsResponse(_message.Message):
    __slots__ = ("injections", "last_sequence")
    INJECTIONS_FIELD_NUMBER: _ClassVar[int]
    LAST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    injections: _containers.RepeatedCompositeFieldContainer[Injection]
    last_sequence: int
    def __init__(self, injections: _Optional[_Iterable[_Union[Injection, _Mapping]]] = ..., last_sequence: _Optional[int] = ...) -> None: ...

class Injection(_message.Message):
    __slots__ = ("sequence", "create_time", "parent", "method", "prompt", "text", "grounding", "finish_reason", "citations", "prompt_tokens", "generated_tokens", "injected_tokens", "timings", "namespace_revision", "retrieval_disabled")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    PARENT_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    GROUNDING_FIELD_NUMBER: _ClassVar[int]
    FINISH_REASON_FIELD_NUMBER: _ClassVar[int]
    CITATIONS_FIELD_NUMBER: _ClassVar[int]
    PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    GENERATED_TOKENS_FIELD_NUMBER: _ClassVar[int]
    INJECTED_TOKENS_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_REVISION_FIELD_NUMBER: _ClassVar[int]
    RETRIEVAL_DISABLED_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    create_time: _timestamp_pb2.Timestamp
    parent: str
    method: str
    prompt: str
    text: str
    grounding: _inference_pb2.Grounding
    finish_reason: _inference_pb2.FinishReason
    citations: _containers.RepeatedCompositeFieldContainer[_inference_pb2.Citation]
    prompt_tokens: int
    generated_tokens: int
    injected_tokens: int
    timings: _inference_pb2.Timings
    namespace_revision: int
    retrieval_disabled: bool
    def __init__(self, sequence: _Optional[int] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., parent: _Optional[str] = ..., method: _Optional[str] = ..., prompt: _Optional[str] = ..., text: _Optional[str] = ..., grounding: _Optional[_Union[_inference_pb2.Grounding, str]] = ..., finish_reason: _Optional[_Union[_inference_pb2.FinishReason, str]] = ..., citations: _Optional[_Iterable[_Union[_inference_pb2.Citation, _Mapping]]] = ..., prompt_tokens: _Optional[int] = ..., generated_tokens: _Optional[int] = ..., injected_tokens: _Optional[int] = ..., timings: _Optional[_Union[_inference_pb2.Timings, _Mapping]] = ..., namespace_revision: _Optional[int] = ..., retrieval_disabled: _Optional[bool] = ...) -> None: ...

class GetStatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Status(_message.Message):
    __slots__ = ("model", "encoder", "start_time", "running_requests", "waiting_requests", "compiled_facts", "compiled_bytes", "compiled_capacity_bytes", "compiled_hits", "compiled_misses", "calls", "answers", "grounded_answers")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    ENCODER_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    RUNNING_REQUESTS_FIELD_NUMBER: _ClassVar[int]
    WAITING_REQUESTS_FIELD_NUMBER: _ClassVar[int]
    COMPILED_FACTS_FIELD_NUMBER: _ClassVar[int]
    COMPILED_BYTES_FIELD_NUMBER: _ClassVar[int]
    COMPILED_CAPACITY_BYTES_FIELD_NUMBER: _ClassVar[int]
    COMPILED_HITS_FIELD_NUMBER: _ClassVar[int]
    COMPILED_MISSES_FIELD_NUMBER: _ClassVar[int]
    CALLS_FIELD_NUMBER: _ClassVar[int]
    ANSWERS_FIELD_NUMBER: _ClassVar[int]
    GROUNDED_ANSWERS_FIELD_NUMBER: _ClassVar[int]
    model: str
    encoder: str
    start_time: _timestamp_pb2.Timestamp
    running_requests: int
    waiting_requests: int
    compiled_facts: int
    compiled_bytes: int
    compiled_capacity_bytes: int
    compiled_hits: int
    compiled_misses: int
    calls: _containers.RepeatedCompositeFieldContainer[CallLoad]
    answers: int
    grounded_answers: int
    def __init__(self, model: _Optional[str] = ..., encoder: _Optional[str] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., running_requests: _Optional[int] = ..., waiting_requests: _Optional[int] = ..., compiled_facts: _Optional[int] = ..., compiled_bytes: _Optional[int] = ..., compiled_capacity_bytes: _Optional[int] = ..., compiled_hits: _Optional[int] = ..., compiled_misses: _Optional[int] = ..., calls: _Optional[_Iterable[_Union[CallLoad, _Mapping]]] = ..., answers: _Optional[int] = ..., grounded_answers: _Optional[int] = ...) -> None: ...

class CallLoad(_message.Message):
    __slots__ = ("kind", "running", "limit", "refused")
    KIND_FIELD_NUMBER: _ClassVar[int]
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    kind: str
    running: int
    limit: int
    refused: int
    def __init__(self, kind: _Optional[str] = ..., running: _Optional[int] = ..., limit: _Optional[int] = ..., refused: _Optional[int] = ...) -> None: ...
