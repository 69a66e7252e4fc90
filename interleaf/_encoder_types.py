"""What `client.encoders` returns. Times are aware UTC datetimes."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


class EncoderState(enum.StrEnum):
    """Where an encoder stands."""

    TRAINED = "trained"
    UNFINISHED = "unfinished"  # `train` goes on with it
    DAMAGED = "damaged"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Calibration:
    """What a server decides with: when an answer is grounded, how the retriever's evidence weighs, how many facts.

    It holds for the weights that `digest` names. `namespace` is empty where it was fitted on the held-out world.
    """

    encoder: str
    digest: str
    grounded_threshold: float
    prior_scale: float
    prior_offset: float
    top_k: int
    figures: Mapping[str, float] = field(hash=False)
    namespace: str
    create_time: datetime | None


@dataclass(frozen=True, slots=True)
class Encoder:
    """What turns facts into key/value tokens for `model`. `name` is encoders/{encoder}, `id` its last part.

    `figures` are what it was measured to do at the end of its training; `recipe` is TOML.
    """

    name: str
    state: EncoderState
    shipped: bool
    digest: str
    model: str
    model_digest: str
    layers: tuple[int, ...]
    steps: int
    train_seconds: float
    figures: Mapping[str, float] = field(hash=False)
    calibration: Calibration | None
    size_bytes: int
    recipe: str

    @property
    def id(self) -> str:
        """The last part of the name."""
        return self.name.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What an encoder was measured to do on what it never saw: rates 0..1, each of so many `questions`."""

    encoder: str
    digest: str
    figures: Mapping[str, float] = field(hash=False)
    questions: int


@dataclass(frozen=True, slots=True)
class LayerScore:
    """How often a question finds its fact at a layer, among those of one relation, and of one subject."""

    layer: int
    correlation: float
    same_relation: float
    same_subject: float
    fitted: float


@dataclass(frozen=True, slots=True)
class LayerSweep:
    """Where a question can find its fact; `suggested` are the layers to attend to facts in."""

    model: str
    layers: tuple[LayerScore, ...]
    suggested: tuple[int, ...]
    same_relation_facts: int
    same_subject_facts: int
