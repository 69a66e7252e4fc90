"""A training recipe as one TOML file, so that a run can be repeated from a text that people read.

The keys are the fields of `service.encoders.training.Recipe`, nested ones as tables. What a file leaves out keeps its
default; a key that does not exist, or a value of the wrong kind, is refused with its name.
"""

from __future__ import annotations

import dataclasses
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from pydantic import TypeAdapter, ValidationError

from service.config import ConfigError
from service.encoders.training import Recipe

T = TypeVar("T")

# Then the judge reads no states; recalls nothing.
_MAY_BE_NONE = frozenset({"states.steps", "matching.recalled"})
# Keys of which less than one makes no sense, whatever section they are in.
_COUNTS = frozenset(
    {
        "steps",
        "pairs",
        "batch",
        "checkpoint_every",
        "warmup",
        "evaluation_problems",
        "facts",
        "questions",
        "rank",
        "of_kind",
        "epochs",
        "repeats",
        "remembered",
        "recalled",
        "phrasings",
        "width",
    }
)


class RecipeError(ConfigError):
    """The recipe cannot be used; the message names the key."""


def read_recipe(path: Path) -> Recipe:
    """From a file; RecipeError says what is wrong with it."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"cannot read {path}: {error}") from None
    return parse_recipe(text)


def parse_recipe(text: str) -> Recipe:
    """From TOML."""
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"the recipe is not TOML: {error}") from None
    return recipe_of(values)


def recipe_of(values: Mapping[str, Any]) -> Recipe:
    """From plain values, such as a manifest's; what is missing has its default."""
    return _changed(Recipe(), values, "")


def recipe_values(recipe: Recipe) -> dict[str, Any]:
    """Plain values, as JSON has them: the inverse of `recipe_of`."""
    values: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(recipe)))
    return values


def recipe_text(values: Mapping[str, Any]) -> str:
    """Plain values as TOML: keys first, then a table for each section."""
    return "\n".join(_tables(values, "")).strip() + "\n"


def differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Keys in which two recipes differ, with both values; for one who goes on with a run."""
    found = []
    for key in sorted(old.keys() | new.keys()):
        before, after = old.get(key), new.get(key)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            found += differences(before, after, f"{prefix}{key}.")
        elif before != after:
            found.append(f"{prefix}{key}: {json.dumps(before)} -> {json.dumps(after)}")
    return found


def _changed(base: T, values: Mapping[str, Any], where: str) -> T:
    """A dataclass with some of its fields replaced."""
    kinds = get_type_hints(type(base))
    known = [item.name for item in dataclasses.fields(base)]  # type: ignore[arg-type]
    changes: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{where}{key}"
        if key not in known:
            raise RecipeError(f"{name}: there is no such key; there are {', '.join(known)}")
        if dataclasses.is_dataclass(kinds[key]):
            if not isinstance(value, Mapping):
                raise RecipeError(f"{name}: must be a table")
            changes[key] = _changed(getattr(base, key), value, f"{name}.")
        else:
            changes[key] = _value(name, key, value, kinds[key])
    return dataclasses.replace(base, **changes)  # type: ignore[type-var]


def _value(name: str, key: str, value: Any, kind: Any) -> Any:
    try:
        # As JSON a list may become a tuple and an integer a float, and nothing else becomes something else.
        found = TypeAdapter(kind).validate_json(json.dumps(value, allow_nan=False), strict=True)
    except ValidationError as error:
        raise RecipeError(f"{name}: {error.errors()[0]['msg']}") from None
    except (TypeError, ValueError):
        raise RecipeError(f"{name}: {value} is not a value that a recipe can hold") from None
    if key in _COUNTS and name not in _MAY_BE_NONE and isinstance(found, int) and found < 1:
        raise RecipeError(f"{name}: must be 1 or more")
    return found


def _tables(values: Mapping[str, Any], name: str) -> list[str]:
    lines = [f"[{name}]"] if name else []
    sections = []
    for key, value in values.items():
        if isinstance(value, Mapping):
            sections += ["", *_tables(value, f"{name}.{key}" if name else key)]
        elif value is None:
            lines.append(f"# {key} is unset")
        else:
            lines.append(f"{key} = {json.dumps(value, ensure_ascii=False)}")
    return [*lines, *sections]
