"""Isolation of tenants, and survival: what no tenant may see of another, and what an engine's death may cost."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from bench.ordinary_text import PASSAGES
from bench.vllm_stand import Stand, greedy
from engines.contract import Engine, GenerateRequest, Generation, InjectedFact
from engines.errors import EngineError, EngineLost, InvalidRequest
from engines.vllm.engine import VllmEngine
from kb_store.model import Content

_TENANTS = 8
_NOTICED = 60.0  # seconds in which a death must have been noticed
_TOGETHER = 64  # generations that are asked for at once
_CANARIES = ("cinnabar", "ottoman", "quagmire", "bulwark", "lanyard", "maelstrom", "sextant", "velodrome")
_TOKENS = 8  # of an answer
_BLOCK = 32  # of the cache of prefixes
_ALIKE = 1e-3  # log-probabilities that differ by less differ by rounding
_SUBJECTS = ("the northern gate", "Project Alder", "the night train", "vault nine", "Ensign Pell")


@dataclass(frozen=True, slots=True)
class Question:
    """Of a tenant about one of the subjects. `goes_on`: from what somebody was answered before."""

    tenant: int
    subject: int
    request: GenerateRequest
    goes_on: bool = False

    @property
    def asked(self) -> tuple[int, str]:
        """By whom, and what."""
        return self.tenant, str(self.request.prompt)


class Isolation:
    """All tenants ask the same of the same subjects, each with a word of its own as the object, mixed together; then
    tenants go on from each other's answers.

    A prompt and the first tokens of its answer fill a block of the cache of prefixes: that block saw facts, and is
    found by whoever goes on from there, unless it is kept from them.
    """

    def __init__(self, stand: Stand, per_tenant: int, seed: int) -> None:
        self._stand, self._seed = stand, seed
        pairs = [(tenant, subject) for tenant in range(_TENANTS) for subject in range(len(_SUBJECTS))]
        self._asked = [pair for pair in pairs for _ in range(per_tenant // len(_SUBJECTS) // 2)]
        random.Random(seed).shuffle(self._asked)
        self._told: dict[tuple[int, str], Generation] = {}
        self.pieces = [str(start) for start in range(0, len(self._asked), _TOGETHER // 2)]

    def piece(self, engine: Engine, name: str) -> dict[str, Any]:
        """Generations; answers with another tenant's word, unlike a single tenant's, with their own word."""
        first, then = self.questions(name)
        answers = [*engine.generate([each.request for each in first])]
        answers += engine.generate([each.request for each in then])
        asked = first + then
        canaries = unlike = own = 0
        furthest = 0.0
        for question, answer, alone in zip(asked, answers, self._alone(asked), strict=True):
            said, expected, tenant = answer.text.lower(), alone.text.lower(), question.tenant
            others = (word for other, word in enumerate(_CANARIES) if other != tenant)
            # Who goes on from another's answer reads that one's word, and may say it alone too.
            canaries += any(word in said and word not in expected for word in others)
            own += not question.goes_on and _CANARIES[tenant] in said
            distance = _distance(answer, alone)
            unlike += answer.token_ids != alone.token_ids or distance > _ALIKE
            furthest = max(furthest, distance)
        return {
            "generations": len(asked),
            "going_on": len(then),
            "canaries": canaries,
            "unlike": unlike,
            "own": own,
            "max_dlogprob": furthest,
        }

    def questions(self, name: str) -> tuple[list[Question], list[Question]]:
        """A piece's, and those that go on from their answers: each is somebody's, and anybody goes on from it."""
        start, rng = int(name), random.Random(f"{self._seed}/{name}")
        asked = self._asked[start : start + _TOGETHER // 2]
        first = [self._question(tenant, subject, self._prompts[subject]) for tenant, subject in asked]
        then = []
        for question, answer in zip(first, self._alone(first), strict=True):
            subject = question.subject
            text = f"{question.request.prompt}{answer.text}. Once more, {_asking(subject)}"
            then.append(self._question(rng.randrange(_TENANTS), subject, text, goes_on=True))
        return first, then

    def _question(self, tenant: int, subject: int, prompt: str, *, goes_on: bool = False) -> Question:
        request = greedy(prompt, self._passwords[tenant][subject], _TOKENS, scope=f"tenant-{tenant}")
        return Question(tenant, subject, request, goes_on)

    def _alone(self, questions: Sequence[Question]) -> list[Generation]:
        """As a tenant who has an engine to itself would be answered."""
        named = {each.asked: each.request for each in questions}
        new = {name: request for name, request in named.items() if name not in self._told}
        self._told |= zip(new, self._stand.reference.generate(list(new.values())), strict=True)
        return [self._told[each.asked] for each in questions]

    @cached_property
    def _prompts(self) -> list[str]:
        """Of each subject; so long that the answer's first tokens fill the second block."""
        tokenizer = self._stand.tokenizer
        beginning = tokenizer(" ".join(PASSAGES)).input_ids

        def longer(subject: int) -> Iterator[str]:
            for count in range(len(beginning)):
                yield f"{tokenizer.decode(beginning[:count])}. The {_asking(subject)}"

        long_enough = 2 * _BLOCK - _TOKENS // 2
        return [
            next(text for text in longer(subject) if len(tokenizer(text).input_ids) >= long_enough)
            for subject in range(len(_SUBJECTS))
        ]

    @cached_property
    def _passwords(self) -> list[list[list[InjectedFact]]]:
        """Of each tenant, for each subject."""
        return [
            [
                [replace(fact, tokens=replace(fact.tokens, key=f"{tenant}-{fact.tokens.key}"))]
                for fact in self._stand.compile(
                    [Content(subject, "password", _CANARIES[tenant]) for subject in _SUBJECTS]
                )
            ]
            for tenant in range(_TENANTS)
        ]


