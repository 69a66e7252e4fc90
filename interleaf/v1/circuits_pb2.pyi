import datetime

from google.longrunning import operations_pb2 as _operations_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from interleaf.v1 import inference_pb2 as _inference_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Verdict(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    VERDICT_UNSPECIFIED: _ClassVar[Verdict]
    VERDICT_OK: _ClassVar[Verdict]
    VERDICT_NO_MOVER: _ClassVar[Verdict]
    VERDICT_WRONG_MOVER: _ClassVar[Verdict]
    VERDICT_LATE_OVERRIDE: _ClassVar[Verdict]
    VERDICT_NEVER_ENRICHED: _ClassVar[Verdict]
    VERDICT_NOT_PREFERRED: _ClassVar[Verdict]
    VERDICT_OUTWEIGHED: _ClassVar[Verdict]

class TruthSource(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TRUTH_SOURCE_UNSPECIFIED: _ClassVar[TruthSource]
    TRUTH_SOURCE_NONE: _ClassVar[TruthSource]
    TRUTH_SOURCE_CALLER: _ClassVar[TruthSource]
    TRUTH_SOURCE_STORE: _ClassVar[TruthSource]

class HeadRole(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    HEAD_ROLE_UNSPECIFIED: _ClassVar[HeadRole]
    HEAD_ROLE_NONE: _ClassVar[HeadRole]
    HEAD_ROLE_MOVER: _ClassVar[HeadRole]
    HEAD_ROLE_RELATION: _ClassVar[HeadRole]
    HEAD_ROLE_MIXTURE: _ClassVar[HeadRole]

class Ablation(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ABLATION_UNSPECIFIED: _ClassVar[Ablation]
    ABLATION_ZERO: _ClassVar[Ablation]
    ABLATION_MEAN: _ClassVar[Ablation]
    ABLATION_RESAMPLE: _ClassVar[Ablation]

class EdgeScore(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EDGE_SCORE_UNSPECIFIED: _ClassVar[EdgeScore]
    EDGE_SCORE_EAP: _ClassVar[EdgeScore]
    EDGE_SCORE_EAP_IG: _ClassVar[EdgeScore]
    EDGE_SCORE_EAP_IG_EDGES: _ClassVar[EdgeScore]
VERDICT_UNSPECIFIED: Verdict
VERDICT_OK: Verdict
VERDICT_NO_MOVER: Verdict
VERDICT_WRONG_MOVER: Verdict
VERDICT_LATE_OVERRIDE: Verdict
VERDICT_NEVER_ENRICHED: Verdict
VERDICT_NOT_PREFERRED: Verdict
VERDICT_OUTWEIGHED: Verdict
TRUTH_SOURCE_UNSPECIFIED: TruthSource
TRUTH_SOURCE_NONE: TruthSource
TRUTH_SOURCE_CALLER: TruthSource
TRUTH_SOURCE_STORE: TruthSource
HEAD_ROLE_UNSPECIFIED: HeadRole
HEAD_ROLE_NONE: HeadRole
HEAD_ROLE_MOVER: HeadRole
HEAD_ROLE_RELATION: HeadRole
HEAD_ROLE_MIXTURE: HeadRole
ABLATION_UNSPECIFIED: Ablation
ABLATION_ZERO: Ablation
ABLATION_MEAN: Ablation
ABLATION_RESAMPLE: Ablation
EDGE_SCORE_UNSPECIFIED: EdgeScore
EDGE_SCORE_EAP: EdgeScore
EDGE_SCORE_EAP_IG: EdgeScore
EDGE_SCORE_EAP_IG_EDGES: EdgeScore

class Probe(_message.Message):
    __slots__ = ("prompt", "chat", "subject", "object", "relation", "alternatives")
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    CHAT_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    OBJECT_FIELD_NUMBER: _ClassVar[int]
    RELATION_FIELD_NUMBER: _ClassVar[int]
    ALTERNATIVES_FIELD_NUMBER: _ClassVar[int]
    prompt: str
    chat: _inference_pb2.Chat
    subject: str
    object: str
    relation: str
    alternatives: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, prompt: _Optional[str] = ..., chat: _Optional[_Union[_inference_pb2.Chat, _Mapping]] = ..., subject: _Optional[str] = ..., object: _Optional[str] = ..., relation: _Optional[str] = ..., alternatives: _Optional[_Iterable[str]] = ...) -> None: ...

class Passes(_message.Message):
    __slots__ = ("forward", "backward")
    FORWARD_FIELD_NUMBER: _ClassVar[int]
    BACKWARD_FIELD_NUMBER: _ClassVar[int]
    forward: int
    backward: int
    def __init__(self, forward: _Optional[int] = ..., backward: _Optional[int] = ...) -> None: ...

class Token(_message.Message):
    __slots__ = ("text", "subject", "relation")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    RELATION_FIELD_NUMBER: _ClassVar[int]
    text: str
    subject: bool
    relation: bool
    def __init__(self, text: _Optional[str] = ..., subject: _Optional[bool] = ..., relation: _Optional[bool] = ...) -> None: ...

class HeadName(_message.Message):
    __slots__ = ("layer", "head")
    LAYER_FIELD_NUMBER: _ClassVar[int]
    HEAD_FIELD_NUMBER: _ClassVar[int]
    layer: int
    head: int
    def __init__(self, layer: _Optional[int] = ..., head: _Optional[int] = ...) -> None: ...

class NodeName(_message.Message):
    __slots__ = ("layer", "head", "mlp")
    LAYER_FIELD_NUMBER: _ClassVar[int]
    HEAD_FIELD_NUMBER: _ClassVar[int]
    MLP_FIELD_NUMBER: _ClassVar[int]
    layer: int
    head: int
    mlp: bool
    def __init__(self, layer: _Optional[int] = ..., head: _Optional[int] = ..., mlp: _Optional[bool] = ...) -> None: ...

class Trajectory(_message.Message):
    __slots__ = ("answer", "tokens", "log_probability", "first_log_probability", "rank", "subject_rank")
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    LOG_PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    FIRST_LOG_PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    RANK_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_RANK_FIELD_NUMBER: _ClassVar[int]
    answer: str
    tokens: int
    log_probability: _containers.RepeatedScalarFieldContainer[float]
    first_log_probability: _containers.RepeatedScalarFieldContainer[float]
    rank: _containers.RepeatedScalarFieldContainer[int]
    subject_rank: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, answer: _Optional[str] = ..., tokens: _Optional[int] = ..., log_probability: _Optional[_Iterable[float]] = ..., first_log_probability: _Optional[_Iterable[float]] = ..., rank: _Optional[_Iterable[int]] = ..., subject_rank: _Optional[_Iterable[int]] = ...) -> None: ...

class CheckHallucinationRequest(_message.Message):
    __slots__ = ("parent", "prompt", "chat", "answer", "truth", "subject", "retrieval")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    CHAT_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    TRUTH_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    RETRIEVAL_FIELD_NUMBER: _ClassVar[int]
    parent: str
    prompt: str
    chat: _inference_pb2.Chat
    answer: str
    truth: str
    subject: str
    retrieval: _inference_pb2.Retrieval
    def __init__(self, parent: _Optional[str] = ..., prompt: _Optional[str] = ..., chat: _Optional[_Union[_inference_pb2.Chat, _Mapping]] = ..., answer: _Optional[str] = ..., truth: _Optional[str] = ..., subject: _Optional[str] = ..., retrieval: _Optional[_Union[_inference_pb2.Retrieval, _Mapping]] = ...) -> None: ...

class Driver(_message.Message):
    __slots__ = ("node", "towards_answer", "through_subject")
    NODE_FIELD_NUMBER: _ClassVar[int]
    TOWARDS_ANSWER_FIELD_NUMBER: _ClassVar[int]
    THROUGH_SUBJECT_FIELD_NUMBER: _ClassVar[int]
    node: NodeName
    towards_answer: float
    through_subject: float
    def __init__(self, node: _Optional[_Union[NodeName, _Mapping]] = ..., towards_answer: _Optional[float] = ..., through_subject: _Optional[float] = ...) -> None: ...

class NeededForTruth(_message.Message):
    __slots__ = ("gap", "nodes", "gap_without")
    GAP_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    GAP_WITHOUT_FIELD_NUMBER: _ClassVar[int]
    gap: float
    nodes: _containers.RepeatedCompositeFieldContainer[NodeName]
    gap_without: float
    def __init__(self, gap: _Optional[float] = ..., nodes: _Optional[_Iterable[_Union[NodeName, _Mapping]]] = ..., gap_without: _Optional[float] = ...) -> None: ...

class FactReader(_message.Message):
    __slots__ = ("head", "attention", "direct")
    HEAD_FIELD_NUMBER: _ClassVar[int]
    ATTENTION_FIELD_NUMBER: _ClassVar[int]
    DIRECT_FIELD_NUMBER: _ClassVar[int]
    head: HeadName
    attention: float
    direct: float
    def __init__(self, head: _Optional[_Union[HeadName, _Mapping]] = ..., attention: _Optional[float] = ..., direct: _Optional[float] = ...) -> None: ...

class Repair(_message.Message):
    __slots__ = ("answer_before", "answer_after", "truth_before", "truth_after", "repaired", "says_truth", "readers")
    ANSWER_BEFORE_FIELD_NUMBER: _ClassVar[int]
    ANSWER_AFTER_FIELD_NUMBER: _ClassVar[int]
    TRUTH_BEFORE_FIELD_NUMBER: _ClassVar[int]
    TRUTH_AFTER_FIELD_NUMBER: _ClassVar[int]
    REPAIRED_FIELD_NUMBER: _ClassVar[int]
    SAYS_TRUTH_FIELD_NUMBER: _ClassVar[int]
    READERS_FIELD_NUMBER: _ClassVar[int]
    answer_before: float
    answer_after: float
    truth_before: float
    truth_after: float
    repaired: bool
    says_truth: bool
    readers: _containers.RepeatedCompositeFieldContainer[FactReader]
    def __init__(self, answer_before: _Optional[float] = ..., answer_after: _Optional[float] = ..., truth_before: _Optional[float] = ..., truth_after: _Optional[float] = ..., repaired: _Optional[bool] = ..., says_truth: _Optional[bool] = ..., readers: _Optional[_Iterable[_Union[FactReader, _Mapping]]] = ...) -> None: ...

class HallucinationReport(_message.Message):
    __slots__ = ("verdict", "chance_wrong", "threshold", "answer", "truth", "truth_source", "fact", "subject", "tokens", "answer_trajectory", "truth_trajectory", "overtaken", "drivers", "needed", "repair", "features", "passes", "explanation", "svg")
    class FeaturesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    CHANCE_WRONG_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    TRUTH_FIELD_NUMBER: _ClassVar[int]
    TRUTH_SOURCE_FIELD_NUMBER: _ClassVar[int]
    FACT_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    ANSWER_TRAJECTORY_FIELD_NUMBER: _ClassVar[int]
    TRUTH_TRAJECTORY_FIELD_NUMBER: _ClassVar[int]
    OVERTAKEN_FIELD_NUMBER: _ClassVar[int]
    DRIVERS_FIELD_NUMBER: _ClassVar[int]
    NEEDED_FIELD_NUMBER: _ClassVar[int]
    REPAIR_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    PASSES_FIELD_NUMBER: _ClassVar[int]
    EXPLANATION_FIELD_NUMBER: _ClassVar[int]
    SVG_FIELD_NUMBER: _ClassVar[int]
    verdict: Verdict
    chance_wrong: float
    threshold: float
    answer: str
    truth: str
    truth_source: TruthSource
    fact: str
    subject: str
    tokens: _containers.RepeatedCompositeFieldContainer[Token]
    answer_trajectory: Trajectory
    truth_trajectory: Trajectory
    overtaken: int
    drivers: _containers.RepeatedCompositeFieldContainer[Driver]
    needed: NeededForTruth
    repair: Repair
    features: _containers.ScalarMap[str, float]
    passes: Passes
    explanation: str
    svg: str
    def __init__(self, verdict: _Optional[_Union[Verdict, str]] = ..., chance_wrong: _Optional[float] = ..., threshold: _Optional[float] = ..., answer: _Optional[str] = ..., truth: _Optional[str] = ..., truth_source: _Optional[_Union[TruthSource, str]] = ..., fact: _Optional[str] = ..., subject: _Optional[str] = ..., tokens: _Optional[_Iterable[_Union[Token, _Mapping]]] = ..., answer_trajectory: _Optional[_Union[Trajectory, _Mapping]] = ..., truth_trajectory: _Optional[_Union[Trajectory, _Mapping]] = ..., overtaken: _Optional[int] = ..., drivers: _Optional[_Iterable[_Union[Driver, _Mapping]]] = ..., needed: _Optional[_Union[NeededForTruth, _Mapping]] = ..., repair: _Optional[_Union[Repair, _Mapping]] = ..., features: _Optional[_Mapping[str, float]] = ..., passes: _Optional[_Union[Passes, _Mapping]] = ..., explanation: _Optional[str] = ..., svg: _Optional[str] = ...) -> None: ...

class TraceAnswersRequest(_message.Message):
    __slots__ = ("prompt", "chat", "subject", "answers")
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    CHAT_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    ANSWERS_FIELD_NUMBER: _ClassVar[int]
    prompt: str
    chat: _inference_pb2.Chat
    subject: str
    answers: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, prompt: _Optional[str] = ..., chat: _Optional[_Union[_inference_pb2.Chat, _Mapping]] = ..., subject: _Optional[str] = ..., answers: _Optional[_Iterable[str]] = ...) -> None: ...

class AnswerTrace(_message.Message):
    __slots__ = ("answers", "top", "tokens", "passes", "svg")
    ANSWERS_FIELD_NUMBER: _ClassVar[int]
    TOP_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    PASSES_FIELD_NUMBER: _ClassVar[int]
    SVG_FIELD_NUMBER: _ClassVar[int]
    answers: _containers.RepeatedCompositeFieldContainer[Trajectory]
    top: _containers.RepeatedScalarFieldContainer[str]
    tokens: _containers.RepeatedCompositeFieldContainer[Token]
    passes: Passes
    svg: str
    def __init__(self, answers: _Optional[_Iterable[_Union[Trajectory, _Mapping]]] = ..., top: _Optional[_Iterable[str]] = ..., tokens: _Optional[_Iterable[_Union[Token, _Mapping]]] = ..., passes: _Optional[_Union[Passes, _Mapping]] = ..., svg: _Optional[str] = ...) -> None: ...

class StudyHeadsRequest(_message.Message):
    __slots__ = ("probe", "direct_only", "request_id", "validate_only")
    PROBE_FIELD_NUMBER: _ClassVar[int]
    DIRECT_ONLY_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    probe: Probe
    direct_only: bool
    request_id: str
    validate_only: bool
    def __init__(self, probe: _Optional[_Union[Probe, _Mapping]] = ..., direct_only: _Optional[bool] = ..., request_id: _Optional[str] = ..., validate_only: _Optional[bool] = ...) -> None: ...

class HeadReport(_message.Message):
    __slots__ = ("head", "role", "attention_subject", "attention_relation", "direct", "mover", "relation", "delta", "first_delta", "says")
    HEAD_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    ATTENTION_SUBJECT_FIELD_NUMBER: _ClassVar[int]
    ATTENTION_RELATION_FIELD_NUMBER: _ClassVar[int]
    DIRECT_FIELD_NUMBER: _ClassVar[int]
    MOVER_FIELD_NUMBER: _ClassVar[int]
    RELATION_FIELD_NUMBER: _ClassVar[int]
    DELTA_FIELD_NUMBER: _ClassVar[int]
    FIRST_DELTA_FIELD_NUMBER: _ClassVar[int]
    SAYS_FIELD_NUMBER: _ClassVar[int]
    head: HeadName
    role: HeadRole
    attention_subject: float
    attention_relation: float
    direct: float
    mover: float
    relation: float
    delta: float
    first_delta: float
    says: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, head: _Optional[_Union[HeadName, _Mapping]] = ..., role: _Optional[_Union[HeadRole, str]] = ..., attention_subject: _Optional[float] = ..., attention_relation: _Optional[float] = ..., direct: _Optional[float] = ..., mover: _Optional[float] = ..., relation: _Optional[float] = ..., delta: _Optional[float] = ..., first_delta: _Optional[float] = ..., says: _Optional[_Iterable[str]] = ...) -> None: ...

class HeadStudy(_message.Message):
    __slots__ = ("heads", "mover_threshold", "relation_threshold", "false_positives", "tokens", "passes", "svg")
    HEADS_FIELD_NUMBER: _ClassVar[int]
    MOVER_THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    RELATION_THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    FALSE_POSITIVES_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    PASSES_FIELD_NUMBER: _ClassVar[int]
    SVG_FIELD_NUMBER: _ClassVar[int]
    heads: _containers.RepeatedCompositeFieldContainer[HeadReport]
    mover_threshold: float
    relation_threshold: float
    false_positives: float
    tokens: _containers.RepeatedCompositeFieldContainer[Token]
    passes: Passes
    svg: str
    def __init__(self, heads: _Optional[_Iterable[_Union[HeadReport, _Mapping]]] = ..., mover_threshold: _Optional[float] = ..., relation_threshold: _Optional[float] = ..., false_positives: _Optional[float] = ..., tokens: _Optional[_Iterable[_Union[Token, _Mapping]]] = ..., passes: _Optional[_Union[Passes, _Mapping]] = ..., svg: _Optional[str] = ...) -> None: ...

class StudyKnockoutRequest(_message.Message):
    __slots__ = ("probe", "window", "request_id", "validate_only")
    PROBE_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    probe: Probe
    window: int
    request_id: str
    validate_only: bool
    def __init__(self, probe: _Optional[_Union[Probe, _Mapping]] = ..., window: _Optional[int] = ..., request_id: _Optional[str] = ..., validate_only: _Optional[bool] = ...) -> None: ...

class KnockoutCurve(_message.Message):
    __slots__ = ("what", "log_change", "relative")
    WHAT_FIELD_NUMBER: _ClassVar[int]
    LOG_CHANGE_FIELD_NUMBER: _ClassVar[int]
    RELATIVE_FIELD_NUMBER: _ClassVar[int]
    what: str
    log_change: _containers.RepeatedScalarFieldContainer[float]
    relative: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, what: _Optional[str] = ..., log_change: _Optional[_Iterable[float]] = ..., relative: _Optional[_Iterable[float]] = ...) -> None: ...

