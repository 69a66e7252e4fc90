import datetime

from google.longrunning import operations_pb2 as _operations_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class EncoderState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ENCODER_STATE_UNSPECIFIED: _ClassVar[EncoderState]
    ENCODER_STATE_TRAINED: _ClassVar[EncoderState]
    ENCODER_STATE_UNFINISHED: _ClassVar[EncoderState]
    ENCODER_STATE_DAMAGED: _ClassVar[EncoderState]
ENCODER_STATE_UNSPECIFIED: EncoderState
ENCODER_STATE_TRAINED: EncoderState
ENCODER_STATE_UNFINISHED: EncoderState
ENCODER_STATE_DAMAGED: EncoderState

class Encoder(_message.Message):
    __slots__ = ("name", "state", "shipped", "digest", "model", "model_digest", "layers", "steps", "train_time", "figures", "calibration", "size_bytes", "recipe")
    class FiguresEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    SHIPPED_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    MODEL_DIGEST_FIELD_NUMBER: _ClassVar[int]
    LAYERS_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    TRAIN_TIME_FIELD_NUMBER: _ClassVar[int]
    FIGURES_FIELD_NUMBER: _ClassVar[int]
    CALIBRATION_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    RECIPE_FIELD_NUMBER: _ClassVar[int]
    name: str
    state: EncoderState
    shipped: bool
    digest: str
    model: str
    model_digest: str
    layers: _containers.RepeatedScalarFieldContainer[int]
    steps: int
    train_time: _duration_pb2.Duration
    figures: _containers.ScalarMap[str, float]
    calibration: Calibration
    size_bytes: int
    recipe: str
    def __init__(self, name: _Optional[str] = ..., state: _Optional[_Union[EncoderState, str]] = ..., shipped: _Optional[bool] = ..., digest: _Optional[str] = ..., model: _Optional[str] = ..., model_digest: _Optional[str] = ..., layers: _Optional[_Iterable[int]] = ..., steps: _Optional[int] = ..., train_time: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., figures: _Optional[_Mapping[str, float]] = ..., calibration: _Optional[_Union[Calibration, _Mapping]] = ..., size_bytes: _Optional[int] = ..., recipe: _Optional[str] = ...) -> None: ...

