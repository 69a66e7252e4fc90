"""Values that people write, such as a recipe's and an edit's settings: of the right kind, and within their bounds."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError


@dataclass(frozen=True, slots=True)
class Bound:
    """What a value must be, and how that is said."""

    said: str
    holds: Callable[[Any], bool]


COUNT = Bound("1 or more", lambda value: value >= 1)
ABOVE_ZERO = Bound("above 0", lambda value: value > 0)
NOT_NEGATIVE = Bound("0 or more", lambda value: value >= 0)
SHARE = Bound("from 0 to 1", lambda value: 0 <= value <= 1)
# Adam moves every number by about as much in a step: with more nothing is learned.
RATE = Bound("above 0 and at most 100", lambda value: 0 < value <= 100)


class NotThat(ValueError):
    """The value cannot be taken; says what it must be."""


def written(value: Any, kind: Any, bound: Bound | None = None) -> Any:
    """The value as the type hint has it; NotThat where it is none, not finite, or out of bounds. As JSON a list may
    become a tuple and an integer a float, and nothing else becomes something else."""
    try:
        text = json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        raise NotThat(f"{value} is not a value that can be given here") from None
    try:
        found = TypeAdapter(kind).validate_json(text, strict=True)
    except ValidationError as error:
        raise NotThat(error.errors()[0]["msg"]) from None
    if bound is not None and found is not None and not bound.holds(found):
        raise NotThat(f"must be {bound.said}")
    return found
