"""The description says what the server does, and holds together."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from scripts.gen_protos import COMMENTS, comments
from service.calls import KINDS
from service.http.openapi import description
from service.http.rules import RULES

MADE = description(KINDS)


def parts(tree: Any) -> Iterator[Any]:
    yield tree
    for inner in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
        yield from parts(inner)


def test_every_call_is_described_by_its_proto() -> None:
    operations = [each for path in MADE["paths"].values() for each in path.values()]
    names = [each["operationId"] for each in operations]
    assert len(names) == len(set(names)) == len(RULES) + 4
    create = MADE["paths"]["/v1/namespaces/{namespace}/facts"]["post"]
    assert create["tags"] == ["Facts"]
    assert {each["name"] for each in create["parameters"]} == {
        "namespace",
        "factId",
        "onConflict",
        "requestId",
        "validateOnly",
    }
    assert create["requestBody"]["content"]["application/json"]["schema"] == {
        "$ref": "#/components/schemas/Fact"
    }
    assert MADE["components"]["schemas"]["Fact"]["properties"]["revision"]["type"] == "string"
    assert "never reused" in MADE["components"]["schemas"]["Fact"]["properties"]["uid"]["description"]


def test_references_lead_somewhere_and_variables_are_declared() -> None:
    schemas = MADE["components"]["schemas"]
    references = [part["$ref"] for part in parts(MADE) if isinstance(part, dict) and "$ref" in part]
    assert len(references) > 50
    assert all(reference.removeprefix("#/components/schemas/") in schemas for reference in references)
    for path, verbs in MADE["paths"].items():
        wanted = {piece[1:-1].partition("}")[0] for piece in path.split("/") if piece.startswith("{")}
        for operation in verbs.values():
            found = {each["name"] for each in operation.get("parameters", ()) if each["in"] == "path"}
            assert found == wanted, path


def test_messages_that_share_a_short_name_are_told_apart() -> None:
    """`interleaf.v1.Status` and `google.rpc.Status`, whichever is met first."""
    schemas = MADE["components"]["schemas"]
    told = MADE["paths"]["/v1/status"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert told == {"$ref": "#/components/schemas/Status"}
    assert "runningRequests" in schemas["Status"]["properties"]
    assert schemas["Operation"]["properties"]["error"]["$ref"] == "#/components/schemas/google.rpc.Status"
    assert set(schemas["google.rpc.Status"]["properties"]) == {"code", "message", "details"}
    assert [name for name in schemas if "." in name] == ["google.rpc.Status"]


def test_only_calls_that_are_offered_are_described() -> None:
    few = description({"/interleaf.v1.Facts/GetFact"})
    assert "/v1/namespaces/{namespace}/facts" not in few["paths"]
    json.dumps(MADE)


def test_comments_are_those_of_the_protos() -> None:
    assert COMMENTS.read_text(encoding="utf-8") == comments()
