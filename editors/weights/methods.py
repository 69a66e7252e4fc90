"""The editors by name, made from plain settings."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, get_type_hints

from editors.weights.contract import Editor, check_within
from editors.weights.errors import InvalidEdit
from editors.weights.finetune import FineTuneConfig, ft_l, ft_m
from editors.weights.memit import Memit, MemitConfig
from editors.weights.rome import Rome, RomeConfig
from editors.written_values import ABOVE_ZERO, COUNT, NOT_NEGATIVE, RATE, Bound, NotThat, written

# By name: the type of its settings, and how it is made of them.
METHODS: Mapping[str, tuple[type[Any], Callable[[Any], Editor]]] = {
    "rome": (RomeConfig, Rome),
    "memit": (MemitConfig, Memit),
    "ft_m": (FineTuneConfig, ft_m),
    "ft_l": (FineTuneConfig, ft_l),
}

# What people call them: the method, and what its name fixes.
NAMED: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "rrome": ("rome", {"corrected": True}),
    "rome": ("rome", {"corrected": False}),
    "memit": ("memit", {}),
    "ft_m": ("ft_m", {}),
    "ft_l": ("ft_l", {}),
}

_BOUNDS: Mapping[str, Bound] = {
    "steps": COUNT,
    "facts_at_once": COUNT,
    "layer": NOT_NEGATIVE,
    "rate": RATE,
    "clamp": ABOVE_ZERO,
    "covariance": ABOVE_ZERO,
    "drift": NOT_NEGATIVE,
    "decay": NOT_NEGATIVE,
    "ridge": NOT_NEGATIVE,
}


def named_method(name: str) -> tuple[str, Mapping[str, Any]]:
    """Of NAMED; InvalidEdit for a name that is not there."""
    if name not in NAMED:
        raise InvalidEdit("method", f"{name!r} is none of {', '.join(NAMED)}")
    return NAMED[name]


def make_editor(method: str, settings: Mapping[str, Any]) -> Editor:
    """InvalidEdit for an unknown method, an unknown setting, one that is missing, and one that cannot be so."""
    if method not in METHODS:
        raise InvalidEdit("method", f"{method!r} is none of {', '.join(METHODS)}")
    config_type, make = METHODS[method]
    fields = {item.name: item for item in dataclasses.fields(config_type)}
    for name in settings:
        if name not in fields:
            raise InvalidEdit(f"settings.{name}", f"{method} has no such setting; it has {', '.join(fields)}")
    for name, item in fields.items():
        required = item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING
        if required and name not in settings:
            raise InvalidEdit(f"settings.{name}", f"{method} needs it")
    kinds = get_type_hints(config_type)
    return make(config_type(**{name: _value(name, value, kinds[name]) for name, value in settings.items()}))


def check_layers(editor: Editor, count: int) -> None:
    """InvalidEdit where it would edit a layer that a model of so many does not have."""
    config = editor.config
    check_within([config.layer] if hasattr(config, "layer") else config.layers, count)


def _value(name: str, value: Any, kind: Any) -> Any:
    try:
        found = written(value, kind, _BOUNDS.get(name))
        if name == "prefixes" and any(tokens < 1 or texts < 0 for tokens, texts in found):
            raise NotThat("must be pairs of tokens, 1 or more, and how many texts, 0 or more")
    except NotThat as error:
        raise InvalidEdit(f"settings.{name}", str(error)) from None
    return found
