"""Facts, namespaces and operations as JSON over HTTP, on a real server without a model."""

from __future__ import annotations

import json
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest

from service.access.keys import new_key
from tests.http_calls import Http, http_running, reason

FACTS = "/v1/namespaces/default/facts"


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Http]:
    with http_running(tmp_path_factory.mktemp("data"), listen={"max_message_bytes": 65536}) as made:
        yield made


@pytest.fixture
def space(http: Http, request: pytest.FixtureRequest) -> str:
    """A namespace of the test's own; its path."""
    name = request.node.name.replace("_", "-")[-60:].strip("-")
    http.call("POST", "/v1/namespaces", {"displayName": "Test"}, params={"namespaceId": name})
    return f"/v1/namespaces/{name}"


def test_a_fact_is_made_read_corrected_rolled_back_deleted_and_brought_back(http: Http, space: str) -> None:
    fact = {"subject": "Anna Keller", "relation": "employer", "object": "Werft", "aliases": ["A. Keller"]}
    made = http.call("POST", f"{space}/facts", fact, params={"factId": "anna"})
    assert made["name"] == f"{space[4:]}/facts/anna"
    assert (made["revision"], made["state"]) == ("1", "FACT_STATE_DURABLE")
    path = f"/v1/{made['name']}"
    changed = http.call(
        "PATCH",
        path,
        {"object": "Hafenwerk", "valid_from": "2024-05-01T00:00:00Z", "etag": made["etag"]},
        params={"updateMask": "object,validFrom"},
    )
    assert (changed["object"], changed["validFrom"], changed["revision"]) == (
        "Hafenwerk",
        "2024-05-01T00:00:00Z",
        "2",
    )
    assert changed["aliases"] == ["A. Keller"]
    back = http.call("POST", f"{path}:rollback", {"revision": 1})
    assert (back["object"], back["revision"]) == ("Werft", "3")
    history = http.call("GET", f"{path}/revisions")["revisions"]
    assert [entry["action"] for entry in history] == ["rollback", "update", "create"]
    assert "deleteTime" in http.call("DELETE", path)
    assert http.call("GET", f"{space}/facts")["facts"] == []
    assert len(http.call("GET", f"{space}/facts", params={"show_deleted": "true"})["facts"]) == 1
    assert "deleteTime" not in http.call("POST", f"{path}:undelete", {})
    assert http.call("GET", path)["object"] == "Werft"


def test_a_list_comes_in_pages_and_is_filtered(http: Http, space: str) -> None:
    batch = [{"fact": {"subject": name, "relation": "city", "object": "Bremen"}} for name in "ABC"]
    made = http.call("POST", f"{space}/facts:batchCreate", {"requests": batch})["facts"]
    first = http.call("GET", f"{space}/facts", params={"pageSize": "2"})
    rest = http.call("GET", f"{space}/facts", params={"page_size": "2", "pageToken": first["nextPageToken"]})
    assert [fact["subject"] for fact in [*first["facts"], *rest["facts"]]] == ["A", "B", "C"]
    assert rest["nextPageToken"] == ""
    found = http.call("GET", f"{space}/facts", params={"filter": 'subject = "B"'})
    assert [fact["subject"] for fact in found["facts"]] == ["B"]
    names = [fact["name"] for fact in made[:2]]
    assert len(http.call("GET", f"{space}/facts:batchGet", params={"names": names})["facts"]) == 2
    assert len(http.call("POST", f"{space}/facts:batchDelete", {"names": names})["facts"]) == 2


def test_a_search_finds_what_was_just_written(http: Http, space: str) -> None:
    made = http.call("POST", f"{space}/facts", {"subject": "Anna", "relation": "city", "object": "Kiel"})
    found = http.call(
        "POST",
        f"{space}/facts:search",
        {"query": "city of Anna", "mode": "SEARCH_MODE_LEXICAL", "minRevision": made["namespaceRevision"]},
    )
    assert [hit["fact"]["object"] for hit in found["hits"]] == ["Kiel"]


def test_a_retry_is_answered_like_the_first_time(http: Http, space: str) -> None:
    fact, query = {"subject": "A", "relation": "b", "object": "c"}, {"requestId": str(uuid.uuid4())}
    first = http.call("POST", f"{space}/facts", fact, params=query)
    assert http.call("POST", f"{space}/facts", fact, params=query) == first
    code, error = http.refused("POST", f"{space}/facts", {**fact, "object": "d"}, params=query)
    assert (code, reason(error)) == (400, "REQUEST_ID_REUSED")


