"""The editors by name, made from plain settings."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from editors.weights.contract import Editor
from editors.weights.errors import InvalidEdit
from editors.weights.finetune import FineTuneConfig, ft_l, ft_m
from editors.weights.memit import Memit, MemitConfig
from editors.weights.rome import Rome, RomeConfig

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


def named_method(name: str) -> tuple[str, Mapping[str, Any]]:
    """Of NAMED; InvalidEdit for a name that is not there."""
    if name not in NAMED:
        raise InvalidEdit("method", f"{name!r} is none of {', '.join(NAMED)}")
    return NAMED[name]


def make_editor(method: str, settings: Mapping[str, Any]) -> Editor:
    """InvalidEdit for an unknown method, an unknown setting, or one that is missing."""
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
    return make(config_type(**{name: _hashable(value) for name, value in settings.items()}))


def _hashable(value: Any) -> Any:
    """Lists as tuples: settings come from JSON too."""
    return tuple(_hashable(item) for item in value) if isinstance(value, list | tuple) else value
