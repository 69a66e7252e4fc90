"""Isolation of tenants, and survival: what no tenant may see of another, and what an engine's death may cost."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench.vllm_stand import Stand, greedy
from engines.contract import GenerateRequest, Generation, InjectedFact
from engines.errors import EngineError, EngineLost, InvalidRequest
from engines.vllm.engine import VllmEngine
from kb_store.model import Content

_TENANTS = 8
_CANARIES = ("cinnabar", "ottoman", "quagmire", "bulwark", "lanyard", "maelstrom", "sextant", "velodrome")
_SUBJECTS = ("the northern gate", "Project Alder", "the night train", "vault nine", "Ensign Pell")


@dataclass(frozen=True)
class Isolation:
    """Generations; answers with another tenant's canary; answers unlike a single tenant's; own canaries said."""

    generations: int
    canaries: int
    unlike: int
    own: int
    max_dlogprob: float


def isolation(stand: Stand, engine: VllmEngine, per_tenant: int, seed: int) -> Isolation:
    """All tenants ask the same of the same subjects, each with a word of its own as the object, mixed together."""
    rng = random.Random(seed)
    questions = [
        (tenant, greedy(f"The password of {subject} is", facts, 8, scope=f"tenant-{tenant}"))
        for tenant in range(_TENANTS)
        for subject, facts in zip(_SUBJECTS, _passwords(stand, tenant), strict=True)
    ]
    alone = stand.reference.generate([request for _, request in questions])
    canaries = unlike = own = 0
    furthest = 0.0
    asked = [at for at in range(len(questions)) for _ in range(per_tenant // len(_SUBJECTS))]
    rng.shuffle(asked)
    for start in range(0, len(asked), 64):
        part = asked[start : start + 64]
        answers = engine.generate([questions[at][1] for at in part])
        for at, answer in zip(part, answers, strict=True):
            said = answer.text.lower()
            tenant = questions[at][0]
            canaries += any(word in said for other, word in enumerate(_CANARIES) if other != tenant)
            own += _CANARIES[tenant] in said
            unlike += answer.token_ids != alone[at].token_ids
            furthest = max(furthest, _distance(answer, alone[at]))
    return Isolation(len(asked), canaries, unlike, own, furthest)


def _passwords(stand: Stand, tenant: int) -> list[list[InjectedFact]]:
    contents = [Content(subject, "password", _CANARIES[tenant]) for subject in _SUBJECTS]
    compiled = stand.compile(contents)
    named = [
        replace(fact, tokens=replace(fact.tokens, key=f"{tenant}-{fact.tokens.key}")) for fact in compiled
    ]
    return [[fact] for fact in named]


def _distance(one: Generation, other: Generation) -> float:
    pairs = zip(one.log_probabilities, other.log_probabilities, strict=False)
    return max((abs(a - b) for a, b in pairs), default=0.0)


@dataclass(frozen=True)
class Survival:
    """Requests that were to do harm; deaths; seconds until it answered again; wrong answers after; what was left."""

    hostile: int
    restarts: int
    seconds: tuple[float, ...]
    wrong: int
    orphans: int


def survival(
    engine: VllmEngine,
    requests: Sequence[GenerateRequest],
    wanted: Sequence[Generation],
    hostile: int,
    kills: int,
    seed: int,
    log: Callable[[str], None],
) -> Survival:
    """Sends what should not be sent, cancels mid-way, kills the process while it answers."""
    rng = random.Random(seed)
    orphans = wrong = 0
    seconds = []
    for turn in range(kills + 1):
        for _ in range(hostile // (kills + 1)):
            _harm(engine, requests, rng)
        wrong += _wrong(engine, requests, wanted)
        if turn < kills:
            pid = _pid(engine)
            handles = [engine.submit(request) for request in requests]
            began = time.monotonic()
            os.kill(pid, signal.SIGKILL)
            for handle in handles:
                try:
                    handle.result(600)
                except EngineLost:
                    continue
            engine.wait_ready()
            seconds.append(time.monotonic() - began)
            orphans += len(in_session(pid))
            log(f"killed and back after {seconds[-1]:.1f} s")
    restarts = engine.supervisor.starts - 1
    return Survival(hostile, restarts, tuple(seconds), wrong, orphans)


def _harm(engine: VllmEngine, requests: Sequence[GenerateRequest], rng: random.Random) -> None:
    kind = rng.randrange(5)
    good = rng.choice(requests)
    if kind == 0:  # a row that nobody has
        wanted = {"prompt": [1, 2, 3], "max_tokens": 4}
        engine.supervisor.send(
            {"type": "run", "name": f"x{rng.random()}", "request": wanted, "facts": [["nobody's", 0.0]]}
        )
    elif kind == 1:  # tokens that the model does not have
        wanted = {"prompt": [10**9, -5], "max_tokens": 10**9}
        engine.supervisor.send({"type": "run", "name": f"x{rng.random()}", "request": wanted, "facts": []})
    elif kind == 2:  # more facts than fit
        facts = tuple(good.facts[:1]) * 100_000
        try:
            engine.submit(replace(good, facts=facts)).cancel()
        except EngineError:
            return
    elif kind == 3:  # a prompt that does not fit
        try:
            engine.submit(replace(good, prompt="word " * 50_000))
        except InvalidRequest:
            return
    else:  # left mid-way
        handle = engine.submit(good)
        if rng.random() < 0.5:
            next(iter(handle), None)
        handle.cancel()


def _wrong(engine: VllmEngine, requests: Sequence[GenerateRequest], wanted: Sequence[Generation]) -> int:
    answers = engine.generate(requests)
    return sum(mine.token_ids != theirs.token_ids for mine, theirs in zip(answers, wanted, strict=True))


def _pid(engine: VllmEngine) -> int:
    pid = engine.supervisor.pid
    if pid is None:
        raise RuntimeError("the engine has no process")
    return pid


def in_session(session: int) -> list[int]:
    """Living processes of a session; the engine's process leads one of its own."""
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
