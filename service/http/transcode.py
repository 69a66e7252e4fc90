"""Between JSON and the messages of the API, by the canonical mapping of protobuf (camelCase, 64-bit numbers as
text, enums by name). Names of fields may be given as the protos have them, too."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from google.longrunning import operations_pb2
from google.protobuf import json_format, message_factory
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message

from interleaf.v1 import (
    circuits_pb2,
    edits_pb2,
    encoders_pb2,
    facts_pb2,
    inference_pb2,
    monitor_pb2,
    namespaces_pb2,
    reviews_pb2,
)
from kb_store.errors import InvalidInput
from service.errors import MalformedMessage
from service.http.rules import Rule

_MOST_TEXT = 300
_FIELD_MASK = "google.protobuf.FieldMask"
_FILES = (
    circuits_pb2,
    edits_pb2,
    encoders_pb2,
    facts_pb2,
    inference_pb2,
    monitor_pb2,
    namespaces_pb2,
    reviews_pb2,
    operations_pb2,
)
_METHODS: Mapping[str, MethodDescriptor] = {
    f"/{service.full_name}/{method.name}": method
    for file in _FILES
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}
_NUMBERS = (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT)


def method_of(name: str) -> MethodDescriptor:
    """By its full name, as in `/interleaf.v1.Facts/GetFact`."""
    return _METHODS[name]


def request_type(name: str) -> type[Message]:
    """What a method takes."""
    made: type[Message] = message_factory.GetMessageClass(method_of(name).input_type)
    return made


def request_of(
    rule: Rule, variables: Mapping[str, str], query: Sequence[tuple[str, str]], body: bytes
) -> Any:
    """The request of a call. InvalidInput or MalformedMessage when it is none."""
    if rule.body == "*":
        tree = object_of(body)
    elif rule.body:
        tree = {rule.body: object_of(body)}
    elif body:
        raise MalformedMessage("this call takes no body: its fields are given in the query")
    else:
        tree = {}
    return from_query(tree, request_type(rule.method)(), variables, query)


def from_query(
    tree: dict[str, Any],
    empty: Message,
    variables: Mapping[str, str],
    query: Sequence[tuple[str, str]],
) -> Any:
    """A message from what path and query say, over what the body said. The path has the last word."""
    for name, text in query:
        _put(tree, empty.DESCRIPTOR, name, text)
    for name, text in variables.items():
        _set(tree, name, text)
    return parse(tree, empty)


def parse(tree: dict[str, Any], empty: Message) -> Any:
    """The message, filled from a JSON object. MalformedMessage with a sentence when it does not fit."""
    kind = empty.DESCRIPTOR.name
    try:
        json_format.ParseDict(tree, empty)
    except json_format.ParseError as error:
        raise MalformedMessage(f"the JSON is no {kind}: {str(error)[:_MOST_TEXT]}") from None
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        raise MalformedMessage(f"the JSON is no {kind}") from None
    return empty


def tree_of(message: Message) -> dict[str, Any]:
    """A JSON object with every field that has no presence of its own, set or not."""
    made: dict[str, Any] = json_format.MessageToDict(message, always_print_fields_with_no_presence=True)
    return made


def json_of(message: Message) -> bytes:
    """The same as bytes, one line."""
    return json.dumps(tree_of(message), ensure_ascii=False, separators=(",", ":")).encode()


def object_of(body: bytes) -> dict[str, Any]:
    """A JSON object from bytes; an empty body is an empty object."""
    if not body.strip():
        return {}
    try:
        tree = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise MalformedMessage(f"the body is not JSON: {str(error)[:_MOST_TEXT]}") from None
    if not isinstance(tree, dict):
        raise MalformedMessage("the body must be a JSON object")
    return tree


def _put(tree: dict[str, Any], descriptor: Any, name: str, text: str) -> None:
    """Puts one parameter of a query where it belongs."""
    parts: list[str] = []
    at: Any = descriptor
    field: FieldDescriptor | None = None
    for part in name.split("."):
        field = None if at is None else at.fields_by_name.get(part) or at.fields_by_camelcase_name.get(part)
        if field is None:
            raise InvalidInput(name, f"is not a field of {descriptor.name}")
        at = field.message_type
        parts.append(field.name)
    path = ".".join(parts)
    if field is not None and field.is_repeated:
        inner, last = _place(tree, path)
        values = inner.setdefault(last, [])
        if not isinstance(values, list):
            raise MalformedMessage(f"{name} must be a list")
        values.append(_value(field, name, text))
    elif field is not None:
        _set(tree, path, _value(field, name, text))


def _value(field: FieldDescriptor, name: str, text: str) -> Any:
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        if text not in ("true", "false"):
            raise InvalidInput(name, "must be true or false")
        return text == "true"
    if field.cpp_type in _NUMBERS:
        try:
            return float(text)
        except ValueError:
            raise InvalidInput(name, "must be a number") from None
    if field.message_type is not None and field.message_type.full_name == _FIELD_MASK:
        return _camel(text)
    return text


def _set(tree: dict[str, Any], path: str, value: Any) -> None:
    inner, last = _place(tree, path)
    inner.pop(_camel(last), None)
    inner[last] = value


def _place(tree: dict[str, Any], path: str) -> tuple[dict[str, Any], str]:
    """The object that a path ends in, made where it is missing, and the last name."""
    *above, last = path.split(".")
    for part in above:
        tree = tree.setdefault(part, {})
        if not isinstance(tree, dict):
            raise MalformedMessage(f"{part} must be an object")
    return tree, last


def _camel(name: str) -> str:
    return re.sub(r"_([a-z])", lambda found: found[1].upper(), name)
