"""What the service tells of its answers: tokens, attention by layer, the last injections, how it stands."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.test_http_openai import http_ready
from tests.e2e.test_inference_service import QUESTION, save_tiny
from tests.http_calls import Http, http_running

ASK = "/v1/namespaces/default:generate"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return save_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory, tiny: dict[str, Any]) -> Iterator[Http]:
    with http_running(tmp_path_factory.mktemp("data"), engine=tiny, monitor={"records": 4}) as made:
        http_ready(made)
        yield made


def test_details_say_which_token_drew_on_which_fact(http: Http) -> None:
    ask = {"prompt": QUESTION, "sampling": {"maxTokens": 12}, "details": True}
    answer = http.call("POST", ASK, ask)
    tokens, (citation,) = answer["tokens"], answer["citations"]
    assert "".join(token["text"] for token in tokens) == answer["text"]
    assert 1 <= len(tokens) <= 12
    assert all(token["text"] and token["logProbability"] < 0 for token in tokens)
    assert max(token["attention"][0] for token in tokens) == pytest.approx(citation["attention"])
    layers = citation["layerAttention"]
    assert set(layers) == {"1", "3"}
    assert sum(layers.values()) / 2 == pytest.approx(citation["attention"], rel=1e-5)
    both = http.call("POST", "/v1/namespaces/default:compare", ask)
    assert [token["text"] for token in both["edited"]["tokens"]] == [token["text"] for token in tokens]
    assert all(token["attention"] == [] for token in both["original"]["tokens"])
    plain = http.call("POST", ASK, {**ask, "details": False})
    assert (plain["tokens"], plain["citations"][0]["layerAttention"]) == ([], {})
    assert plain["text"] == answer["text"]


def test_the_last_answers_are_remembered_without_texts(http: Http) -> None:
    before = int(http.call("GET", "/v1/injections")["lastSequence"])
    for number in range(5):
        ask = {"prompt": QUESTION, "sampling": {"maxTokens": 1 + number}}
        http.call("POST", "/v1/namespaces/other:generate" if number == 3 else ASK, ask)
    seen = http.call("GET", "/v1/injections")
    assert seen["lastSequence"] == str(before + 5)
    entries = seen["injections"]
    assert [entry["generatedTokens"] for entry in entries] == [5, 4, 3, 2]
    assert [entry["parent"] for entry in entries[:2]] == ["namespaces/default", "namespaces/other"]
    newest = entries[0]
    assert (newest["method"], newest["grounding"]) == ("Generate", "GROUNDING_GROUNDED")
    assert newest["citations"][0]["fact"].startswith("namespaces/default/facts/")
    assert set(newest["citations"][0]["layerAttention"]) == {"1", "3"}
    assert float(newest["timings"]["total"][:-1]) > 0
    text = json.dumps(seen)
    assert not any(word in text for word in ("Anna", "employer", "Werft"))
    few = http.call(
        "GET",
        "/v1/injections",
        params={"afterSequence": entries[2]["sequence"], "parent": "namespaces/other"},
    )
    assert [entry["generatedTokens"] for entry in few["injections"]] == [4]


def test_answers_can_be_watched_as_they_come(http: Http) -> None:
    first = int(http.call("GET", "/v1/injections")["lastSequence"])
    http.call("POST", ASK, {"prompt": QUESTION, "sampling": {"maxTokens": 2}})
    with http.client.stream("GET", f"/v1/injections:watch?afterSequence={first}") as response:
        lines = (json.loads(line[6:]) for line in response.iter_lines() if line)
        assert next(lines)["sequence"] == str(first + 1)
        asking = threading.Thread(
            target=http.call, args=("POST", ASK, {"prompt": "Hello", "sampling": {"maxTokens": 1}})
        )
        asking.start()
        assert next(lines)["sequence"] == str(first + 2)
        asking.join()


def test_the_status_says_how_busy_and_how_well(http: Http) -> None:
    before = http.call("GET", "/v1/status")
    http.call("POST", ASK, {"prompt": QUESTION, "sampling": {"maxTokens": 1}})
    after = http.call("GET", "/v1/status")
    assert (after["model"], len(after["encoder"])) == ("model", 16)
    assert int(after["compiledHits"]) > int(before["compiledHits"])
    assert int(after["compiledFacts"]) >= 1
    assert 0 < int(after["compiledBytes"]) <= int(after["compiledCapacityBytes"])
    assert int(after["answers"]) == int(before["answers"]) + 1
    assert [load["kind"] for load in after["calls"]] == ["generate", "operation", "read", "transfer", "write"]
    assert (after["runningRequests"], after["waitingRequests"]) == (0, 0)


def test_texts_are_remembered_where_that_is_configured(
    tmp_path_factory: pytest.TempPathFactory, tiny: dict[str, Any]
) -> None:
    with http_running(tmp_path_factory.mktemp("data"), engine=tiny, monitor={"texts": True}) as http:
        http_ready(http)
        chat = {"messages": [{"role": "user", "content": QUESTION}]}
        answer = http.call("POST", ASK, {"chat": chat, "sampling": {"maxTokens": 3}})
        entry = http.call("GET", "/v1/injections")["injections"][0]
        assert (entry["prompt"], entry["text"]) == (QUESTION, answer["text"])
        assert entry["citations"][0]["object"] == "Werft"
