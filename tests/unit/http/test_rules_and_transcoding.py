"""Every call has a path, every path leads to one call, and JSON becomes the message that it says."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interleaf.v1 import facts_pb2, namespaces_pb2
from kb_store.errors import InvalidInput
from service.calls import KINDS
from service.errors import MalformedMessage
from service.http.rules import RULES, find, verbs
from service.http.transcode import json_of, method_of, object_of, request_of, tree_of

FACT = "namespaces/ns/facts/one"


def made(verb: str, path: str, query: list[tuple[str, str]] | None = None, body: Any = None) -> Any:
    found = find(verb, path)
    assert found is not None
    return request_of(*found, query or [], b"" if body is None else json.dumps(body).encode())


def test_every_call_has_exactly_one_rule() -> None:
    assert sorted(rule.method for rule in RULES) == sorted(KINDS)


def test_no_path_is_for_two_calls_with_one_verb() -> None:
    for rule in RULES:
        path = rule.path
        for name in ("parent", "name", "fact.name", "namespace.name"):
            for shape in (
                "namespaces/*/facts/*",
                "namespaces/*/reviews/*",
                "namespaces/*",
                "encoders/*",
                "edits/*",
                "operations/*",
            ):
                path = path.replace(f"{{{name}={shape}}}", shape.replace("*", "x"))
        assert "{" not in path
        assert [each for each in RULES if each.match(rule.verb, path) is not None] == [rule]


def test_names_in_paths_become_fields_and_have_the_last_word() -> None:
    request = made("PATCH", FACT, body={"name": "namespaces/other/facts/two", "object": "Bremen"})
    assert (request.fact.name, request.fact.object) == (FACT, "Bremen")
    request = made("POST", f"{FACT}:rollback", body={"revision": "3", "name": "something else"})
    assert (request.name, request.revision) == (FACT, 3)
    assert find("GET", "namespaces/a/b/facts/c") is None
    assert find("GET", "namespaces//facts/c") is None
    assert verbs(FACT) == ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH"]
    assert verbs("injections:watch") == ["GET", "OPTIONS"]
    assert verbs("encoders:train") == ["OPTIONS", "POST"]
    assert verbs("nowhere") == []
    assert find("HEAD", FACT) == find("GET", FACT)


def test_queries_take_both_spellings_lists_and_parts() -> None:
    request = made("GET", "namespaces/ns/facts", [("pageSize", "5"), ("show_deleted", "true")])
    assert (request.page_size, request.show_deleted) == (5, True)
    request = made("GET", "namespaces/ns/facts:batchGet", [("names", "a"), ("names", "b")])
    assert list(request.names) == ["a", "b"]
    mask = made("PATCH", FACT, [("update_mask", "object,valid_from")], {"object": "x"}).update_mask
    assert list(mask.paths) == ["object", "valid_from"]
    request = made("POST", "namespaces", [("namespace_id", "x"), ("validateOnly", "true")], {})
    assert isinstance(request, namespaces_pb2.CreateNamespaceRequest)
    assert (request.namespace_id, request.validate_only) == ("x", True)
    request = made("PATCH", FACT, [("fact.source", "a book")], {"object": "x"})
    assert (request.fact.source, request.fact.object) == ("a book", "x")


@pytest.mark.parametrize(
    ("query", "field"), [([("nothing", "1")], "nothing"), ([("showDeleted", "yes")], "showDeleted")]
)
def test_what_a_query_may_not_say_is_refused_by_name(query: list[tuple[str, str]], field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        made("GET", "namespaces/ns/facts", query)
    assert refused.value.field == field


def test_every_message_comes_back_from_its_json() -> None:
    fact = facts_pb2.Fact(name=FACT, subject="<b>", object="ü\u2028", revision=2**60, aliases=["a", "b"])
    fact.create_time.FromJsonString("2024-01-01T00:00:00.123456Z")
    tree = object_of(json_of(fact))
    assert (tree["revision"], tree["relation"], tree["createTime"]) == (
        str(2**60),
        "",
        "2024-01-01T00:00:00.123456Z",
    )
    assert made("POST", "namespaces/ns/facts", body=tree).fact == fact
    assert tree_of(facts_pb2.ListFactsResponse()) == {
        "facts": [],
        "nextPageToken": "",
        "namespaceRevision": "0",
    }


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.sampled_from(["fact", "subject", "aliases", "x"]), inner)
    ),
    max_leaves=8,
)


@settings(max_examples=50)
@given(st.sampled_from(RULES), _JSON)
def test_no_json_is_a_failure(rule: Any, body: Any) -> None:
    """It is a request, or it is refused."""
    try:
        request = request_of(rule, {}, [], json.dumps(body).encode())
    except (InvalidInput, MalformedMessage):
        return
    assert request.DESCRIPTOR is method_of(rule.method).input_type
