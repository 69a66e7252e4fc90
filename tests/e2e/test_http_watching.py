"""Watches of an idle server: who is let in knows it at once, who is not gets a status, and who leaves is gone."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from service.access.keys import new_key
from tests.http_calls import Http, http_running, reason

WATCH = "/v1/injections:watch"
PLACES = 2


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, dict[str, str]]]:
    file = tmp_path_factory.mktemp("keys") / "keys.txt"
    made = {scope: new_key(file, scope, [f"{scope}@*"]) for scope in ("ops", "read")}
    return file, {scope: {"authorization": f"Bearer {key}"} for scope, key in made.items()}


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory, keys: tuple[Path, Any]) -> Iterator[Http]:
    with http_running(
        tmp_path_factory.mktemp("data"), security={"api_keys_file": keys[0]}, admission={"transfer": PLACES}
    ) as made:
        yield made


def watches(http: Http, headers: dict[str, str]) -> int:
    calls = http.call("GET", "/v1/status", headers=headers)["calls"]
    return next(int(load["running"]) for load in calls if load["kind"] == "transfer")


def test_visitors_see_a_status_and_leave_no_call_behind(
    http: Http, keys: tuple[Path, dict[str, dict[str, str]]]
) -> None:
    operator = keys[1]["ops"]
    with ExitStack() as visits:
        for _ in range(PLACES):
            response = visits.enter_context(http.client.stream("GET", WATCH, headers=operator, timeout=10))
            assert response.status_code == 200
            assert response.headers["content-type"].startswith("text/event-stream")
        assert watches(http, operator) == PLACES
        code, error = http.refused("GET", WATCH, headers=operator)
        assert (code, reason(error)) == (429, "TOO_BUSY")
    until = time.monotonic() + 10
    while watches(http, operator) and time.monotonic() < until:
        time.sleep(0.02)
    assert watches(http, operator) == 0


def test_what_is_refused_is_no_stream(http: Http, keys: tuple[Path, dict[str, dict[str, str]]]) -> None:
    assert http.refused("GET", WATCH)[0] == 401
    assert http.refused("GET", WATCH, headers=keys[1]["read"])[0] == 403
    for wrong in ("parent=nonsense", "afterSequence=-1", "surprise=1"):
        assert http.refused("GET", f"{WATCH}?{wrong}", headers=keys[1]["ops"])[0] == 400, wrong