def test_errors_are_those_of_grpc(http: Http) -> None:
    code, error = http.refused("GET", f"{FACTS}/none")
    assert (code, error["code"], error["status"], reason(error)) == (404, 404, "NOT_FOUND", "NOT_FOUND")
    assert error["details"][0]["metadata"]["name"] == "namespaces/default/facts/none"
    http.add("Conflict", "city", "Bremen")
    code, error = http.refused("POST", FACTS, {"subject": "Conflict", "relation": "city", "object": "Kiel"})
    assert (code, reason(error)) == (409, "CONFLICTING_FACT")
    code, error = http.refused("POST", FACTS, {"subject": "", "relation": "city", "object": "Kiel"})
    assert (code, error["status"]) == (400, "INVALID_ARGUMENT")
    assert error["details"][1]["fieldViolations"][0]["field"] == "fact.subject"
    made = http.add("Etag", "city", "Bremen")
    code, error = http.refused("DELETE", f"/v1/{made['name']}", params={"etag": "0123456789abcdef"})
    assert (code, error["status"], reason(error)) == (409, "ABORTED", "ETAG_MISMATCH")
    code, error = http.refused("POST", "/v1/namespaces/default:generate", {"prompt": "Hello"})
    assert (code, reason(error)) == (400, "NO_MODEL")


def test_what_can_be_read_can_be_looked_at_and_asked_about(http: Http) -> None:
    read, looked = http.send("GET", FACTS), http.send("HEAD", FACTS)
    assert (looked.status_code, looked.content) == (200, b"")
    assert looked.headers["content-length"] == str(len(read.content))
    assert http.send("HEAD", f"{FACTS}/none").status_code == 404
    asked = http.send("OPTIONS", FACTS)
    assert (asked.status_code, asked.headers["allow"]) == (204, "GET, HEAD, OPTIONS, POST")
    assert http.send("OPTIONS", "/v1/nowhere").status_code == 404
    refused = http.send("HEAD", f"{FACTS}:export")
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, OPTIONS")


@pytest.mark.parametrize(
    ("verb", "path", "more", "code"),
    [
        ("POST", FACTS, {"content": b"{"}, 400),
        ("POST", FACTS, {"content": b"[]"}, 400),
        ("POST", FACTS, {"json": {"subject": 3}}, 400),
        ("POST", FACTS, {"json": {"no_such_field": 3}}, 400),
        ("POST", FACTS, {"json": {"subject": "\ud800"}}, 400),
        ("POST", FACTS, {"content": b'{"a":' * 5000}, 400),
        ("POST", FACTS, {"content": b"x" * 70_000}, 400),
        ("POST", FACTS, {"content": b"subject=A", "headers": {"content-type": "text/plain"}}, 400),
        ("POST", FACTS, {"json": {}, "params": {"validateOnly": "perhaps"}}, 400),
        ("POST", FACTS, {"json": {}, "params": {"on_conflict": "NO_SUCH"}}, 400),
        ("GET", FACTS, {"params": {"pageSize": "many"}}, 400),
        ("GET", FACTS, {"params": {"pageSize": "-1"}}, 400),
        ("GET", FACTS, {"params": {"fact.subject": "A"}}, 400),
        ("GET", FACTS, {"params": {"pageToken": "forged"}}, 400),
        ("GET", FACTS, {"headers": {"x-server-timeout": "soon"}}, 400),
        ("GET", FACTS, {"content": b"{}"}, 400),
        ("GET", "/v1/namespaces/%00/facts", {}, 400),
        ("GET", "/v1/namespaces/../facts/x", {}, 404),
        ("GET", "/v1/nowhere", {}, 404),
        ("PUT", FACTS, {"json": {}}, 405),
        ("POST", f"{FACTS}:import?format=pdf", {"content": b"x"}, 400),
        ("POST", f"{FACTS}:import", {"content": b"x"}, 400),
        ("GET", f"{FACTS}:export?format=pdf", {}, 400),
    ],
)
def test_what_is_malformed_is_refused_and_never_a_failure(
    http: Http, verb: str, path: str, more: dict[str, object], code: int
) -> None:
    if "json" in more:  # as a careless client would write it: lone surrogates escaped
        more = {**more, "content": json.dumps(more["json"]).encode()}
        del more["json"]
    got, error = http.refused(verb, path, **more)
    assert got == code, error
    assert error["message"]


