"""What a text, an id or a fact must look like. The service uses the same rules, so refusals read the same.

Every check raises `InvalidInput` (or its child `LimitExceeded`, which names the limit) for the field it is
given, and returns the value when all is well.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any

from kb_store.errors import InvalidInput, LimitExceeded
from kb_store.model import Content, Limits, RelationExamples

MAX_ID_LENGTH = 63
CONTENT_FIELDS = tuple(field.name for field in dataclasses.fields(Content))

_ID = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
# C0 and C1 controls (newline, tab and NUL among them), line and paragraph separators, lone surrogates.
_FORBIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_LARGEST_INTEGER = 2**63 - 1


def is_id(value: object) -> bool:
    """Whether something can be the id of a namespace or fact."""
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def check_id(field: str, value: str) -> str:
    """Ids: 1-63 lower-case letters, digits and hyphens, no hyphen at the ends."""
    if not is_id(value):
        raise InvalidInput(
            field, f"must be 1-{MAX_ID_LENGTH} lower-case letters, digits and inner hyphens: [a-z0-9-]"
        )
    return value


def _describe(character: str) -> str:
    code = ord(character)
    kind = "a lone surrogate" if 0xD800 <= code <= 0xDFFF else "a control character or line break"
    return f"{kind} (U+{code:04X})"


def check_text(field: str, value: object, limit: str, maximum: int, *, required: bool = False) -> str:
    """One line of Unicode text of at most `maximum` characters; `limit` is that limit's name."""
    if not isinstance(value, str):
        raise InvalidInput(field, "must be a text")
    if len(value) > maximum:
        raise LimitExceeded(field, limit, maximum, len(value))
    if not (value.isascii() and value.isprintable()):
        found = _FORBIDDEN.search(value)
        if found is not None:
            raise InvalidInput(
                field, f"must not contain {_describe(found.group())} at character {found.start() + 1}"
            )
    if required and (not value or value.isspace()):
        raise InvalidInput(field, "must not be empty")
    return value


def check_time(field: str, value: object) -> datetime | None:
    """A point in time with a zone, in UTC, or None."""
    if value is None:
        return None
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise InvalidInput(field, "must be a time with a time zone")
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise InvalidInput(field, "must be in the years 1 to 9999 of UTC") from None


def check_aliases(field: str, value: object, limits: Limits) -> tuple[str, ...]:
    """Other names of the subject: texts under the subject's limit, none of them empty."""
    if isinstance(value, str) or not isinstance(value, tuple | list):
        raise InvalidInput(field, "must be a list of texts")
    if len(value) > limits.max_aliases:
        raise LimitExceeded(field, "max_aliases", limits.max_aliases, len(value))
    maximum = limits.max_subject_length
    for index, alias in enumerate(value):
        check_text(f"{field}[{index}]", alias, "max_subject_length", maximum, required=True)
    return tuple(value)


def check_content(content: Content, limits: Limits, prefix: str = "") -> Content:
    """A whole fact. `prefix` stands before the field names in refusals, for example `fact.`."""
    check_text(
        prefix + "subject", content.subject, "max_subject_length", limits.max_subject_length, required=True
    )
    check_text(
        prefix + "relation",
        content.relation,
        "max_relation_length",
        limits.max_relation_length,
        required=True,
    )
    check_text(
        prefix + "object", content.object, "max_object_length", limits.max_object_length, required=True
    )
    if content.aliases:
        check_aliases(prefix + "aliases", content.aliases, limits)
    if content.source:
        check_text(prefix + "source", content.source, "max_source_length", limits.max_source_length)
    if content.valid_from is not None or content.valid_to is not None:
        start = check_time(prefix + "valid_from", content.valid_from)
        end = check_time(prefix + "valid_to", content.valid_to)
        if start is not None and end is not None and end <= start:
            raise InvalidInput(prefix + "valid_to", "must be later than valid_from")
    return content


def check_changes(changes: Mapping[str, object], limits: Limits, prefix: str = "") -> dict[str, Any]:
    """The changes of an update, field by field; together they are checked when merged with the rest."""
    checks = {
        "subject": ("max_subject_length", limits.max_subject_length, True),
        "relation": ("max_relation_length", limits.max_relation_length, True),
        "object": ("max_object_length", limits.max_object_length, True),
        "source": ("max_source_length", limits.max_source_length, False),
    }
    checked: dict[str, Any] = {}
    for name, value in changes.items():
        field = prefix + str(name)
        if name in checks:
            limit, maximum, required = checks[name]
            checked[name] = check_text(field, value, limit, maximum, required=required)
        elif name == "aliases":
            checked[name] = check_aliases(field, value, limits)
        elif name in ("valid_from", "valid_to"):
            checked[name] = check_time(field, value)
        else:
            raise InvalidInput(
                "update_mask", f"no such field; there are {', '.join(CONTENT_FIELDS)}", path=name
            )
    return checked


def check_display_name(field: str, value: object, limits: Limits) -> str:
    """A namespace's name for people; may be empty."""
    return check_text(field, value, "max_display_name_length", limits.max_display_name_length)


def check_relations(field: str, relations: Collection[str], limits: Limits) -> frozenset[str]:
    """The relations of a namespace that may have several objects."""
    maximum = limits.max_multi_valued_relations
    if len(relations) > maximum:
        raise LimitExceeded(field, "max_multi_valued_relations", maximum, len(relations))
    for relation in relations:
        check_text(field, relation, "max_relation_length", limits.max_relation_length, required=True)
    return frozenset(relations)


def check_examples(
    field: str, described: Collection[RelationExamples], limits: Limits
) -> tuple[RelationExamples, ...]:
    """How relations are asked for, each relation once; ordered by relation."""
    if len(described) > limits.max_described_relations:
        raise LimitExceeded(field, "max_described_relations", limits.max_described_relations, len(described))
    found: dict[str, RelationExamples] = {}
    for item in described:
        check_text(field, item.relation, "max_relation_length", limits.max_relation_length, required=True)
        if item.relation in found:
            raise InvalidInput(field, f"relation {item.relation!r} is described twice")
        if not item.examples:
            raise InvalidInput(field, f"relation {item.relation!r} has no examples")
        if len(item.examples) > limits.max_relation_examples:
            raise LimitExceeded(
                field, "max_relation_examples", limits.max_relation_examples, len(item.examples)
            )
        for example in item.examples:
            check_text(field, example, "max_example_length", limits.max_example_length, required=True)
        found[item.relation] = item
    return tuple(found[relation] for relation in sorted(found))


def check_integer(field: str, value: int, *, minimum: int = 0) -> int:
    """A whole number that a 64-bit column can hold."""
    if not minimum <= value <= _LARGEST_INTEGER:
        raise InvalidInput(field, f"must be between {minimum} and {_LARGEST_INTEGER}")
    return value
