"""The service under more load than it can take.

    python -m bench.load --size quick|full --seed N

A run that was ended goes on with the next of its four stages (answers, facts, quota, overhead); ratios are within one.

Calls leave at random times at 0.5, 1 and 4 times what the server was measured to answer, whether it answers or not;
each has a deadline. Server and caller are two processes on the same machine.

- capacity_rps: answers a second with as many callers as the engine's batch has places, each asking when answered.
- goodput_L: answers a second that came in time while calls came at L times that, from a third of the phase on, when
  the server is full. p50_ms_L, p99_ms_L: of answers, from
  when the call should have left. refused_L: share of calls refused with RetryInfo; others_L: neither the one nor the
  other. reject_ms_p99: until a refusal was there, at 4 times capacity.
- recovery_s: after four times capacity, how long until five answers in a row take no longer than the p99 at half.
- rss_growth: the server's highest memory at and after 4 times capacity to that before.
- facts_*: the same for CreateFact.
- neighbour_*: a quiet namespace (a fifth of capacity) alone, and beside one that asks for 4 times capacity;
  neighbour_quota_*: beside one at its quota, and at ten times its quota. Ratios are of p99.
- overhead_service_b8: time of eight requests through the service to that of the engine alone, less one;
  overhead_same_answers: share of them with the same text, letter by letter.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from bench import load_calls, load_overhead, load_stand, load_world
from bench.common import Bench
from bench.kept import Kept, kept_arguments
from bench.kept_asking import product_digest
from bench.load_calls import Caller, Phase, closed_loop, open_loop, recovery
from bench.load_overhead import overhead
from bench.load_stand import Watched, server
from bench.load_world import NOISY, SPACE, World
from interleaf.v1 import facts_pb2

LEVELS = (("half", 0.5), ("1x", 1.0), ("4x", 4.0))
_BATCH = 16
_QUIET_SHARE = 0.2
_QUOTA_SHARE = 0.3
_FACT_CLIENTS = 64
_CAPACITY_TIMEOUT = 120.0
_MADE_BY = (load_calls, load_overhead, load_stand, load_world)
Made = tuple[dict[str, Any], list[dict[str, Any]]]
Stage = Callable[[], Coroutine[Any, Any, Made]]


class Sizes:
    """How long, and how much."""

    def __init__(self, arguments: argparse.Namespace, full: bool) -> None:
        self.seconds: float = arguments.seconds or (90.0 if full else 30.0)
        self.repetitions: int = arguments.repetitions or (30 if full else 7)
        self.tokens: int = arguments.tokens
        self.deadline: float = arguments.deadline
        self.facts = 100


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the stages that were not run yet, and prints the last line."""
    bench = Bench("load", description=__doc__.splitlines()[0], argv=argv, add_arguments=_arguments)
    stages = Stages(bench, Sizes(bench.args, bench.full))
    product = product_digest(bench.args.encoder)
    kept = Kept(bench, _MADE_BY, product=product, **vars(stages.sizes), **stages.engine)
    done = {}
    for name, stage in stages.all().items():
        if (row := kept.row(name, partial(_made, bench, name, stage))) is not None:
            done[name] = row
            stages.capacity = row["keys"].get("capacity_rps", stages.capacity)
    rows = [row for stage in done.values() for row in stage["rows"]]
    bench.finish(
        {key: value for stage in done.values() for key, value in stage["keys"].items()},
        n=sum(row.get("calls", 0) for row in rows),
        model=bench.args.model,
        rows=rows,
        configuration={**vars(stages.sizes), "batch": _BATCH, "stages": list(done)},
    )


def _made(bench: Bench, name: str, stage: Stage) -> dict[str, Any]:
    with bench.stage(name):
        keys, rows = asyncio.run(stage())
    return {"keys": keys, "rows": rows}


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default="default", help="as engine.model in the configuration")
    parser.add_argument("--encoder", default="default", help="as engine.encoder in the configuration")
    parser.add_argument("--seconds", type=float, help="of each phase")
    parser.add_argument("--repetitions", type=int, help="of the comparison with the bare engine")
    parser.add_argument("--tokens", type=int, default=16, help="of an answer")
    parser.add_argument("--deadline", type=float, default=15.0, help="of each call, in seconds")
    kept_arguments(parser)


