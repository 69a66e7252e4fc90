"""Everything a diagnostic can refuse or end with.

CircuitError
├── InvalidIntervention   a node that the model does not have, shapes that do not fit, nothing left to attend to
├── InvalidProbe          a prompt, span or answer that cannot be studied (names the field)
├── Uncalibrated          nobody measured this model, or a file that is no calibration
└── Cancelled             the caller wants no more; nothing is left behind
"""

from __future__ import annotations


class CircuitError(Exception):
    """Base of all errors of the diagnostics. `reason` is stable."""

    reason = "CIRCUIT_ERROR"


class InvalidIntervention(CircuitError):
    """The change cannot be made to this model."""

    reason = "INVALID_INTERVENTION"


class InvalidProbe(CircuitError):
    """What is asked cannot be studied as it is."""

    reason = "INVALID_PROBE"

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field


class Uncalibrated(CircuitError):
    """There is no calibration of this model."""

    reason = "UNCALIBRATED"


class Cancelled(CircuitError):
    """The analysis was stopped."""

    reason = "CANCELLED"