class KnockoutStudy(_message.Message):
    __slots__ = ("window", "edges", "sublayers", "tokens", "passes", "edges_svg", "sublayers_svg")
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    EDGES_FIELD_NUMBER: _ClassVar[int]
    SUBLAYERS_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    PASSES_FIELD_NUMBER: _ClassVar[int]
    EDGES_SVG_FIELD_NUMBER: _ClassVar[int]
    SUBLAYERS_SVG_FIELD_NUMBER: _ClassVar[int]
    window: int
    edges: _containers.RepeatedCompositeFieldContainer[KnockoutCurve]
    sublayers: _containers.RepeatedCompositeFieldContainer[KnockoutCurve]
    tokens: _containers.RepeatedCompositeFieldContainer[Token]
    passes: Passes
    edges_svg: str
    sublayers_svg: str
    def __init__(self, window: _Optional[int] = ..., edges: _Optional[_Iterable[_Union[KnockoutCurve, _Mapping]]] = ..., sublayers: _Optional[_Iterable[_Union[KnockoutCurve, _Mapping]]] = ..., tokens: _Optional[_Iterable[_Union[Token, _Mapping]]] = ..., passes: _Optional[_Union[Passes, _Mapping]] = ..., edges_svg: _Optional[str] = ..., sublayers_svg: _Optional[str] = ...) -> None: ...

