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

from editors.written_values import ABOVE_ZERO, COUNT, NOT_NEGATIVE, RATE, SHARE, Bound, NotThat, written
from engines.reader import READER
from service.config import ConfigError
from service.encoders.training import Recipe

T = TypeVar("T")

# Other numbers would train into nowhere, and say that it went well.
_BOUNDS: Mapping[str, Bound] = {
    "states.steps": NOT_NEGATIVE,  # 0: the judge reads no states
    "matching.recalled": NOT_NEGATIVE,  # 0: recalls nothing
    "closer.steps": NOT_NEGATIVE,  # 0: no closer look
    "closer.learning_rate": RATE,
    "closer.absent": SHARE,
    "closer.near": SHARE,
    "closer.by_example": SHARE,
    "rehearsal.subjects": NOT_NEGATIVE,
    "train.learning_rate": RATE,
    "train.bias_learning_rate": RATE,
    "train.weight_decay": NOT_NEGATIVE,
    "train.clip": ABOVE_ZERO,
    "train.weights.absent": NOT_NEGATIVE,
    "train.weights.after": NOT_NEGATIVE,
    "train.weights.closing": NOT_NEGATIVE,
    "train.weights.attention": NOT_NEGATIVE,
    "matching.reader": Bound(f"{READER!r}, or '' for the embedder of retrieval", ("", READER).__contains__),
    "matching.learning_rate": RATE,
    "matching.other_names": SHARE,
    "matching.context": SHARE,
    "states.learning_rate": RATE,
    "states.weight_decay": NOT_NEGATIVE,
    "states.other_names": SHARE,
    "states.dropout": Bound("0 or more, and below 1", lambda value: 0 <= value < 1),
    "start.written_share": ABOVE_ZERO,
    "start.matched_logit": ABOVE_ZERO,
    "rehearsal.learning_rate": RATE,
    "rehearsal.decay": Bound("above 0 and at most 1", lambda value: 0 < value <= 1),
    "rehearsal.later": SHARE,
    "rehearsal.absent": SHARE,
    "rehearsal.layerwise": NOT_NEGATIVE,
}
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
        return written(value, kind, _BOUNDS.get(name, COUNT if key in _COUNTS else None))
    except NotThat as error:
        raise RecipeError(f"{name}: {error}") from None


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
