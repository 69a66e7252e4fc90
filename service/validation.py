"""Checks of what requests carry, beyond what the store checks of facts. Every refusal names the field.

Numbers must be finite and in range, enum values known, names well-formed, ids UUIDs, texts free of NUL and
lone surrogates. What is over a limit names the limit.
"""

from __future__ import annotations

import math
import re
import uuid
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn, TypeVar

from kb_store.errors import InvalidInput, LimitExceeded
from kb_store.validation import is_id

T = TypeVar("T")

_NAMESPACE = re.compile(r"namespaces/([^/]+)")
_REVIEW = re.compile(r"namespaces/([^/]*)/reviews/([^/]*)")
_FACT = re.compile(r"namespaces/([^/]+)/facts/([^/]+)")
_OPERATION = re.compile(r"operations/([A-Za-z0-9-]{1,63})", re.ASCII)
_ENCODER = re.compile(r"encoders/([^/]+)")
_EDIT = re.compile(r"edits/([^/]+)")
_UNSENDABLE = re.compile("[\x00\ud800-\udfff]")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_SECOND, _LAST_SECOND = -62_135_596_800, 253_402_300_799
_ID_RULE = "1-63 lower-case letters, digits and inner hyphens"


def namespace_of(field: str, name: str) -> str:
    """The id in `namespaces/{namespace}`."""
    found = _NAMESPACE.fullmatch(name)
    if found is None or not is_id(found[1]):
        raise InvalidInput(field, f"must be of the form namespaces/NAMESPACE, an id being {_ID_RULE}")
    return found[1]


def fact_of(field: str, name: str) -> tuple[str, str]:
    """The ids in `namespaces/{namespace}/facts/{fact}`."""
    found = _FACT.fullmatch(name)
    if found is None or not (is_id(found[1]) and is_id(found[2])):
        raise InvalidInput(
            field, f"must be of the form namespaces/NAMESPACE/facts/FACT, ids being {_ID_RULE}"
        )
    return found[1], found[2]


def review_of(field: str, name: str) -> tuple[str, str]:
    """The ids in `namespaces/{namespace}/reviews/{review}`."""
    found = _REVIEW.fullmatch(name)
    if found is None or not (is_id(found[1]) and is_id(found[2])):
        raise InvalidInput(
            field, f"must be of the form namespaces/NAMESPACE/reviews/REVIEW, ids being {_ID_RULE}"
        )
    return found[1], found[2]


def fact_ids_of(field: str, names: Sequence[str], parent: str) -> tuple[str, ...]:
    """The ids of facts that must all be of one namespace, each named once."""
    ids = []
    for index, name in enumerate(names):
        namespace, fact_id = fact_of(f"{field}[{index}]", name)
        if namespace != parent:
            raise InvalidInput(f"{field}[{index}]", f"must be of namespaces/{parent}")
        ids.append(fact_id)
    if len(set(ids)) != len(ids):
        again = next(index for index, fact_id in enumerate(ids) if fact_id in ids[:index])
        raise InvalidInput(f"{field}[{again}]", "is named twice")
    return tuple(ids)


def operation_of(field: str, name: str) -> str:
    """The id in `operations/{operation}`."""
    found = _OPERATION.fullmatch(name)
    if found is None:
        raise InvalidInput(field, "must be of the form operations/OPERATION")
    return found[1]


def encoder_of(field: str, name: str) -> str:
    """The id in `encoders/{encoder}`."""
    found = _ENCODER.fullmatch(name)
    if found is None or not is_id(found[1]):
        raise InvalidInput(field, f"must be of the form encoders/ENCODER, an id being {_ID_RULE}")
    return found[1]


def edit_of(field: str, name: str) -> str:
    """The id in `edits/{edit}`."""
    found = _EDIT.fullmatch(name)
    if found is None or not is_id(found[1]):
        raise InvalidInput(field, f"must be of the form edits/EDIT, an id being {_ID_RULE}")
    return found[1]


def request_id(value: str) -> str:
    """Empty, or a UUID in its usual form; the nil UUID names nothing."""
    if not value:
        return ""
    try:
        parsed = uuid.UUID(value) if len(value) == 36 else None
    except ValueError:
        parsed = None
    if parsed is None or parsed.int == 0:
        raise InvalidInput("request_id", "must be a UUID, such as 6f1f0e0c-5b6a-4f0e-9c7e-0d8a4b1f2a3c")
    return str(parsed)


def known_enum(field: str, value: int, known: Mapping[int, T]) -> T:
    """The domain value of an enum value."""
    if value not in known and not value:
        raise InvalidInput(field, "must be given")
    if value not in known:
        raise InvalidInput(field, f"has no value {value}; there are {', '.join(map(str, sorted(known)))}")
    return known[value]


def not_negative(field: str, value: int) -> int:
    """0 or more."""
    if value < 0:
        raise InvalidInput(field, "must not be negative")
    return value


def within(field: str, value: float, limit: str, maximum: float) -> float:
    """0 or more, finite, at most `maximum`; `limit` is that limit's name."""
    if not math.isfinite(value) or value < 0:
        raise InvalidInput(field, "must be a finite number, 0 or more")
    if value > maximum:
        over(field, limit, maximum, value)
    return value


def within_or(default: float, field: str, value: float, limit: str, maximum: float) -> float:
    """The default for 0; else more than 0, finite, at most `maximum`."""
    if not math.isfinite(value) or value < 0:
        raise InvalidInput(field, "must be a finite number, more than 0")
    return within(field, value, limit, maximum) or default


def count(field: str, items: Collection[Any], limit: str, maximum: int, *, minimum: int = 0) -> None:
    """How many there may be."""
    if len(items) > maximum:
        raise LimitExceeded(field, limit, maximum, len(items))
    if len(items) < minimum:
        raise InvalidInput(field, "must not be empty")


def free_text(field: str, value: str, limit: str, maximum: int, *, required: bool = True) -> str:
    """A text of any lines, without NUL and lone surrogates."""
    if len(value) > maximum:
        raise LimitExceeded(field, limit, maximum, len(value))
    if _UNSENDABLE.search(value) is not None:
        raise InvalidInput(field, "must not contain NUL or lone surrogates")
    if required and not value.strip():
        raise InvalidInput(field, "must not be empty")
    return value


def page_size(value: int, default: int, maximum: int) -> int:
    """0 means the default; what is too large is lowered."""
    return min(not_negative("page_size", value) or default, maximum)


def moment(field: str, message: Any, name: str) -> datetime | None:
    """A Timestamp field of a message, None when it is not set. Below a microsecond it is cut off."""
    if not message.HasField(name):
        return None
    stamp = getattr(message, name)
    if not (_FIRST_SECOND <= stamp.seconds <= _LAST_SECOND and 0 <= stamp.nanos < 10**9):
        raise InvalidInput(field, "is not a time between the years 1 and 9999")
    return _EPOCH + timedelta(seconds=stamp.seconds, microseconds=stamp.nanos // 1000)


def mask(paths: Sequence[str], known: Sequence[str], field: str = "update_mask") -> tuple[str, ...]:
    """The fields that an update names; `*` is all of them."""
    if list(paths) == ["*"]:
        return tuple(known)
    for path in paths:
        if path not in known:
            raise InvalidInput(field, f"no such field; there are {', '.join(known)}", path=path[:100])
    return tuple(dict.fromkeys(paths))


def over(field: str, limit: str, maximum: float, actual: float) -> NoReturn:
    """Refuses a number that is over a limit."""
    error = LimitExceeded(field, limit, math.floor(maximum), math.ceil(actual))
    raise error