class StudyRecallRequest(_message.Message):
    __slots__ = ("probe", "attributes", "heads", "request_id", "validate_only")
    PROBE_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    HEADS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    probe: Probe
    attributes: _containers.RepeatedScalarFieldContainer[str]
    heads: _containers.RepeatedCompositeFieldContainer[HeadName]
    request_id: str
    validate_only: bool
    def __init__(self, probe: _Optional[_Union[Probe, _Mapping]] = ..., attributes: _Optional[_Iterable[str]] = ..., heads: _Optional[_Iterable[_Union[HeadName, _Mapping]]] = ..., request_id: _Optional[str] = ..., validate_only: _Optional[bool] = ...) -> None: ...

class HeadMapping(_message.Message):
    __slots__ = ("head", "tokens", "logits")
    HEAD_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    LOGITS_FIELD_NUMBER: _ClassVar[int]
    head: HeadName
    tokens: _containers.RepeatedScalarFieldContainer[str]
    logits: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, head: _Optional[_Union[HeadName, _Mapping]] = ..., tokens: _Optional[_Iterable[str]] = ..., logits: _Optional[_Iterable[float]] = ...) -> None: ...

class PositionScores(_message.Message):
    __slots__ = ("scores",)
    SCORES_FIELD_NUMBER: _ClassVar[int]
    scores: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, scores: _Optional[_Iterable[float]] = ...) -> None: ...