class Calibration(_message.Message):
    __slots__ = ("encoder", "digest", "grounded_threshold", "prior_scale", "prior_offset", "top_k", "figures", "namespace", "create_time")
    class FiguresEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    ENCODER_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    GROUNDED_THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    PRIOR_SCALE_FIELD_NUMBER: _ClassVar[int]
    PRIOR_OFFSET_FIELD_NUMBER: _ClassVar[int]
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    FIGURES_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    encoder: str
    digest: str
    grounded_threshold: float
    prior_scale: float
    prior_offset: float
    top_k: int
    figures: _containers.ScalarMap[str, float]
    namespace: str
    create_time: _timestamp_pb2.Timestamp
    def __init__(self, encoder: _Optional[str] = ..., digest: _Optional[str] = ..., grounded_threshold: _Optional[float] = ..., prior_scale: _Optional[float] = ..., prior_offset: _Optional[float] = ..., top_k: _Optional[int] = ..., figures: _Optional[_Mapping[str, float]] = ..., namespace: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ListEncodersRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListEncodersResponse(_message.Message):
    __slots__ = ("encoders", "next_page_token")
    ENCODERS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    encoders: _containers.RepeatedCompositeFieldContainer[Encoder]
    next_page_token: str
    def __init__(self, encoders: _Optional[_Iterable[_Union[Encoder, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetEncoderRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class TrainEncoderRequest(_message.Message):
    __slots__ = ("encoder_id", "model", "recipe", "steps", "exclude_pairs", "request_id", "validate_only")
    ENCODER_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    RECIPE_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    EXCLUDE_PAIRS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    encoder_id: str
    model: str
    recipe: str
    steps: int
    exclude_pairs: str
    request_id: str
    validate_only: bool
    def __init__(self, encoder_id: _Optional[str] = ..., model: _Optional[str] = ..., recipe: _Optional[str] = ..., steps: _Optional[int] = ..., exclude_pairs: _Optional[str] = ..., request_id: _Optional[str] = ..., validate_only: _Optional[bool] = ...) -> None: ...

class EvaluateEncoderRequest(_message.Message):
    __slots__ = ("name", "problems", "seed", "request_id", "validate_only")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PROBLEMS_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    name: str
    problems: int
    seed: int
    request_id: str
    validate_only: bool
    def __init__(self, name: _Optional[str] = ..., problems: _Optional[int] = ..., seed: _Optional[int] = ..., request_id: _Optional[str] = ..., validate_only: _Optional[bool] = ...) -> None: ...

class CalibrateEncoderRequest(_message.Message):
    __slots__ = ("name", "namespace", "questions", "seed", "request_id", "validate_only")
    NAME_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    QUESTIONS_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    name: str
    namespace: str
    questions: int
    seed: int
    request_id: str
    validate_only: bool
    def __init__(self, name: _Optional[str] = ..., namespace: _Optional[str] = ..., questions: _Optional[int] = ..., seed: _Optional[int] = ..., request_id: _Optional[str] = ..., validate_only: _Optional[bool] = ...) -> None: ...

class SweepLayersRequest(_message.Message):
    __slots__ = ("model", "pairs", "seed", "request_id", "validate_only")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PAIRS_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    model: str
    pairs: int
    seed: int
    request_id: str
    validate_only: bool
    def __init__(self, model: _Optional[str] = ..., pairs: _Optional[int] = ..., seed: _Optional[int] = ..., request_id: _Optional[str] = ..., validate_only: _Optional[bool] = ...) -> None: ...

class EncoderWorkMetadata(_message.Message):
    __slots__ = ("encoder", "model", "stage", "share", "step", "steps", "losses", "start_time")
    class LossesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    ENCODER_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    LOSSES_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    encoder: str
    model: str
    stage: str
    share: float
    step: int
    steps: int
    losses: _containers.ScalarMap[str, float]
    start_time: _timestamp_pb2.Timestamp
    def __init__(self, encoder: _Optional[str] = ..., model: _Optional[str] = ..., stage: _Optional[str] = ..., share: _Optional[float] = ..., step: _Optional[int] = ..., steps: _Optional[int] = ..., losses: _Optional[_Mapping[str, float]] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Evaluation(_message.Message):
    __slots__ = ("encoder", "digest", "figures", "questions")
    class FiguresEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    ENCODER_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    FIGURES_FIELD_NUMBER: _ClassVar[int]
    QUESTIONS_FIELD_NUMBER: _ClassVar[int]
    encoder: str
    digest: str
    figures: _containers.ScalarMap[str, float]
    questions: int
    def __init__(self, encoder: _Optional[str] = ..., digest: _Optional[str] = ..., figures: _Optional[_Mapping[str, float]] = ..., questions: _Optional[int] = ...) -> None: ...

class LayerScore(_message.Message):
    __slots__ = ("layer", "correlation", "same_relation", "same_subject", "fitted")
    LAYER_FIELD_NUMBER: _ClassVar[int]
    CORRELATION_FIELD_NUMBER: _ClassVar[int]
    SAME_RELATION_FIELD_NUMBER: _ClassVar[int]
    SAME_SUBJECT_FIELD_NUMBER: _ClassVar[int]
    FITTED_FIELD_NUMBER: _ClassVar[int]
    layer: int
    correlation: float
    same_relation: float
    same_subject: float
    fitted: float
    def __init__(self, layer: _Optional[int] = ..., correlation: _Optional[float] = ..., same_relation: _Optional[float] = ..., same_subject: _Optional[float] = ..., fitted: _Optional[float] = ...) -> None: ...

class LayerSweep(_message.Message):
    __slots__ = ("model", "layers", "suggested", "same_relation_facts", "same_subject_facts")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    LAYERS_FIELD_NUMBER: _ClassVar[int]
    SUGGESTED_FIELD_NUMBER: _ClassVar[int]
    SAME_RELATION_FACTS_FIELD_NUMBER: _ClassVar[int]
    SAME_SUBJECT_FACTS_FIELD_NUMBER: _ClassVar[int]
    model: str
    layers: _containers.RepeatedCompositeFieldContainer[LayerScore]
    suggested: _containers.RepeatedScalarFieldContainer[int]
    same_relation_facts: int
    same_subject_facts: int
    def __init__(self, model: _Optional[str] = ..., layers: _Optional[_Iterable[_Union[LayerScore, _Mapping]]] = ..., suggested: _Optional[_Iterable[int]] = ..., same_relation_facts: _Optional[int] = ..., same_subject_facts: _Optional[int] = ...) -> None: ...
