"""What the service adds to its engine: the same eight requests, by turns through gRPC and put to the engine directly.

Both are one process, one model and the same compiled facts; how many answers are the same is counted. What the service
does beside (retrieval with its embedding, prior, admission, citations, gRPC, and the benchmark's own client) is what
is measured. Every question is embedded anew: the engine's requests are made of the same ones, which retrieval would
remember.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.common import Bench, sample_keys
from bench.load_calls import Caller
from bench.load_stand import overrides
from bench.load_world import SPACE, World
from engines.contract import Engine, GenerateRequest, Sampling
from kb_store.model import Content
from service import logs
from service.app import Parts
from service.config import load
from service.server import Server
from service.serving.knowledge import RetrievalSpec

BATCH = 8
_PATIENCE = 600.0


async def overhead(
    bench: Bench, world: World, repetitions: int, engine: dict[str, Any]
) -> tuple[dict[str, float], list[dict[str, Any]]]:
    """overhead_service_b8 with its interval, and the times of each repetition."""
    with tempfile.TemporaryDirectory() as folder:
        settings = load(None, overrides(Path(folder), {"engine": engine}))
        logs.configure(settings.log)
        server = Server(settings)
        address = await server.start()
        try:
            async with Caller(address) as caller:
                await world.store(caller)
                return await _measure(bench, world, repetitions, _parts(server), caller)
        finally:
            await server.stop()


def _parts(server: Server) -> Parts:
    if server._app is None:
        raise RuntimeError("the server does not run")
    return server._app.parts


async def _measure(
    bench: Bench, world: World, repetitions: int, parts: Parts, caller: Caller
) -> tuple[dict[str, float], list[dict[str, Any]]]:
    if parts.model is None:
        raise RuntimeError("the server has no model")
    rows: list[dict[str, Any]] = []
    for number in range(-1, repetitions):  # the first one warms up, and compiles facts
        contents = world.some(BATCH, number + 1)
        requests = await asyncio.gather(*(_request(parts, world, content) for content in contents))
        seconds: dict[str, float] = {}
        for way in ("service", "engine") if number % 2 else ("engine", "service"):
            started = time.perf_counter()
            if way == "engine":
                direct = await asyncio.to_thread(_direct, parts.model.engine, requests)
            else:
                parts.knowledge._retriever._embed.cache_clear()
                served = await asyncio.gather(
                    *(
                        caller.generate(index, _PATIENCE, SPACE, world.question(content), world.tokens)
                        for index, content in enumerate(contents)
                    )
                )
            seconds[way] = time.perf_counter() - started
        if number >= 0:
            same = sum(answer.text == text for answer, text in zip(served, direct, strict=True))
            rows.append({"part": "overhead", "repetition": number, "same": same, **seconds})
            bench.log(
                f"batch of {BATCH}: service {seconds['service']:.3f} s, engine {seconds['engine']:.3f} s"
            )
    shares = [row["service"] / row["engine"] - 1 for row in rows]
    same = sum(row["same"] for row in rows) / (BATCH * len(rows))
    keys = sample_keys("overhead_service_b8", shares, statistic=_median)
    return {**keys, "overhead_same_answers": same}, rows


def _direct(engine: Engine, requests: Sequence[GenerateRequest]) -> list[str]:
    return [generation.text for generation in engine.generate(requests)]


async def _request(parts: Parts, world: World, content: Content) -> GenerateRequest:
    question = world.question(content)
    knowledge = await parts.knowledge.gather(SPACE, [question], RetrievalSpec(parts.top_k))
    return GenerateRequest(question, knowledge.injected, Sampling(world.tokens), scope=SPACE)


def _median(samples: Sequence[float]) -> float:
    ordered = sorted(samples)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