class RecallStudy(_message.Message):
    __slots__ = ("attributes_rate", "attributes_held", "attention_extracts", "mlp_extracts", "mappings", "gradient_input", "tokens", "passes", "svg", "gradient_svg")
    ATTRIBUTES_RATE_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_HELD_FIELD_NUMBER: _ClassVar[int]
    ATTENTION_EXTRACTS_FIELD_NUMBER: _ClassVar[int]
    MLP_EXTRACTS_FIELD_NUMBER: _ClassVar[int]
    MAPPINGS_FIELD_NUMBER: _ClassVar[int]
    GRADIENT_INPUT_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    PASSES_FIELD_NUMBER: _ClassVar[int]
    SVG_FIELD_NUMBER: _ClassVar[int]
    GRADIENT_SVG_FIELD_NUMBER: _ClassVar[int]
    attributes_rate: _containers.RepeatedScalarFieldContainer[float]
    attributes_held: _containers.RepeatedScalarFieldContainer[float]
    attention_extracts: _containers.RepeatedScalarFieldContainer[bool]
    mlp_extracts: _containers.RepeatedScalarFieldContainer[bool]
    mappings: _containers.RepeatedCompositeFieldContainer[HeadMapping]
    gradient_input: _containers.RepeatedCompositeFieldContainer[PositionScores]
    tokens: _containers.RepeatedCompositeFieldContainer[Token]
    passes: Passes
    svg: str
    gradient_svg: str
    def __init__(self, attributes_rate: _Optional[_Iterable[float]] = ..., attributes_held: _Optional[_Iterable[float]] = ..., attention_extracts: _Optional[_Iterable[bool]] = ..., mlp_extracts: _Optional[_Iterable[bool]] = ..., mappings: _Optional[_Iterable[_Union[HeadMapping, _Mapping]]] = ..., gradient_input: _Optional[_Iterable[_Union[PositionScores, _Mapping]]] = ..., tokens: _Optional[_Iterable[_Union[Token, _Mapping]]] = ..., passes: _Optional[_Union[Passes, _Mapping]] = ..., svg: _Optional[str] = ..., gradient_svg: _Optional[str] = ...) -> None: ...