def _asking(subject: int) -> str:
    return f"password of {_SUBJECTS[subject]} is"


def isolation_keys(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Of all generations."""
    count, going_on = (sum(row[name] for row in rows) for name in ("generations", "going_on"))
    return {
        "tenant_generations": count,
        "tenant_going_on": going_on,
        "canaries": sum(row["canaries"] for row in rows),
        "tenant_unlike_alone": sum(row["unlike"] for row in rows),
        "tenant_max_dlogprob": max((row["max_dlogprob"] for row in rows), default=None),
        "tenant_own_word": sum(row["own"] for row in rows) / (count - going_on) if count else None,
    }


def _distance(one: Generation, other: Generation) -> float:
    pairs = zip(one.log_probabilities, other.log_probabilities, strict=False)
    return max((abs(a - b) for a, b in pairs), default=0.0)


class Survival:
    """Sends what should not be sent, cancels mid-way, and at each turn but the last kills the process at work."""

    def __init__(
        self, reference: Engine, requests: Sequence[GenerateRequest], hostile: int, kills: int, seed: int
    ) -> None:
        self._reference, self._requests = reference, requests
        self._hostile, self._kills, self._seed = hostile, kills, seed

    @cached_property
    def _wanted(self) -> list[Generation]:
        return self._reference.generate(self._requests)

    def piece(self, engine: VllmEngine, turn: int) -> dict[str, Any]:
        """Hostile requests sent; seconds from the death until it answered again; wrong answers after; processes
        left; deaths that nobody asked for."""
        rng, starts = random.Random(f"{self._seed}/{turn}"), engine.supervisor.starts
        for _ in range(self._hostile):
            harm(engine, self._requests, rng)
        wrong = self._wrong(engine)
        row: dict[str, Any] = {"hostile": self._hostile, "seconds": None, "orphans": 0}
        row["unasked_restarts"] = engine.supervisor.starts - starts
        if turn < self._kills:
            pid, starts = _pid(engine), engine.supervisor.starts
            handles = [engine.submit(request) for request in self._requests]
            next(iter(handles[0]), None)
            began = time.monotonic()
            os.kill(pid, signal.SIGKILL)
            for handle in handles:
                try:
                    handle.result(600)
                except EngineLost:
                    continue
            _wait_for_start(engine, starts)
            row["seconds"] = time.monotonic() - began
            row["orphans"] = len(in_session(pid))
            wrong += self._wrong(engine)
        return row | {"wrong_after": wrong}

    def _wrong(self, engine: VllmEngine) -> int:
        answers = engine.generate(self._requests)
        pairs = zip(answers, self._wanted, strict=True)
        return sum(mine.token_ids != theirs.token_ids for mine, theirs in pairs)


def harm(engine: VllmEngine, requests: Sequence[GenerateRequest], rng: random.Random) -> None:
    """One thing that should not be sent."""
    kind = rng.randrange(6)
    good = rng.choice(requests)
    name = f"x{rng.random()}"
    ordinary = {"prompt": [1, 2, 3], "max_tokens": 4}
    if kind == 0:  # a row that nobody has
        facts: list[list[Any]] = [["nobody's", 0.0, 0]]
        engine.supervisor.send({"type": "run", "name": name, "request": ordinary, "facts": facts})
    elif kind == 1:  # tokens that the model does not have
        wanted = {"prompt": [10**9, -5], "max_tokens": 10**9}
        engine.supervisor.send({"type": "run", "name": name, "request": wanted, "facts": []})
    elif kind == 2:  # more facts than fit
        try:
            engine.submit(replace(good, facts=tuple(good.facts[:1]) * 100_000)).cancel()
        except EngineError:
            return
    elif kind == 3:  # a prompt that does not fit
        try:
            engine.submit(replace(good, prompt="word " * 50_000))
        except InvalidRequest:
            return
    elif kind == 4:  # a row that was freed
        engine.supervisor.send({"type": "drop", "row": "freed"})
        engine.supervisor.send(
            {"type": "run", "name": name, "request": ordinary, "facts": [["freed", 0.0, 0]]}
        )
    else:  # left mid-way
        handle = engine.submit(good)
        if rng.random() < 0.5:
            next(iter(handle), None)
        handle.cancel()


def _wait_for_start(engine: VllmEngine, starts: int) -> None:
    """Of another process. All requests may have been answered just before the death: it need not be noticed yet."""
    end = time.monotonic() + _NOTICED
    while engine.supervisor.starts == starts:
        if time.monotonic() > end:
            raise RuntimeError(f"nobody noticed in {_NOTICED:g} s that the engine's process was killed")
        time.sleep(0.01)
    engine.wait_ready()


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
