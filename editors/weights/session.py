"""Edits for the time of a `with`: each computed on the model as it then is; all are taken back at the end.

with session(model, tokenizer) as editing:
    editing.edit("ft_m", [EditRequest("The capital of France is", "France", "Lyon")])
    ...  # the model is edited
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from editors.weights.contract import Means
from editors.weights.corpus import builtin_corpus
from editors.weights.delta import Delta
from editors.weights.methods import make_editor
from editors.weights.model import EditableModel
from editors.weights.request import EditRequest
from editors.weights.specs import spec_of
from editors.weights.statistics import KeyStatistics
from engines.models import cache_dir


class EditSession:
    """What `session` gives."""

    def __init__(self, editable: EditableModel, means: Means) -> None:
        self.editable, self.means = editable, means

    def compute(self, method: str, requests: Sequence[EditRequest], **settings: Any) -> Delta:
        """A delta for the model as it is now. `settings` are laid over those that were measured for the model."""
        return compute(self.editable, method, requests, self.means, settings)

    def edit(self, method: str, requests: Sequence[EditRequest], **settings: Any) -> Delta:
        """Computes and applies."""
        delta = self.compute(method, requests, **settings)
        self.editable.apply(delta)
        return delta

    def revert(self, delta: Delta) -> None:
        """Takes one back before the end."""
        self.editable.revert(delta)


@contextmanager
def session(
    model: Any, tokenizer: Any, *, digest: str | None = None, means: Means | None = None
) -> Iterator[EditSession]:
    """Edits to this model; at the end, also after an exception, its original bytes are back.

    `digest`: the model's, if it is known. Without `means`, key statistics come from the built-in text and are kept
    in the cache. Nobody else may run or change the model meanwhile.
    """
    editing = EditSession(EditableModel(model, tokenizer, digest), means or default_means())
    try:
        yield editing
    finally:
        editing.editable.revert_all()


def default_means() -> Means:
    """Built-in text, statistics kept in the cache folder."""
    return Means(KeyStatistics(builtin_corpus(), folder=cache_dir() / "keys"))


def compute(
    editable: EditableModel,
    method: str,
    requests: Sequence[EditRequest],
    means: Means,
    settings: Mapping[str, Any],
) -> Delta:
    """With the measured settings of the model, where there are any, and these laid over them.

    Unmeasured when the layer is in neither.
    """
    chosen = measured_settings(editable.digest, method, settings)
    return make_editor(method, chosen).compute(editable, requests, means)


def measured_settings(model_digest: str, method: str, settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """These settings over those that were measured for the model; where they name a layer, they stand alone."""
    if {"layer", "layers"} & set(settings):
        return settings
    return {**spec_of(model_digest, user_specs()).settings(method), **settings}


def user_specs() -> Path:
    """Where the layer sweep's results for a user's own models are looked for."""
    return cache_dir() / "edit-specs"