class ExplainFactsRequest(_message.Message):
    __slots__ = ("parent", "prompt", "chat", "subject", "answer", "retrieval", "request_id", "validate_only")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    CHAT_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    RETRIEVAL_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    parent: str
    prompt: str
    chat: _inference_pb2.Chat
    subject: str
    answer: str
    retrieval: _inference_pb2.Retrieval
    request_id: str
    validate_only: bool
    def __init__(self, parent: _Optional[str] = ..., prompt: _Optional[str] = ..., chat: _Optional[_Union[_inference_pb2.Chat, _Mapping]] = ..., subject: _Optional[str] = ..., answer: _Optional[str] = ..., retrieval: _Optional[_Union[_inference_pb2.Retrieval, _Mapping]] = ..., request_id: _Optional[str] = ..., validate_only: _Optional[bool] = ...) -> None: ...

class ReadingHead(_message.Message):
    __slots__ = ("head", "attention", "direct", "delta")
    HEAD_FIELD_NUMBER: _ClassVar[int]
    ATTENTION_FIELD_NUMBER: _ClassVar[int]
    DIRECT_FIELD_NUMBER: _ClassVar[int]
    DELTA_FIELD_NUMBER: _ClassVar[int]
    head: HeadName
    attention: _containers.RepeatedScalarFieldContainer[float]
    direct: float
    delta: float
    def __init__(self, head: _Optional[_Union[HeadName, _Mapping]] = ..., attention: _Optional[_Iterable[float]] = ..., direct: _Optional[float] = ..., delta: _Optional[float] = ...) -> None: ...

class ReadingLayer(_message.Message):
    __slots__ = ("layer", "delta")
    LAYER_FIELD_NUMBER: _ClassVar[int]
    DELTA_FIELD_NUMBER: _ClassVar[int]
    layer: int
    delta: float
    def __init__(self, layer: _Optional[int] = ..., delta: _Optional[float] = ...) -> None: ...

class ReadFact(_message.Message):
    __slots__ = ("fact", "subject", "relation", "object", "delta", "token_deltas")
    FACT_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    RELATION_FIELD_NUMBER: _ClassVar[int]
    OBJECT_FIELD_NUMBER: _ClassVar[int]
    DELTA_FIELD_NUMBER: _ClassVar[int]
    TOKEN_DELTAS_FIELD_NUMBER: _ClassVar[int]
    fact: str
    subject: str
    relation: str
    object: str
    delta: float
    token_deltas: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, fact: _Optional[str] = ..., subject: _Optional[str] = ..., relation: _Optional[str] = ..., object: _Optional[str] = ..., delta: _Optional[float] = ..., token_deltas: _Optional[_Iterable[float]] = ...) -> None: ...

class FactExplanation(_message.Message):
    __slots__ = ("answer", "with_facts", "plain", "facts", "layers", "heads", "passes", "svg")
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    WITH_FACTS_FIELD_NUMBER: _ClassVar[int]
    PLAIN_FIELD_NUMBER: _ClassVar[int]
    FACTS_FIELD_NUMBER: _ClassVar[int]
    LAYERS_FIELD_NUMBER: _ClassVar[int]
    HEADS_FIELD_NUMBER: _ClassVar[int]
    PASSES_FIELD_NUMBER: _ClassVar[int]
    SVG_FIELD_NUMBER: _ClassVar[int]
    answer: str
    with_facts: float
    plain: float
    facts: _containers.RepeatedCompositeFieldContainer[ReadFact]
    layers: _containers.RepeatedCompositeFieldContainer[ReadingLayer]
    heads: _containers.RepeatedCompositeFieldContainer[ReadingHead]
    passes: Passes
    svg: str
    def __init__(self, answer: _Optional[str] = ..., with_facts: _Optional[float] = ..., plain: _Optional[float] = ..., facts: _Optional[_Iterable[_Union[ReadFact, _Mapping]]] = ..., layers: _Optional[_Iterable[_Union[ReadingLayer, _Mapping]]] = ..., heads: _Optional[_Iterable[_Union[ReadingHead, _Mapping]]] = ..., passes: _Optional[_Union[Passes, _Mapping]] = ..., svg: _Optional[str] = ...) -> None: ...

