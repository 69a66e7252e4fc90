"""The service under more load than it can take.

    python -m bench.load --size quick|full --seed N

Calls leave at random times at 0.5, 1 and 4 times what the server was measured to answer, whether it answers or not;
each has a deadline. Server and caller are two processes on the same machine.

- capacity_rps: answers a second with as many callers as the engine's batch has places, each asking when answered.
- goodput_L: answers a second that came in time while calls came at L times that. p50_ms_L, p99_ms_L: of answers, from
  when the call should have left. refused_L: share of calls refused with RetryInfo; others_L: neither the one nor the
  other. reject_ms_p99: until a refusal was there, at 4 times capacity.
- recovery_s: after four times capacity, how long until five answers in a row take no longer than the p99 at half.
- rss_growth: the server's highest memory at and after 4 times capacity to that before.
- facts_*: the same for CreateFact.
- neighbour_*: a quiet namespace (a fifth of capacity) alone, and beside one that asks for 4 times capacity;
  neighbour_quota_*: beside one at its quota, and at ten times its quota. Ratios are of p99.
- overhead_service_b8: time of eight requests through the service to that of the engine alone, less one.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.common import Bench
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


class Sizes:
    """How long, and how much."""

    def __init__(self, arguments: argparse.Namespace, full: bool) -> None:
        self.seconds: float = arguments.seconds or (90.0 if full else 15.0)
        self.repetitions: int = arguments.repetitions or (30 if full else 7)
        self.tokens: int = arguments.tokens
        self.deadline: float = arguments.deadline
        self.facts = 100


def main(argv: Sequence[str] | None = None) -> None:
    """Runs everything and prints the last line."""
    bench = Bench("load", description=__doc__.splitlines()[0], argv=argv, add_arguments=_arguments)
    asyncio.run(_run(bench))


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default="default", help="as engine.model in the configuration")
    parser.add_argument("--encoder", default="default", help="as engine.encoder in the configuration")
    parser.add_argument("--seconds", type=float, help="of each phase")
    parser.add_argument("--repetitions", type=int, help="of the comparison with the bare engine")
    parser.add_argument("--tokens", type=int, default=16, help="of an answer")
    parser.add_argument("--deadline", type=float, default=15.0, help="of each call, in seconds")


async def _run(bench: Bench) -> None:
    sizes = Sizes(bench.args, bench.full)
    world = World.make(sizes.facts, sizes.tokens, bench.random)
    engine = {"model": bench.args.model, "encoder": bench.args.encoder, "max_batch": _BATCH}
    with bench.stage("the service and its engine by turns"):
        keys, rows = await overhead(bench, world, sizes.repetitions, engine)
    under_load = UnderLoad(bench, sizes, world)
    with tempfile.TemporaryDirectory() as folder:
        with server(Path(folder) / "one", {"engine": engine}) as watched:
            async with Caller(watched.address) as caller:
                await world.store(caller, SPACE, NOISY)
                keys |= await under_load.answers(caller, watched)
                keys |= await under_load.neighbour(caller)
        # Facts alone: what a write takes is not hidden behind the model.
        with server(Path(folder) / "two", {"engine": {"kind": "none"}}) as watched:
            async with Caller(watched.address) as caller:
                await caller.space(SPACE)
                keys |= await under_load.facts(caller, watched)
        quota = _QUOTA_SHARE * under_load.capacity
        limited = {"engine": engine, "quotas": {"generate_per_second": quota, "burst_seconds": 2.0}}
        with server(Path(folder) / "three", limited) as watched:
            async with Caller(watched.address) as caller:
                await world.store(caller, SPACE, NOISY)
                keys |= await under_load.neighbour_with_quota(caller, quota)
    count = sum(row.get("calls", 0) for row in under_load.rows)
    bench.finish(
        keys,
        n=count,
        model=bench.args.model,
        rows=[*rows, *under_load.rows],
        configuration={**vars(sizes), "batch": _BATCH},
    )


class UnderLoad:
    """The phases, and what they showed."""

    def __init__(self, bench: Bench, sizes: Sizes, world: World) -> None:
        self._bench, self._sizes, self._world = bench, sizes, world
        self.rows: list[dict[str, Any]] = []
        self.capacity = 0.0

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
        await closed_loop(_Asking(caller, self._world, SPACE), 2, 2.0, _CAPACITY_TIMEOUT)  # warm
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