def test_a_file_is_imported_and_exported(http: Http, space: str) -> None:
    rows = "subject,relation,object\n" + "".join(f"S{i},city,Bremen\n" for i in range(30)) + ",city,Kiel\n"
    query = {"format": "csv", "importId": "mine", "source": "a test"}

    def pieces() -> Iterator[bytes]:
        data = rows.encode()
        for start in range(0, len(data), 100):
            yield data[start : start + 100]

    told = http.call("POST", f"{space}/facts:import", params=query, content=pieces())
    assert (told["rowsRead"], told["rowsWritten"], told["rowsFailed"]) == ("31", "30", "1")
    assert [(failure["line"], failure["reason"]) for failure in told["failures"]] == [("32", "INVALID_FIELD")]
    assert told["done"] is True
    again = http.call("POST", f"{space}/facts:import", params=query, content=rows.encode())
    assert (again["rowsWritten"], again["rowsUnchanged"]) == ("0", "30")
    file = http.send("GET", f"{space}/facts:export", params={"format": "jsonl", "filter": 'subject = "S7"'})
    assert file.headers["content-disposition"].startswith("attachment; filename=")
    assert file.json()["source"] == "a test"


def test_namespaces_and_operations(http: Http, space: str) -> None:
    changed = http.call("PATCH", space, {"displayName": "Renamed"}, params={"updateMask": "display_name"})
    assert changed["displayName"] == "Renamed"
    begun = http.call("POST", f"{space}:reindex", {})
    ended = http.call("POST", f"/v1/{begun['name']}:wait", {"timeout": "20s"})
    assert ended["done"] is True
    assert ended["response"]["@type"] == "type.googleapis.com/interleaf.v1.Namespace"
    assert ended["name"] in [each["name"] for each in http.call("GET", "/v1/operations")["operations"]]
    http.call("DELETE", f"/v1/{begun['name']}")
    http.call("DELETE", space, params={"force": "true"})
    assert http.refused("GET", space)[0] == 404


def test_a_deadline_is_kept(http: Http) -> None:
    made = http.add("Deadline", "city", "Bremen")
    code, error = http.refused(
        "GET",
        FACTS,
        params={"minRevision": str(int(made["namespaceRevision"]) + 1000)},
        headers={"x-server-timeout": "0.2"},
    )
    # Told just before the caller's time is up, where the machine is fast enough.
    assert (code, reason(error)) in ((400, "REVISION_NOT_REACHED"), (504, "DEADLINE_PASSED"))


def test_keys_are_asked_for_before_a_body_is_read(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("keys")
    key = new_key(folder / "keys", "anna")
    with http_running(folder / "data", security={"api_keys_file": folder / "keys"}) as http:
        for headers in ({}, {"authorization": "Bearer no"}, {"authorization": f"Basic {key}"}):
            response = http.send("POST", FACTS, headers=headers, content=b"not JSON")
            assert (response.status_code, response.headers["www-authenticate"]) == (401, "Bearer")
            assert http.send("GET", "/v1/models", headers=headers).status_code == 401
        bearer = {"authorization": f"Bearer {key}"}
        fact = {"subject": "A", "relation": "b", "object": "c"}
        made = http.call("POST", FACTS, fact, headers=bearer)
        told = http.call("GET", f"/v1/{made['name']}/revisions", headers=bearer)["revisions"]
        assert told[0]["principal"] == "anna"
        assert http.send("GET", "/").status_code == 200  # the page itself holds nothing


def test_calls_are_counted_together_however_they_come(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A request whose body does not come holds its place; when its client leaves, the place is free again."""
    with http_running(tmp_path_factory.mktemp("data"), admission={"operation": 1}) as http:
        host, _, port = http.address.removeprefix("http://").partition(":")
        with socket.create_connection((host, int(port))) as slow:
            slow.sendall(
                b"POST /v1/operations/x:wait HTTP/1.1\r\nHost: localhost\r\n"
                b"Content-Type: application/json\r\nContent-Length: 9\r\n\r\n{"
            )
            _, error = until(lambda: http.send("GET", "/v1/operations"), 429)
            assert (error["status"], reason(error)) == ("RESOURCE_EXHAUSTED", "TOO_BUSY")
            assert error["details"][1]["@type"] == "type.googleapis.com/google.rpc.RetryInfo"
            assert http.send("GET", "/v1/operations").headers["retry-after"] == "1"
        assert until(lambda: http.send("GET", "/v1/operations"), 200)[0] == 200


def until(send: Callable[[], httpx2.Response], code: int) -> tuple[int, dict[str, Any]]:
    """Sends until the answer has the code."""
    for _ in range(1000):
        response = send()
        if response.status_code == code:
            return code, response.json().get("error", {})
        time.sleep(0.02)
    raise AssertionError(f"never {code}")