class DiscoverCircuitRequest(_message.Message):
    __slots__ = ("probes", "held_out", "nodes", "edges", "ablation", "score", "others", "randoms", "request_id", "validate_only")
    PROBES_FIELD_NUMBER: _ClassVar[int]
    HELD_OUT_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    EDGES_FIELD_NUMBER: _ClassVar[int]
    ABLATION_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    OTHERS_FIELD_NUMBER: _ClassVar[int]
    RANDOMS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    probes: _containers.RepeatedCompositeFieldContainer[Probe]
    held_out: _containers.RepeatedCompositeFieldContainer[Probe]
    nodes: float
    edges: float
    ablation: Ablation
    score: EdgeScore
    others: _containers.RepeatedScalarFieldContainer[str]
    randoms: int
    request_id: str
    validate_only: bool
    def __init__(self, probes: _Optional[_Iterable[_Union[Probe, _Mapping]]] = ..., held_out: _Optional[_Iterable[_Union[Probe, _Mapping]]] = ..., nodes: _Optional[float] = ..., edges: _Optional[float] = ..., ablation: _Optional[_Union[Ablation, str]] = ..., score: _Optional[_Union[EdgeScore, str]] = ..., others: _Optional[_Iterable[str]] = ..., randoms: _Optional[int] = ..., request_id: _Optional[str] = ..., validate_only: _Optional[bool] = ...) -> None: ...

class CircuitNode(_message.Message):
    __slots__ = ("name", "worth")
    NAME_FIELD_NUMBER: _ClassVar[int]
    WORTH_FIELD_NUMBER: _ClassVar[int]
    name: str
    worth: float
    def __init__(self, name: _Optional[str] = ..., worth: _Optional[float] = ...) -> None: ...

class CircuitEdge(_message.Message):
    __slots__ = ("source", "port", "score")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    source: str
    port: str
    score: float
    def __init__(self, source: _Optional[str] = ..., port: _Optional[str] = ..., score: _Optional[float] = ...) -> None: ...

class Behaviour(_message.Message):
    __slots__ = ("log_probability", "hit10", "whole_hit10")
    LOG_PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    HIT10_FIELD_NUMBER: _ClassVar[int]
    WHOLE_HIT10_FIELD_NUMBER: _ClassVar[int]
    log_probability: float
    hit10: float
    whole_hit10: float
    def __init__(self, log_probability: _Optional[float] = ..., hit10: _Optional[float] = ..., whole_hit10: _Optional[float] = ...) -> None: ...

class CircuitStudy(_message.Message):
    __slots__ = ("nodes", "all_nodes", "edges", "all_edges", "kept_nodes", "kept_edges", "ablation", "score", "model", "circuit", "rest", "nothing", "random", "faithfulness", "completeness", "judged", "held_out", "passes", "svg", "dot")
    NODES_FIELD_NUMBER: _ClassVar[int]
    ALL_NODES_FIELD_NUMBER: _ClassVar[int]
    EDGES_FIELD_NUMBER: _ClassVar[int]
    ALL_EDGES_FIELD_NUMBER: _ClassVar[int]
    KEPT_NODES_FIELD_NUMBER: _ClassVar[int]
    KEPT_EDGES_FIELD_NUMBER: _ClassVar[int]
    ABLATION_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    CIRCUIT_FIELD_NUMBER: _ClassVar[int]
    REST_FIELD_NUMBER: _ClassVar[int]
    NOTHING_FIELD_NUMBER: _ClassVar[int]
    RANDOM_FIELD_NUMBER: _ClassVar[int]
    FAITHFULNESS_FIELD_NUMBER: _ClassVar[int]
    COMPLETENESS_FIELD_NUMBER: _ClassVar[int]
    JUDGED_FIELD_NUMBER: _ClassVar[int]
    HELD_OUT_FIELD_NUMBER: _ClassVar[int]
    PASSES_FIELD_NUMBER: _ClassVar[int]
    SVG_FIELD_NUMBER: _ClassVar[int]
    DOT_FIELD_NUMBER: _ClassVar[int]
    nodes: int
    all_nodes: int
    edges: int
    all_edges: int
    kept_nodes: _containers.RepeatedCompositeFieldContainer[CircuitNode]
    kept_edges: _containers.RepeatedCompositeFieldContainer[CircuitEdge]
    ablation: Ablation
    score: EdgeScore
    model: Behaviour
    circuit: Behaviour
    rest: Behaviour
    nothing: Behaviour
    random: Behaviour
    faithfulness: float
    completeness: float
    judged: int
    held_out: bool
    passes: Passes
    svg: str
    dot: str
    def __init__(self, nodes: _Optional[int] = ..., all_nodes: _Optional[int] = ..., edges: _Optional[int] = ..., all_edges: _Optional[int] = ..., kept_nodes: _Optional[_Iterable[_Union[CircuitNode, _Mapping]]] = ..., kept_edges: _Optional[_Iterable[_Union[CircuitEdge, _Mapping]]] = ..., ablation: _Optional[_Union[Ablation, str]] = ..., score: _Optional[_Union[EdgeScore, str]] = ..., model: _Optional[_Union[Behaviour, _Mapping]] = ..., circuit: _Optional[_Union[Behaviour, _Mapping]] = ..., rest: _Optional[_Union[Behaviour, _Mapping]] = ..., nothing: _Optional[_Union[Behaviour, _Mapping]] = ..., random: _Optional[_Union[Behaviour, _Mapping]] = ..., faithfulness: _Optional[float] = ..., completeness: _Optional[float] = ..., judged: _Optional[int] = ..., held_out: _Optional[bool] = ..., passes: _Optional[_Union[Passes, _Mapping]] = ..., svg: _Optional[str] = ..., dot: _Optional[str] = ...) -> None: ...

