"""What can be compared: methods that bring a model into an edited state for one case, and back."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from editors.metrics.counterfact import EditCase
from editors.metrics.speaking import ModelSpeaker, Speaker, View, plainly
from editors.weights.contract import Means
from editors.weights.methods import make_editor, named_method
from editors.weights.model import EditableModel

ORIGINAL = "original"


@dataclass(frozen=True, slots=True)
class EditedState:
    """The model as it now is: what it says, and how to look at it while it does."""

    speaker: Speaker
    view: View
    seconds: float  # that computing the edit took


class Contender(Protocol):
    """A method with its settings. Within `edited` nobody else may use the model; after it all bytes are back."""

    @property
    def name(self) -> str:
        """For people."""
        ...

    @property
    def layers(self) -> tuple[int, ...]:
        """Where it intervenes; empty for the unedited model."""
        ...

    @property
    def writes(self) -> bool:
        """Whether it changes the MLPs of these layers."""
        ...

    def edited(self, case: EditCase) -> AbstractContextManager[EditedState]:
        """Computes the edit and puts it in place."""
        ...


class Unedited:
    """The model as it is, for comparison."""

    name = ORIGINAL
    layers: tuple[int, ...] = ()
    writes = False

    def __init__(self, editable: EditableModel) -> None:
        self._speaker = ModelSpeaker(editable.model, editable.tokenizer)

    @contextmanager
    def edited(self, case: EditCase) -> Iterator[EditedState]:
        """Nothing changes."""
        yield EditedState(self._speaker, plainly, 0.0)


class WeightEdit:
    """An editor of weights by its name. InvalidEdit when the settings are not its."""

    writes = True

    def __init__(self, editable: EditableModel, name: str, settings: Mapping[str, Any], means: Means) -> None:
        method, fixed = named_method(name)
        self.name = name
        self._editor = make_editor(method, {**settings, **fixed})
        config = self._editor.config
        self.layers: tuple[int, ...] = tuple(config.layers) if hasattr(config, "layers") else (config.layer,)
        self._editable, self._means = editable, means
        self._speaker = ModelSpeaker(editable.model, editable.tokenizer)

    @contextmanager
    def edited(self, case: EditCase) -> Iterator[EditedState]:
        """The edit's delta is applied."""
        began = time.perf_counter()
        delta = self._editor.compute(self._editable, [case.request], self._means)
        seconds = time.perf_counter() - began
        with self._editable.applied(delta):
            yield EditedState(self._speaker, plainly, seconds)
