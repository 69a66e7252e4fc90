"""Nothing that is sent kills the engine; what kills it from outside is survived; nothing is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.vllm_trials import Survival
from engines.contract import GenerateRequest, InjectedFact, KVTokens, Sampling
from engines.errors import EngineBusy, EngineLost, InvalidRequest
from engines.vllm import wire
from tests.vllm.models import CONTEXT, PYTHON, ROOT, Pair, check_equal, mixed_requests

_OWNER = """
import sys, time
from pathlib import Path
from tests.vllm.models import start
pair = start(Path(sys.argv[1]))
print(pair.vllm.supervisor.pid, flush=True)
time.sleep(600)
"""


def _alive(session: int) -> list[int]:
    """Processes of a session: the engine's process leads one of its own."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == session and fields[0] != "Z":
                found.append(int(entry.name))
    return found


def _wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


def _check_well(pair: Pair, seed: int) -> None:
    requests = mixed_requests(pair.adapter, 6, seed=seed)
    for got, wanted in zip(pair.vllm.generate(requests), pair.reference.generate(requests), strict=True):
        check_equal(got, wanted)


def _hostile_messages(pair: Pair) -> list[dict[str, Any]]:
    good = {"prompt": [1, 2, 3], "max_tokens": 2}
    requests: list[Any] = [
        {**good, "prompt": []},
        {**good, "prompt": [10**6]},
        {**good, "prompt": [-1]},
        {**good, "prompt": [1] * 4096},
        {**good, "prompt": ["a"]},
        {**good, "prompt": None},
        {**good, "max_tokens": 0},
        {**good, "max_tokens": "many"},
        {**good, "temperature": -1},
        {**good, "temperature": float("nan")},
        {**good, "top_p": 7},
        {**good, "seed": "x"},
        {**good, "end_tokens": ["x"]},
        {**good, "score_from": 0},
        {**good, "score_from": 3},
        {**good, "prompt": [1] * CONTEXT},
        {**good, "prompt": [1] * CONTEXT, "score_from": 1},  # well, and answered
        {**good, "prompt": [1] * (CONTEXT + 1), "score_from": 1},
        {**good, "nonsense": 1},
        None,
    ]
    messages = [{"type": "run", "name": f"h{i}", "request": r, "facts": []} for i, r in enumerate(requests)]
    strange = [
        ["nobody's", 0.0, 0],
        ["nobody's", "x", 0],
        ["nobody's", float("inf"), 0],
        [3, 0.0, 0],
        [],
        None,
    ]
    strange += [["nobody's", 0.0], ["nobody's", 0.0, -1], ["nobody's", 0.0, "x"]]
    for number, facts in enumerate([*([fact] for fact in strange), None]):
        messages.append({"type": "run", "name": f"f{number}", "request": good, "facts": facts})
    return [
        *messages,
        {"type": "drop", "row": "nobody's"},
        {"type": "cancel", "name": "nobody"},
        {"type": "?"},
    ]


def test_hostile_messages_change_nothing(llama: Pair) -> None:
    starts = llama.vllm.supervisor.starts
    for message in _hostile_messages(llama):
        llama.vllm.supervisor.send(message)
    shape = (2, 1, 2, 32)
    for keys in (torch.full(shape, float("nan")), torch.zeros(3, 1, 2, 32), torch.zeros(2, 1, 2, 16)):
        head, body = wire.pack(keys, keys)
        llama.vllm.supervisor.send({"type": "put", "row": "bad", "said": [], "tokens": head}, body)
    _check_well(llama, 20)
    assert llama.vllm.supervisor.starts == starts


def test_what_vllm_refuses_is_refused_alone(begin: Callable[..., Pair]) -> None:
    pair = begin(host=(str(PYTHON), "-m", "tests.vllm.hosts", "trusting"))
    engine = pair.vllm
    engine._context *= 2  # on this side nothing is checked either
    fact = pair.adapter.fact("a", 4)
    other = engine.submit(GenerateRequest("another's", (fact,), Sampling(max_tokens=100)))
    for facts in ((), (fact,)):
        for prompt in ("a" * CONTEXT, "a" * (CONTEXT + 9)):
            with pytest.raises(InvalidRequest, match=r"maximum (context|model) length"):
                engine.submit(GenerateRequest(prompt, facts)).result(60)
        with pytest.raises(InvalidRequest, match=r"maximum (context|model) length"):
            engine.score("a", ["b" * (CONTEXT + 1)], facts)
    other.result(60)
    _check_well(pair, 22)
    assert engine.supervisor.starts == 1