class LocateHeadsRequest(_message.Message):
    __slots__ = ("probes", "held_out", "per_layer", "unconditioned", "request_id", "validate_only")
    PROBES_FIELD_NUMBER: _ClassVar[int]
    HELD_OUT_FIELD_NUMBER: _ClassVar[int]
    PER_LAYER_FIELD_NUMBER: _ClassVar[int]
    UNCONDITIONED_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    probes: _containers.RepeatedCompositeFieldContainer[Probe]
    held_out: _containers.RepeatedCompositeFieldContainer[Probe]
    per_layer: int
    unconditioned: bool
    request_id: str
    validate_only: bool
    def __init__(self, probes: _Optional[_Iterable[_Union[Probe, _Mapping]]] = ..., held_out: _Optional[_Iterable[_Union[Probe, _Mapping]]] = ..., per_layer: _Optional[int] = ..., unconditioned: _Optional[bool] = ..., request_id: _Optional[str] = ..., validate_only: _Optional[bool] = ...) -> None: ...

class LocatedHead(_message.Message):
    __slots__ = ("head", "loss", "chosen")
    HEAD_FIELD_NUMBER: _ClassVar[int]
    LOSS_FIELD_NUMBER: _ClassVar[int]
    CHOSEN_FIELD_NUMBER: _ClassVar[int]
    head: HeadName
    loss: float
    chosen: bool
    def __init__(self, head: _Optional[_Union[HeadName, _Mapping]] = ..., loss: _Optional[float] = ..., chosen: _Optional[bool] = ...) -> None: ...

class Silenced(_message.Message):
    __slots__ = ("loss", "right")
    LOSS_FIELD_NUMBER: _ClassVar[int]
    RIGHT_FIELD_NUMBER: _ClassVar[int]
    loss: float
    right: float
    def __init__(self, loss: _Optional[float] = ..., right: _Optional[float] = ...) -> None: ...

class LocatedHeads(_message.Message):
    __slots__ = ("heads", "per_layer", "none", "located", "random", "judged", "held_out", "passes", "svg")
    HEADS_FIELD_NUMBER: _ClassVar[int]
    PER_LAYER_FIELD_NUMBER: _ClassVar[int]
    NONE_FIELD_NUMBER: _ClassVar[int]
    LOCATED_FIELD_NUMBER: _ClassVar[int]
    RANDOM_FIELD_NUMBER: _ClassVar[int]
    JUDGED_FIELD_NUMBER: _ClassVar[int]
    HELD_OUT_FIELD_NUMBER: _ClassVar[int]
    PASSES_FIELD_NUMBER: _ClassVar[int]
    SVG_FIELD_NUMBER: _ClassVar[int]
    heads: _containers.RepeatedCompositeFieldContainer[LocatedHead]
    per_layer: int
    none: Silenced
    located: Silenced
    random: Silenced
    judged: int
    held_out: bool
    passes: Passes
    svg: str
    def __init__(self, heads: _Optional[_Iterable[_Union[LocatedHead, _Mapping]]] = ..., per_layer: _Optional[int] = ..., none: _Optional[_Union[Silenced, _Mapping]] = ..., located: _Optional[_Union[Silenced, _Mapping]] = ..., random: _Optional[_Union[Silenced, _Mapping]] = ..., judged: _Optional[int] = ..., held_out: _Optional[bool] = ..., passes: _Optional[_Union[Passes, _Mapping]] = ..., svg: _Optional[str] = ...) -> None: ...

class StudyEmergenceRequest(_message.Message):
    __slots__ = ("parent", "prompt", "chat", "answer", "retrieval", "threshold", "request_id", "validate_only")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    CHAT_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    RETRIEVAL_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    parent: str
    prompt: str
    chat: _inference_pb2.Chat
    answer: str
    retrieval: _inference_pb2.Retrieval
    threshold: float
    request_id: str
    validate_only: bool
    def __init__(self, parent: _Optional[str] = ..., prompt: _Optional[str] = ..., chat: _Optional[_Union[_inference_pb2.Chat, _Mapping]] = ..., answer: _Optional[str] = ..., retrieval: _Optional[_Union[_inference_pb2.Retrieval, _Mapping]] = ..., threshold: _Optional[float] = ..., request_id: _Optional[str] = ..., validate_only: _Optional[bool] = ...) -> None: ...

class EmergingHead(_message.Message):
    __slots__ = ("head", "nowhere", "in_prompt", "injected", "enters_in_prompt", "enters_injected")
    HEAD_FIELD_NUMBER: _ClassVar[int]
    NOWHERE_FIELD_NUMBER: _ClassVar[int]
    IN_PROMPT_FIELD_NUMBER: _ClassVar[int]
    INJECTED_FIELD_NUMBER: _ClassVar[int]
    ENTERS_IN_PROMPT_FIELD_NUMBER: _ClassVar[int]
    ENTERS_INJECTED_FIELD_NUMBER: _ClassVar[int]
    head: HeadName
    nowhere: float
    in_prompt: float
    injected: float
    enters_in_prompt: bool
    enters_injected: bool
    def __init__(self, head: _Optional[_Union[HeadName, _Mapping]] = ..., nowhere: _Optional[float] = ..., in_prompt: _Optional[float] = ..., injected: _Optional[float] = ..., enters_in_prompt: _Optional[bool] = ..., enters_injected: _Optional[bool] = ...) -> None: ...