class Stages:
    """What is measured, each with servers of its own."""

    def __init__(self, bench: Bench, sizes: Sizes) -> None:
        self._bench, self.sizes, self.capacity = bench, sizes, 0.0
        self._world = World.make(sizes.facts, sizes.tokens, bench.random)
        self.engine = {"model": bench.args.model, "encoder": bench.args.encoder, "max_batch": _BATCH}

    def all(self) -> dict[str, Stage]:
        """In their order: the last one needs to know the capacity."""
        return {
            "overhead": lambda: overhead(self._bench, self._world, self.sizes.repetitions, self.engine),
            "answers": self._answers,
            "facts": self._facts,
            "quota": self._quota,
        }

    async def _answers(self) -> Made:
        async with self._serving({"engine": self.engine}) as (caller, watched):
            await self._world.store(caller, SPACE, NOISY)
            load = UnderLoad(self._bench, self.sizes, self._world)
            keys = await load.answers(caller, watched)
            return {**keys, **await load.neighbour(caller)}, load.rows

    async def _facts(self) -> Made:
        """Without a model: what a write takes is not hidden behind it."""
        async with self._serving({"engine": {"kind": "none"}}) as (caller, watched):
            await caller.space(SPACE)
            load = UnderLoad(self._bench, self.sizes, self._world)
            return await load.facts(caller, watched), load.rows

    async def _quota(self) -> Made:
        quota = _QUOTA_SHARE * self.capacity
        quotas = {"generate_per_second": quota, "burst_seconds": 2.0}
        async with self._serving({"engine": self.engine, "quotas": quotas}) as (caller, _):
            await self._world.store(caller, SPACE, NOISY)
            load = UnderLoad(self._bench, self.sizes, self._world, self.capacity)
            return await load.neighbour_with_quota(caller, quota), load.rows

    @asynccontextmanager
    async def _serving(self, sections: dict[str, dict[str, Any]]) -> AsyncIterator[tuple[Caller, Watched]]:
        with tempfile.TemporaryDirectory() as folder, server(Path(folder), sections) as watched:
            async with Caller(watched.address) as caller:
                yield caller, watched


