import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ValueCheck(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    VALUE_CHECK_UNSPECIFIED: _ClassVar[ValueCheck]
    VALUE_CHECK_EXACT: _ClassVar[ValueCheck]
    VALUE_CHECK_DIFFERS: _ClassVar[ValueCheck]
    VALUE_CHECK_NOT_USED: _ClassVar[ValueCheck]

class Grounding(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    GROUNDING_UNSPECIFIED: _ClassVar[Grounding]
    GROUNDING_GROUNDED: _ClassVar[Grounding]
    GROUNDING_UNGROUNDED: _ClassVar[Grounding]
    GROUNDING_NO_FACTS: _ClassVar[Grounding]

class FinishReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FINISH_REASON_UNSPECIFIED: _ClassVar[FinishReason]
    FINISH_REASON_STOP: _ClassVar[FinishReason]
    FINISH_REASON_LENGTH: _ClassVar[FinishReason]
    FINISH_REASON_ABSTAINED: _ClassVar[FinishReason]

class Weight(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    WEIGHT_UNSPECIFIED: _ClassVar[Weight]
    WEIGHT_SHOWN: _ClassVar[Weight]
    WEIGHT_SUBJECT_NOT_NAMED: _ClassVar[Weight]
    WEIGHT_NOT_ASKED_FOR: _ClassVar[Weight]
    WEIGHT_BEHIND_ANOTHER: _ClassVar[Weight]
VALUE_CHECK_UNSPECIFIED: ValueCheck
VALUE_CHECK_EXACT: ValueCheck
VALUE_CHECK_DIFFERS: ValueCheck
VALUE_CHECK_NOT_USED: ValueCheck
GROUNDING_UNSPECIFIED: Grounding
GROUNDING_GROUNDED: Grounding
GROUNDING_UNGROUNDED: Grounding
GROUNDING_NO_FACTS: Grounding
FINISH_REASON_UNSPECIFIED: FinishReason
FINISH_REASON_STOP: FinishReason
FINISH_REASON_LENGTH: FinishReason
FINISH_REASON_ABSTAINED: FinishReason
WEIGHT_UNSPECIFIED: Weight
WEIGHT_SHOWN: Weight
WEIGHT_SUBJECT_NOT_NAMED: Weight
WEIGHT_NOT_ASKED_FOR: Weight
WEIGHT_BEHIND_ANOTHER: Weight

class ChatMessage(_message.Message):
    __slots__ = ("role", "content")
    ROLE_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    role: str
    content: str
    def __init__(self, role: _Optional[str] = ..., content: _Optional[str] = ...) -> None: ...

class Chat(_message.Message):
    __slots__ = ("messages",)
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    messages: _containers.RepeatedCompositeFieldContainer[ChatMessage]
    def __init__(self, messages: _Optional[_Iterable[_Union[ChatMessage, _Mapping]]] = ...) -> None: ...

class GenerateRequest(_message.Message):
    __slots__ = ("parent", "prompt", "chat", "sampling", "retrieval", "original_weights", "details", "strict")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    CHAT_FIELD_NUMBER: _ClassVar[int]
    SAMPLING_FIELD_NUMBER: _ClassVar[int]
    RETRIEVAL_FIELD_NUMBER: _ClassVar[int]
    ORIGINAL_WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    DETAILS_FIELD_NUMBER: _ClassVar[int]
    STRICT_FIELD_NUMBER: _ClassVar[int]
    parent: str
    prompt: str
    chat: Chat
    sampling: Sampling
    retrieval: Retrieval
    original_weights: bool
    details: bool
    strict: bool
    def __init__(self, parent: _Optional[str] = ..., prompt: _Optional[str] = ..., chat: _Optional[_Union[Chat, _Mapping]] = ..., sampling: _Optional[_Union[Sampling, _Mapping]] = ..., retrieval: _Optional[_Union[Retrieval, _Mapping]] = ..., original_weights: _Optional[bool] = ..., details: _Optional[bool] = ..., strict: _Optional[bool] = ...) -> None: ...

class Sampling(_message.Message):
    __slots__ = ("max_tokens", "temperature", "top_p", "seed", "stop")
    MAX_TOKENS_FIELD_NUMBER: _ClassVar[int]
    TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    TOP_P_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    STOP_FIELD_NUMBER: _ClassVar[int]
    max_tokens: int
    temperature: float
    top_p: float
    seed: int
    stop: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, max_tokens: _Optional[int] = ..., temperature: _Optional[float] = ..., top_p: _Optional[float] = ..., seed: _Optional[int] = ..., stop: _Optional[_Iterable[str]] = ...) -> None: ...

class Retrieval(_message.Message):
    __slots__ = ("top_k", "disabled", "facts", "min_revision")
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    DISABLED_FIELD_NUMBER: _ClassVar[int]
    FACTS_FIELD_NUMBER: _ClassVar[int]
    MIN_REVISION_FIELD_NUMBER: _ClassVar[int]
    top_k: int
    disabled: bool
    facts: _containers.RepeatedScalarFieldContainer[str]
    min_revision: int
    def __init__(self, top_k: _Optional[int] = ..., disabled: _Optional[bool] = ..., facts: _Optional[_Iterable[str]] = ..., min_revision: _Optional[int] = ...) -> None: ...

class Citation(_message.Message):
    __slots__ = ("fact", "uid", "revision", "subject", "relation", "object", "attention", "retrieval_score", "value_check", "layer_attention")
    class LayerAttentionEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: int
        value: float
        def __init__(self, key: _Optional[int] = ..., value: _Optional[float] = ...) -> None: ...
    FACT_FIELD_NUMBER: _ClassVar[int]
    UID_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    RELATION_FIELD_NUMBER: _ClassVar[int]
    OBJECT_FIELD_NUMBER: _ClassVar[int]
    ATTENTION_FIELD_NUMBER: _ClassVar[int]
    RETRIEVAL_SCORE_FIELD_NUMBER: _ClassVar[int]
    VALUE_CHECK_FIELD_NUMBER: _ClassVar[int]
    LAYER_ATTENTION_FIELD_NUMBER: _ClassVar[int]
    fact: str
    uid: str
    revision: int
    subject: str
    relation: str
    object: str
    attention: float
    retrieval_score: float
    value_check: ValueCheck
    layer_attention: _containers.ScalarMap[int, float]
    def __init__(self, fact: _Optional[str] = ..., uid: _Optional[str] = ..., revision: _Optional[int] = ..., subject: _Optional[str] = ..., relation: _Optional[str] = ..., object: _Optional[str] = ..., attention: _Optional[float] = ..., retrieval_score: _Optional[float] = ..., value_check: _Optional[_Union[ValueCheck, str]] = ..., layer_attention: _Optional[_Mapping[int, float]] = ...) -> None: ...

class GeneratedToken(_message.Message):
    __slots__ = ("text", "log_probability", "attention")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    LOG_PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    ATTENTION_FIELD_NUMBER: _ClassVar[int]
    text: str
    log_probability: float
    attention: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, text: _Optional[str] = ..., log_probability: _Optional[float] = ..., attention: _Optional[_Iterable[float]] = ...) -> None: ...

class Timings(_message.Message):
    __slots__ = ("retrieval", "compile", "queue", "first_token", "total")
    RETRIEVAL_FIELD_NUMBER: _ClassVar[int]
    COMPILE_FIELD_NUMBER: _ClassVar[int]
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    FIRST_TOKEN_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    retrieval: _duration_pb2.Duration
    compile: _duration_pb2.Duration
    queue: _duration_pb2.Duration
    first_token: _duration_pb2.Duration
    total: _duration_pb2.Duration
    def __init__(self, retrieval: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., compile: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., queue: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., first_token: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., total: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class GenerateResponse(_message.Message):
    __slots__ = ("text", "finish_reason", "citations", "grounding", "prompt_tokens", "generated_tokens", "injected_tokens", "timings", "namespace_revision", "model", "encoder", "tokens")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    FINISH_REASON_FIELD_NUMBER: _ClassVar[int]
    CITATIONS_FIELD_NUMBER: _ClassVar[int]
    GROUNDING_FIELD_NUMBER: _ClassVar[int]
    PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    GENERATED_TOKENS_FIELD_NUMBER: _ClassVar[int]
    INJECTED_TOKENS_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_REVISION_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    ENCODER_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    text: str
    finish_reason: FinishReason
    citations: _containers.RepeatedCompositeFieldContainer[Citation]
    grounding: Grounding
    prompt_tokens: int
    generated_tokens: int
    injected_tokens: int
    timings: Timings
    namespace_revision: int
    model: str
    encoder: str
    tokens: _containers.RepeatedCompositeFieldContainer[GeneratedToken]
    def __init__(self, text: _Optional[str] = ..., finish_reason: _Optional[_Union[FinishReason, str]] = ..., citations: _Optional[_Iterable[_Union[Citation, _Mapping]]] = ..., grounding: _Optional[_Union[Grounding, str]] = ..., prompt_tokens: _Optional[int] = ..., generated_tokens: _Optional[int] = ..., injected_tokens: _Optional[int] = ..., timings: _Optional[_Union[Timings, _Mapping]] = ..., namespace_revision: _Optional[int] = ..., model: _Optional[str] = ..., encoder: _Optional[str] = ..., tokens: _Optional[_Iterable[_Union[GeneratedToken, _Mapping]]] = ...) -> None: ...

class StreamGenerateResponse(_message.Message):
    __slots__ = ("text", "response")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    text: str
    response: GenerateResponse
    def __init__(self, text: _Optional[str] = ..., response: _Optional[_Union[GenerateResponse, _Mapping]] = ...) -> None: ...

class ScoreRequest(_message.Message):
    __slots__ = ("parent", "prompt", "continuations", "retrieval", "original_weights")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    CONTINUATIONS_FIELD_NUMBER: _ClassVar[int]
    RETRIEVAL_FIELD_NUMBER: _ClassVar[int]
    ORIGINAL_WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    parent: str
    prompt: str
    continuations: _containers.RepeatedScalarFieldContainer[str]
    retrieval: Retrieval
    original_weights: bool
    def __init__(self, parent: _Optional[str] = ..., prompt: _Optional[str] = ..., continuations: _Optional[_Iterable[str]] = ..., retrieval: _Optional[_Union[Retrieval, _Mapping]] = ..., original_weights: _Optional[bool] = ...) -> None: ...

class ContinuationScore(_message.Message):
    __slots__ = ("log_probability", "token_log_probabilities", "tokens")
    LOG_PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    TOKEN_LOG_PROBABILITIES_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    log_probability: float
    token_log_probabilities: _containers.RepeatedScalarFieldContainer[float]
    tokens: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, log_probability: _Optional[float] = ..., token_log_probabilities: _Optional[_Iterable[float]] = ..., tokens: _Optional[_Iterable[str]] = ...) -> None: ...

class ScoreResponse(_message.Message):
    __slots__ = ("scores", "citations", "namespace_revision")
    SCORES_FIELD_NUMBER: _ClassVar[int]
    CITATIONS_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_REVISION_FIELD_NUMBER: _ClassVar[int]
    scores: _containers.RepeatedCompositeFieldContainer[ContinuationScore]
    citations: _containers.RepeatedCompositeFieldContainer[Citation]
    namespace_revision: int
    def __init__(self, scores: _Optional[_Iterable[_Union[ContinuationScore, _Mapping]]] = ..., citations: _Optional[_Iterable[_Union[Citation, _Mapping]]] = ..., namespace_revision: _Optional[int] = ...) -> None: ...

class CompareRequest(_message.Message):
    __slots__ = ("parent", "prompt", "chat", "sampling", "retrieval", "details")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    CHAT_FIELD_NUMBER: _ClassVar[int]
    SAMPLING_FIELD_NUMBER: _ClassVar[int]
    RETRIEVAL_FIELD_NUMBER: _ClassVar[int]
    DETAILS_FIELD_NUMBER: _ClassVar[int]
    parent: str
    prompt: str
    chat: Chat
    sampling: Sampling
    retrieval: Retrieval
    details: bool
    def __init__(self, parent: _Optional[str] = ..., prompt: _Optional[str] = ..., chat: _Optional[_Union[Chat, _Mapping]] = ..., sampling: _Optional[_Union[Sampling, _Mapping]] = ..., retrieval: _Optional[_Union[Retrieval, _Mapping]] = ..., details: _Optional[bool] = ...) -> None: ...

class CompareResponse(_message.Message):
    __slots__ = ("original", "edited")
    ORIGINAL_FIELD_NUMBER: _ClassVar[int]
    EDITED_FIELD_NUMBER: _ClassVar[int]
    original: GenerateResponse
    edited: GenerateResponse
    def __init__(self, original: _Optional[_Union[GenerateResponse, _Mapping]] = ..., edited: _Optional[_Union[GenerateResponse, _Mapping]] = ...) -> None: ...

class WeighFactsRequest(_message.Message):
    __slots__ = ("parent", "prompt", "chat", "retrieval")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    CHAT_FIELD_NUMBER: _ClassVar[int]
    RETRIEVAL_FIELD_NUMBER: _ClassVar[int]
    parent: str
    prompt: str
    chat: Chat
    retrieval: Retrieval
    def __init__(self, parent: _Optional[str] = ..., prompt: _Optional[str] = ..., chat: _Optional[_Union[Chat, _Mapping]] = ..., retrieval: _Optional[_Union[Retrieval, _Mapping]] = ...) -> None: ...

class WeighedFact(_message.Message):
    __slots__ = ("fact", "subject", "relation", "object", "weight", "subject_cover", "fit", "retrieval_score")
    FACT_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    RELATION_FIELD_NUMBER: _ClassVar[int]
    OBJECT_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_COVER_FIELD_NUMBER: _ClassVar[int]
    FIT_FIELD_NUMBER: _ClassVar[int]
    RETRIEVAL_SCORE_FIELD_NUMBER: _ClassVar[int]
    fact: str
    subject: str
    relation: str
    object: str
    weight: Weight
    subject_cover: float
    fit: float
    retrieval_score: float
    def __init__(self, fact: _Optional[str] = ..., subject: _Optional[str] = ..., relation: _Optional[str] = ..., object: _Optional[str] = ..., weight: _Optional[_Union[Weight, str]] = ..., subject_cover: _Optional[float] = ..., fit: _Optional[float] = ..., retrieval_score: _Optional[float] = ...) -> None: ...

class WeighFactsResponse(_message.Message):
    __slots__ = ("facts", "fit_needed", "namespace_revision")
    FACTS_FIELD_NUMBER: _ClassVar[int]
    FIT_NEEDED_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_REVISION_FIELD_NUMBER: _ClassVar[int]
    facts: _containers.RepeatedCompositeFieldContainer[WeighedFact]
    fit_needed: float
    namespace_revision: int
    def __init__(self, facts: _Optional[_Iterable[_Union[WeighedFact, _Mapping]]] = ..., fit_needed: _Optional[float] = ..., namespace_revision: _Optional[int] = ...) -> None: ...
