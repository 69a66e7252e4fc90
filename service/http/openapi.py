"""The API as OpenAPI 3.1, made from the rules and the descriptors, so that it cannot say anything else."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from google.protobuf import descriptor_pool
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor

from service.http.openapi_fixed import ERROR, ERRORS, IMPORT_BODY, OPENAI_PATHS, OPENAI_SCHEMAS
from service.http.rules import EXPORT, IMPORT, RULES, Rule
from service.http.transcode import method_of

_VERSION = "1"
_OURS = "interleaf.v1"
_VARIABLE = re.compile(r"\{([a-z_.]+)(?:=([^}]+))?\}")
_WELL_KNOWN: Mapping[str, dict[str, Any]] = {
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.Duration": {"type": "string", "examples": ["1.5s"]},
    "google.protobuf.FieldMask": {"type": "string", "examples": ["object,validTo"]},
    "google.protobuf.Any": {
        "type": "object",
        "properties": {"@type": {"type": "string"}},
        "additionalProperties": True,
    },
    "google.protobuf.Empty": {"type": "object"},
}
_WHOLE = {"type": "integer", "format": "int32"}
_LONG = {"type": "string", "format": "int64"}
_REAL = {"type": "number", "format": "double"}
_SCALARS: Mapping[int, dict[str, Any]] = {
    FieldDescriptor.TYPE_STRING: {"type": "string"},
    FieldDescriptor.TYPE_BYTES: {"type": "string", "format": "byte"},
    FieldDescriptor.TYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.TYPE_INT32: _WHOLE,
    FieldDescriptor.TYPE_UINT32: _WHOLE,
    FieldDescriptor.TYPE_INT64: _LONG,
    FieldDescriptor.TYPE_UINT64: _LONG,
    FieldDescriptor.TYPE_DOUBLE: _REAL,
    FieldDescriptor.TYPE_FLOAT: _REAL,
}


@cache
def _comments() -> Mapping[str, str]:
    """What the protos say of their parts, by full name; made by scripts/gen_protos.py."""
    told: dict[str, str] = json.loads((files("service.http") / "comments.json").read_text(encoding="utf-8"))
    return told


def description(methods: Collection[str]) -> dict[str, Any]:
    """The whole description, of the calls that the server offers."""
    schemas: dict[str, Any] = {"Error": ERROR, **OPENAI_SCHEMAS}
    paths: dict[str, Any] = {}
    for rule in RULES:
        if rule.method in methods:
            for path, operation in _operations(rule, schemas):
                paths.setdefault(path, {})[rule.verb.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Interleaf",
            "version": _VERSION,
            "description": "The calls of the gRPC API as JSON, and the paths that OpenAI's clients use.",
        },
        "paths": {**paths, **OPENAI_PATHS},
        "components": {
            "schemas": schemas,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"key": []}],
    }


def _operations(rule: Rule, schemas: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    method = method_of(rule.method)
    inputs: Any = method.input_type
    in_path = _VARIABLE.findall(rule.path)
    if rule.method == IMPORT:
        inputs = inputs.fields_by_name["header"].message_type
    names = {name for name, _ in in_path}
    parameters = []
    path = rule.path
    for name, shape in in_path:
        # `namespaces/{namespace}/facts/{fact}`: a part of the path is one variable.
        spelt = re.sub(r"(\w+)s/\*", lambda found: f"{found[1]}s/{{{found[1]}}}", shape)
        path = path.replace(f"{{{name}={shape}}}", spelt)
        parameters += [
            {"name": part, "in": "path", "required": True, "schema": {"type": "string"}}
            for part in re.findall(r"\{(\w+)\}", spelt)
        ]
    if rule.body != "*":
        parameters += [
            _parameter(field, schemas)
            for field in inputs.fields
            if field.name not in names and field.name != rule.body
        ]
    made: dict[str, Any] = {
        "operationId": method.name,
        "tags": [method.containing_service.name],
        "summary": _first_sentence(_comments().get(method.full_name, method.name)),
        "description": _comments().get(method.full_name, ""),
        "parameters": parameters,
        "responses": {"200": _answer(method, rule, schemas), **ERRORS},
    }
    if rule.method == IMPORT:
        made["requestBody"] = IMPORT_BODY
    elif rule.body:
        read: Any = inputs if rule.body == "*" else inputs.fields_by_name[rule.body].message_type
        made["requestBody"] = {
            "required": rule.body != "*",
            "content": {"application/json": {"schema": _reference(read, schemas)}},
        }
    yield f"/v1/{path}", made


def _answer(method: MethodDescriptor, rule: Rule, schemas: dict[str, Any]) -> dict[str, Any]:
    if rule.method == EXPORT:
        file = {"schema": {"type": "string", "format": "binary"}}
        return {"description": "The file.", "content": {"text/csv": file, "application/jsonl": file}}
    schema = _reference(method.output_type, schemas)
    if method.server_streaming and rule.method != IMPORT:
        told = "Server-sent events, one message each; a failure on the way is an event with `error`."
        return {"description": told, "content": {"text/event-stream": {"schema": schema}}}
    return {"description": "Done.", "content": {"application/json": {"schema": schema}}}


def _parameter(field: FieldDescriptor, schemas: dict[str, Any]) -> dict[str, Any]:
    made = {"name": field.json_name, "in": "query", "schema": _field(field, schemas)}
    comment = _comments().get(field.full_name)
    return {**made, "description": comment} if comment else made


def _reference(descriptor: Descriptor, schemas: dict[str, Any]) -> dict[str, Any]:
    """The schema of a message, put among the others when it is first met."""
    if descriptor.full_name in _WELL_KNOWN:
        return _WELL_KNOWN[descriptor.full_name]
    name = _name(descriptor)
    if name not in schemas:
        schema: dict[str, Any] = {"type": "object"}
        schemas[name] = schema
        if comment := _comments().get(descriptor.full_name):
            schema["description"] = comment
        schema["properties"] = {field.json_name: _field(field, schemas) for field in descriptor.fields}
    return {"$ref": f"#/components/schemas/{name}"}


def _name(descriptor: Descriptor) -> str:
    """The short one, but for a message from elsewhere that shares it with one of ours."""
    try:
        ours = descriptor_pool.Default().FindMessageTypeByName(f"{_OURS}.{descriptor.name}")
    except KeyError:
        return descriptor.name
    return descriptor.name if descriptor.full_name == ours.full_name else descriptor.full_name


def _field(field: FieldDescriptor, schemas: dict[str, Any]) -> dict[str, Any]:
    comment = _comments().get(field.full_name, "")
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        values = _single(field.message_type.fields_by_name["value"], schemas)
        schema: dict[str, Any] = {"type": "object", "additionalProperties": values}
    elif field.is_repeated:
        schema = {"type": "array", "items": _single(field, schemas)}
    else:
        schema = _single(field, schemas)
    if comment.startswith("Output only"):
        schema = {**schema, "readOnly": True}
    return {**schema, "description": comment} if comment else schema


def _single(field: FieldDescriptor, schemas: dict[str, Any]) -> dict[str, Any]:
    if field.message_type is not None:
        return _reference(field.message_type, schemas)
    if field.enum_type is not None:
        return {"type": "string", "enum": [value.name for value in field.enum_type.values]}
    return _SCALARS[field.type]


def _first_sentence(text: str) -> str:
    return re.split(r"(?<=\.)\s", text, maxsplit=1)[0]
