"""The same requests to both engines: how many answers have the same tokens, how far probabilities are apart."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench.vllm_stand import Stand, asking, greedy, passages
from engines.contract import Engine, GenerateRequest, Generation, InjectedFact
from engines.vllm.engine import VllmEngine

_LARGEST = 40  # tokens of facts
# Few tokens a step: prompts are read in chunks. Few blocks: requests are preempted and read again.
TIGHT = {"max_num_batched_tokens": 64, "num_gpu_blocks_override": 26, "block_size": 32}


@dataclass(frozen=True)
class Compared:
    """One answer of each engine."""

    mode: str
    fact_tokens: int
    prompt_tokens: int
    equal: bool
    max_dlogprob: float


def mixed(stand: Stand, count: int, rng: random.Random, tokens: int) -> list[GenerateRequest]:
    """Questions that facts answer and ordinary texts, with 0 to 40 tokens of facts; long beginnings are shared."""
    facts = stand.compile(stand.world)
    shared = " ".join(passages(3, rng, lambda: 60))
    requests = []
    for number in range(count):
        at = rng.randrange(len(facts))
        prompt = asking(stand.world[at]) if number % 2 else passages(1, rng, lambda: rng.randint(3, 40))[0]
        if number % 4 == 0:
            prompt = f"{shared} {prompt}"
        requests.append(greedy(prompt, _some(facts, at, rng), tokens))
    return requests


def _some(facts: Sequence[InjectedFact], at: int, rng: random.Random) -> list[InjectedFact]:
    room = rng.choice((0, 6, 12, 24, _LARGEST))
    chosen: list[InjectedFact] = []
    for fact in (facts[at], *rng.sample(list(facts), 12)):
        if fact.tokens.count <= room and all(fact.tokens is not other.tokens for other in chosen):
            chosen.append(fact)
            room -= fact.tokens.count
    return chosen


def in_turn(engine: VllmEngine, reference: Engine, requests: Sequence[GenerateRequest]) -> dict[str, Any]:
    """All at once, again (now their prompts are in the cache of prefixes), and one joining the other."""
    wanted = reference.generate(requests)
    compared = _compare("together", engine, requests, wanted)
    compared += _compare("from the cache of prefixes", engine, requests, wanted)
    compared += _compare_joining(engine, requests, wanted)
    return {"compared": [asdict(item) for item in compared]}


def in_chunks(engine: VllmEngine, reference: Engine, requests: Sequence[GenerateRequest]) -> dict[str, Any]:
    """On an engine that must read in chunks and preempt."""
    wanted = reference.generate(requests)
    return {"compared": [asdict(item) for item in _compare("chunks", engine, requests, wanted)]}


def keys_of(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Of all answers that were compared."""
    compared = [item for row in rows for item in row["compared"]]
    modes = sorted({item["mode"] for item in compared})
    return {
        "exact_requests": len(compared),
        "exact_equal": sum(item["equal"] for item in compared),
        "max_dlogprob": max((item["max_dlogprob"] for item in compared), default=None),
        "exact_modes": ", ".join(modes),
    }


def _compare(
    mode: str, engine: VllmEngine, requests: Sequence[GenerateRequest], wanted: Sequence[Generation]
) -> list[Compared]:
    return [
        _compared(mode, request, mine, theirs)
        for request, mine, theirs in zip(requests, engine.generate(requests), wanted, strict=True)
    ]


def _compare_joining(
    engine: VllmEngine, requests: Sequence[GenerateRequest], wanted: Sequence[Generation]
) -> list[Compared]:
    """Each joins when the one before it has begun to answer, while the others go on."""
    handles = []
    for request in requests:
        handle = engine.submit(request)
        next(iter(handle), None)
        handles.append(handle)
    return [
        _compared("joining", request, handle.result(), theirs)
        for request, handle, theirs in zip(requests, handles, wanted, strict=True)
    ]


def _compared(mode: str, request: GenerateRequest, mine: Generation, theirs: Generation) -> Compared:
    pairs = zip(mine.log_probabilities, theirs.log_probabilities, strict=False)
    return Compared(
        mode,
        sum(fact.tokens.count for fact in request.facts),
        mine.prompt_tokens,
        mine.token_ids == theirs.token_ids,
        max((abs(a - b) for a, b in pairs), default=0.0),
    )