def test_hostile_requests_are_refused(llama: Pair) -> None:
    adapter = llama.adapter
    huge = tuple(adapter.fact(f"huge-{number}", 64) for number in range(65))
    with pytest.raises(InvalidRequest, match="4160 tokens; a request may see 4096"):
        llama.vllm.submit(GenerateRequest("hello", huge))
    with pytest.raises(InvalidRequest, match="a request may see"):  # the same one over and over
        llama.vllm.submit(GenerateRequest("hello", huge[:1] * 1000))
    with pytest.raises(InvalidRequest, match="do not fit"):
        llama.vllm.submit(GenerateRequest("x" * 600))
    not_a_number = torch.full((2, 1, 2, 32), float("nan"))
    bad = InjectedFact(KVTokens("nan", adapter.digest, not_a_number, not_a_number))
    with pytest.raises(InvalidRequest, match="no row"):
        llama.vllm.generate([GenerateRequest("hello", (bad,), Sampling(max_tokens=2))])
    _check_well(llama, 21)


def test_facts_come_and_go_under_a_small_budget(begin: Callable[..., Pair]) -> None:
    pair = begin(fact_tokens=64)
    for seed in range(3):
        for request in mixed_requests(pair.adapter, 8, seed=30 + seed):
            (got,), (wanted,) = pair.vllm.generate([request]), pair.reference.generate([request])
            check_equal(got, wanted)
    # Facts of a running request stay until it has ended; a request that needs their room is told to come back.
    running = GenerateRequest("x", (pair.adapter.fact("long", 60),), Sampling(max_tokens=400))
    handle = pair.vllm.submit(running)
    with pytest.raises(EngineBusy):
        pair.vllm.submit(GenerateRequest("y", (pair.adapter.fact("more", 8),)))
    handle.cancel()
    _check_well(pair, 40)


def test_a_killed_engine_comes_back_and_is_right(begin: Callable[..., Pair]) -> None:
    pair = begin()
    for turn in range(2):
        pid = pair.vllm.supervisor.pid
        assert pid is not None
        handles = [
            pair.vllm.submit(GenerateRequest("x", sampling=Sampling(max_tokens=400))) for _ in range(3)
        ]
        next(iter(handles[0]))
        os.kill(pid, signal.SIGKILL)
        for handle in handles:
            with pytest.raises(EngineLost):
                handle.result(60)
        _wait_until(lambda: _alive(pid) == [])  # noqa: B023 - of this turn
        pair.vllm.wait_ready()
        assert pair.vllm.supervisor.pid != pid
        _check_well(pair, 50 + turn)
    pid = pair.vllm.supervisor.pid
    assert pid is not None
    pair.vllm.close()
    assert _alive(pid) == []


@pytest.mark.slow
def test_two_hundred_hostile_requests_and_five_kills(begin: Callable[..., Pair]) -> None:
    pair = begin()
    requests = [request for request in mixed_requests(pair.adapter, 12, seed=60) if request.facts][:6]
    trial = Survival(pair.reference, requests, 34, 5, 0)
    rows = [trial.piece(pair.vllm, turn) for turn in range(6)]
    assert sum(row["hostile"] for row in rows) >= 200
    assert sum(row["seconds"] is not None for row in rows) == 5
    assert {
        name: sum(row[name] for row in rows) for name in ("wrong_after", "orphans", "unasked_restarts")
    } == {
        "wrong_after": 0,
        "orphans": 0,
        "unasked_restarts": 0,
    }


def test_a_killed_service_leaves_nothing_behind(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _OWNER, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        assert _alive(pid)
        owner.kill()
    _wait_until(lambda: _alive(pid) == [])