class EmergenceStudy(_message.Message):
    __slots__ = ("answer", "fact", "nowhere", "in_prompt", "injected", "threshold", "heads", "passes", "prompt_svg", "injected_svg")
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    FACT_FIELD_NUMBER: _ClassVar[int]
    NOWHERE_FIELD_NUMBER: _ClassVar[int]
    IN_PROMPT_FIELD_NUMBER: _ClassVar[int]
    INJECTED_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    HEADS_FIELD_NUMBER: _ClassVar[int]
    PASSES_FIELD_NUMBER: _ClassVar[int]
    PROMPT_SVG_FIELD_NUMBER: _ClassVar[int]
    INJECTED_SVG_FIELD_NUMBER: _ClassVar[int]
    answer: str
    fact: str
    nowhere: float
    in_prompt: float
    injected: float
    threshold: float
    heads: _containers.RepeatedCompositeFieldContainer[EmergingHead]
    passes: Passes
    prompt_svg: str
    injected_svg: str
    def __init__(self, answer: _Optional[str] = ..., fact: _Optional[str] = ..., nowhere: _Optional[float] = ..., in_prompt: _Optional[float] = ..., injected: _Optional[float] = ..., threshold: _Optional[float] = ..., heads: _Optional[_Iterable[_Union[EmergingHead, _Mapping]]] = ..., passes: _Optional[_Union[Passes, _Mapping]] = ..., prompt_svg: _Optional[str] = ..., injected_svg: _Optional[str] = ...) -> None: ...

class StudyGraftingRequest(_message.Message):
    __slots__ = ("parent", "facts", "templates", "epochs", "learning_rate", "components", "request_id", "validate_only")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    FACTS_FIELD_NUMBER: _ClassVar[int]
    TEMPLATES_FIELD_NUMBER: _ClassVar[int]
    EPOCHS_FIELD_NUMBER: _ClassVar[int]
    LEARNING_RATE_FIELD_NUMBER: _ClassVar[int]
    COMPONENTS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    parent: str
    facts: int
    templates: _containers.RepeatedScalarFieldContainer[str]
    epochs: int
    learning_rate: float
    components: bool
    request_id: str
    validate_only: bool
    def __init__(self, parent: _Optional[str] = ..., facts: _Optional[int] = ..., templates: _Optional[_Iterable[str]] = ..., epochs: _Optional[int] = ..., learning_rate: _Optional[float] = ..., components: _Optional[bool] = ..., request_id: _Optional[str] = ..., validate_only: _Optional[bool] = ...) -> None: ...

class GraftOutcome(_message.Message):
    __slots__ = ("scheme", "top5", "probability", "rank", "margin", "log_probability")
    SCHEME_FIELD_NUMBER: _ClassVar[int]
    TOP5_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    RANK_FIELD_NUMBER: _ClassVar[int]
    MARGIN_FIELD_NUMBER: _ClassVar[int]
    LOG_PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    scheme: str
    top5: float
    probability: float
    rank: float
    margin: float
    log_probability: float
    def __init__(self, scheme: _Optional[str] = ..., top5: _Optional[float] = ..., probability: _Optional[float] = ..., rank: _Optional[float] = ..., margin: _Optional[float] = ..., log_probability: _Optional[float] = ...) -> None: ...

class GraftingStudy(_message.Message):
    __slots__ = ("outcomes", "components", "facts", "cases", "left_out", "losses", "passes", "svg", "components_svg")
    OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    COMPONENTS_FIELD_NUMBER: _ClassVar[int]
    FACTS_FIELD_NUMBER: _ClassVar[int]
    CASES_FIELD_NUMBER: _ClassVar[int]
    LEFT_OUT_FIELD_NUMBER: _ClassVar[int]
    LOSSES_FIELD_NUMBER: _ClassVar[int]
    PASSES_FIELD_NUMBER: _ClassVar[int]
    SVG_FIELD_NUMBER: _ClassVar[int]
    COMPONENTS_SVG_FIELD_NUMBER: _ClassVar[int]
    outcomes: _containers.RepeatedCompositeFieldContainer[GraftOutcome]
    components: _containers.RepeatedCompositeFieldContainer[GraftOutcome]
    facts: int
    cases: int
    left_out: int
    losses: _containers.RepeatedScalarFieldContainer[float]
    passes: Passes
    svg: str
    components_svg: str
    def __init__(self, outcomes: _Optional[_Iterable[_Union[GraftOutcome, _Mapping]]] = ..., components: _Optional[_Iterable[_Union[GraftOutcome, _Mapping]]] = ..., facts: _Optional[int] = ..., cases: _Optional[int] = ..., left_out: _Optional[int] = ..., losses: _Optional[_Iterable[float]] = ..., passes: _Optional[_Union[Passes, _Mapping]] = ..., svg: _Optional[str] = ..., components_svg: _Optional[str] = ...) -> None: ...

class CircuitWorkMetadata(_message.Message):
    __slots__ = ("kind", "stage", "share", "planned", "start_time")
    KIND_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    PLANNED_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    kind: str
    stage: str
    share: float
    planned: Passes
    start_time: _timestamp_pb2.Timestamp
    def __init__(self, kind: _Optional[str] = ..., stage: _Optional[str] = ..., share: _Optional[float] = ..., planned: _Optional[_Union[Passes, _Mapping]] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
