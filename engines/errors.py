"""Everything an engine can refuse or fail with.

EngineError
├── InvalidRequest     a prompt that does not fit, a fact of another encoder (names the field)
├── EngineBusy         the queue is full: try again later
├── UnsupportedModel   no architecture spec covers the model
├── ModelMissing       the model's files are not there: says how to prepare them
├── EngineLost         the engine's process has died; another is being started: try again
└── EngineClosed       the engine is shutting down
"""

from __future__ import annotations


class EngineError(Exception):
    """Base of all errors of the engines. `reason` is stable."""

    reason = "ENGINE_ERROR"


class InvalidRequest(EngineError):
    """The request cannot be served as it is."""

    reason = "INVALID_REQUEST"

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field


class EngineBusy(EngineError):
    """The queue is full."""

    reason = "ENGINE_BUSY"


class UnsupportedModel(EngineError):
    """No architecture spec covers this model."""

    reason = "UNSUPPORTED_MODEL"


class ModelMissing(EngineError):
    """The model's files are not there."""

    reason = "MODEL_MISSING"


class EngineClosed(EngineError):
    """The engine is shutting down."""

    reason = "ENGINE_CLOSED"


class EngineLost(EngineError):
    """The engine's process is gone or not there yet; it is being started again."""

    reason = "ENGINE_LOST"
    retry_seconds = 5.0  # loading a model takes longer than a moment
