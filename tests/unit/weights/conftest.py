"""Editable tiny models of every family, and requests for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from editors.weights.contract import Means
from editors.weights.corpus import builtin_corpus
from editors.weights.model import EditableModel
from editors.weights.request import EditRequest
from editors.weights.statistics import KeyStatistics
from engines.errors import ModelMissing
from engines.models import default_model_path, load_model
from tests.unit.engines.tiny_models import byte_tokenizer, tiny_model

# Settings under which an edit of a tiny random model takes, in a few steps.
TINY: dict[str, dict[str, Any]] = {
    "rome": {"layer": 1, "steps": 40, "clamp": 40.0, "decay": 0.0, "drift": 0.0, "prefixes": ((2, 2),)},
    "memit": {
        "layers": (1, 2),
        "steps": 40,
        "clamp": 40.0,
        "decay": 0.0,
        "drift": 0.0,
        "covariance": 0.01,
        "prefixes": ((2, 2),),
    },
    "ft_m": {"layer": 1, "steps": 60, "rate": 0.02},
    "ft_l": {"layer": 1, "steps": 60, "rate": 0.02},
}
REQUESTS = (
    EditRequest("Tom Berg is from", "Tom Berg", "Oslo"),
    EditRequest("The mayor of Ulm is", "Ulm", "Eva"),
)


@pytest.fixture(scope="session")
def means() -> Means:
    return Means(KeyStatistics(builtin_corpus(), tokens=1500))


@pytest.fixture
def tiny() -> Callable[..., EditableModel]:
    def make(kind: str = "llama", **changes: Any) -> EditableModel:
        return EditableModel(tiny_model(kind, **changes), byte_tokenizer())

    return make


@pytest.fixture(scope="session")
def default_model() -> EditableModel:
    try:
        path = default_model_path()
    except ModelMissing as error:
        pytest.skip(str(error))
    return EditableModel(*load_model(path))
