"""Everything an editor of weights can refuse or fail with.

EditError
├── InvalidEdit     a request that cannot be carried out (names the field)
├── DeltaMismatch   the model's tensors are not those that the delta was made for
├── DeltaInUse      another applied delta rests on this one, or it is not applied at all
├── DeltaDamaged    files on disk do not match their manifest
└── Unmeasured      nobody has chosen layers for this model yet: run the layer sweep
"""

from __future__ import annotations


class EditError(Exception):
    """Base of all errors of the weight editors. `reason` is stable."""

    reason = "EDIT_ERROR"


class InvalidEdit(EditError):
    """The request cannot be carried out as it is."""

    reason = "INVALID_EDIT"

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field


class DeltaMismatch(EditError):
    """The tensors are not those that the delta was made for."""

    reason = "DELTA_MISMATCH"


class DeltaInUse(EditError):
    """The delta cannot be taken back now."""

    reason = "DELTA_IN_USE"


class DeltaDamaged(EditError):
    """Files do not match their manifest."""

    reason = "DELTA_DAMAGED"


class Unmeasured(EditError):
    """No layer has been chosen for this model."""

    reason = "UNMEASURED"
