"""What every editor of weights is: a pure function from a model and requests to a delta."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from editors.weights.delta import Delta, TensorChange
from editors.weights.errors import InvalidEdit
from editors.weights.model import EditableModel
from editors.weights.request import EditRequest
from editors.weights.statistics import KeyStatistics
from engines.models import Progress


@dataclass(frozen=True, slots=True)
class Means:
    """What a computation may use besides the model."""

    statistics: KeyStatistics | None = None  # rome and memit need it
    progress: Progress = lambda what, share: None  # may raise, to cancel

    def required_statistics(self) -> KeyStatistics:
        """InvalidEdit where there are none."""
        if self.statistics is None:
            raise InvalidEdit(
                "statistics", "this method needs key statistics (or must be told to do without)"
            )
        return self.statistics


class Editor(Protocol):
    """`compute` never writes a weight and leaves no hook behind, also when it fails or `progress` raises.

    It sees the model as it is, applied edits included; the delta is for exactly that state.
    """

    @property
    def name(self) -> str:
        """Stable; a delta carries it."""
        ...

    @property
    def config(self) -> Any:
        """A frozen dataclass of plain values."""
        ...

    def compute(self, editable: EditableModel, requests: Sequence[EditRequest], means: Means) -> Delta:
        """The change that makes the model say each target after its prompt."""
        ...


def delta_of(
    editor: Editor,
    editable: EditableModel,
    requests: Sequence[EditRequest],
    changes: Sequence[TensorChange],
    **figures: Any,
) -> Delta:
    """An editor's result."""
    return Delta(
        method=editor.name,
        config=dataclasses.asdict(editor.config),
        model_digest=editable.digest,
        requests=tuple(requests),
        changes=tuple(changes),
        figures=figures,
    )


def check_edit(editable: EditableModel, requests: Sequence[EditRequest], layers: Sequence[int]) -> None:
    """InvalidEdit for nothing to do, and as `check_within`."""
    if not requests:
        raise InvalidEdit("requests", "there are none")
    check_within(layers, len(editable.spec.layers))


def check_within(layers: Sequence[int], count: int) -> None:
    """InvalidEdit for a layer that a model of so many does not have, and for layers that do not ascend."""
    if not layers or any(not 0 <= layer < count for layer in layers):
        raise InvalidEdit("layer", f"{list(layers)} is not within the model's {count} layers")
    if list(layers) != sorted(set(layers)):
        raise InvalidEdit("layers", "must ascend")