class UnderLoad:
    """The phases, and what they showed."""

    def __init__(self, bench: Bench, sizes: Sizes, world: World, capacity: float = 0.0) -> None:
        self._bench, self._sizes, self._world, self.capacity = bench, sizes, world, capacity
        self.rows: list[dict[str, Any]] = []

    async def answers(self, caller: Caller, watched: Watched) -> dict[str, Any]:
        """Generate."""
        ask = _Asking(caller, self._world, SPACE)
        self.capacity = await closed_loop(ask, _BATCH, self._sizes.seconds, _CAPACITY_TIMEOUT)
        self._bench.log(f"capacity: {self.capacity:.2f} answers a second")
        keys = await self._levels("", ask, self.capacity, self._sizes.seconds, watched)
        return {"capacity_rps": self.capacity, **keys}

    async def facts(self, caller: Caller, watched: Watched) -> dict[str, Any]:
        """CreateFact."""
        create, seconds = _Creating(caller), self._sizes.seconds / 2
        capacity = await closed_loop(create, _FACT_CLIENTS, seconds, _CAPACITY_TIMEOUT)
        self._bench.log(f"capacity: {capacity:.1f} facts a second")
        keys = await self._levels("facts_", create, capacity, seconds, watched)
        return {"facts_capacity_rps": capacity, **keys}

    async def _levels(
        self, prefix: str, send: Any, capacity: float, seconds: float, watched: Watched
    ) -> dict[str, Any]:
        keys: dict[str, Any] = {}
        before, baseline = watched.reset(), 0.0
        for name, times in LEVELS:
            if name == "4x":
                before = watched.reset()
            phase = await self._phase(f"{prefix}{name}", send, times * capacity, seconds)
            count = max(1, len(phase.outcomes))
            keys |= {
                f"{prefix}goodput_{name}": phase.goodput,
                f"{prefix}p50_ms_{name}": phase.percentile(50),
                f"{prefix}p99_ms_{name}": phase.percentile(99),
                f"{prefix}refused_{name}": len(phase.of("refused")) / count,
                f"{prefix}others_{name}": sum(phase.others.values()),
            }
            if name == "half":
                baseline = phase.percentile(99) or 0.0
        keys[f"{prefix}reject_ms_p50"] = phase.refused_ms(50)
        keys[f"{prefix}reject_ms_p99"] = phase.refused_ms(99)
        after = await self._phase(f"{prefix}after", send, 0.5 * capacity, seconds)
        keys[f"{prefix}recovery_s"] = recovery(after, baseline)
        keys[f"{prefix}rss_growth"] = watched.peak / before
        keys[f"{prefix}rss_mib"] = watched.peak
        return keys

    async def neighbour(self, caller: Caller) -> dict[str, Any]:
        """A quiet namespace without and with a noisy one; no quotas."""
        quiet = _QUIET_SHARE * self.capacity
        alone = await self._phase("quiet alone", _Asking(caller, self._world, SPACE), quiet)
        beside = await self._beside("quiet beside 4x", caller, quiet, 4 * self.capacity)
        return {
            "neighbour_quiet_p99_ms": alone.percentile(99),
            "neighbour_ratio_p99": _ratio(beside, alone),
            "neighbour_quiet_ok": len(beside.of("ok")) / max(1, len(beside.outcomes)),
        }

    async def neighbour_with_quota(self, caller: Caller, quota: float) -> dict[str, Any]:
        """A quiet namespace beside one at its quota, and at ten times that."""
        quiet = _QUIET_SHARE * self.capacity
        await self._phase("warming up", _Asking(caller, self._world, SPACE), quiet, 2.0)
        at_quota = await self._beside("quiet beside 1x quota", caller, quiet, quota)
        beyond = await self._beside("quiet beside 10x quota", caller, quiet, 10 * quota)
        return {
            "neighbour_quota_ratio_p99": _ratio(beyond, at_quota),
            "neighbour_quota_quiet_ok": len(beyond.of("ok")) / max(1, len(beyond.outcomes)),
        }

    async def _beside(self, name: str, caller: Caller, quiet: float, noisy: float) -> Phase:
        ours, _ = await asyncio.gather(
            self._phase(name, _Asking(caller, self._world, SPACE), quiet),
            self._phase(f"{name}: the noisy one", _Asking(caller, self._world, NOISY), noisy),
        )
        return ours

    async def _phase(self, name: str, send: Any, rate: float, seconds: float | None = None) -> Phase:
        rng = random.Random(f"{self._bench.seed}/{name}")
        long = seconds or self._sizes.seconds
        phase = await open_loop(name, send, rate, long, rng, self._sizes.deadline)
        row = phase.row()
        self.rows.append(row)
        self._bench.log(", ".join(f"{key} {_short(value)}" for key, value in row.items()))
        return phase


class _Asking:
    """Generate, of one fact after the other."""

    def __init__(self, caller: Caller, world: World, space: str) -> None:
        self._caller, self._world, self._space = caller, world, space

    async def __call__(self, number: int, timeout: float) -> Any:
        content = self._world.facts[number % len(self._world.facts)]
        question = self._world.question(content)
        return await self._caller.generate(number, timeout, self._space, question, self._world.tokens)


class _Creating:
    """CreateFact, each with a subject of its own."""

    def __init__(self, caller: Caller) -> None:
        self._caller, self._count = caller, 0

    async def __call__(self, number: int, timeout: float) -> Any:
        self._count += 1
        fact = facts_pb2.Fact(subject=f"Person {self._count}", relation="employer", object=f"Place {number}")
        return await self._caller.create(number, timeout, SPACE, fact)


def _ratio(phase: Phase, to: Phase) -> float | None:
    above, below = phase.percentile(99), to.percentile(99)
    return above / below if above is not None and below else None


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
