"""Mixed load for a long time: does anything grow that should not?

    python -m bench.load_soak --minutes 60

Facts are written, changed, deleted, searched and asked about at a steady rate, below capacity; some callers hang up in
the middle. Every few seconds the server's memory, threads and open files are read. `rss_mib_per_hour`: the slope over
the last half, where caches are full; `files_growth`, `threads_growth`: the highest of the last quarter less the highest
of the second. At the end the server must drain and leave no process behind.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.common import Bench, percentile
from bench.load_calls import Caller, Outcome, one
from bench.load_stand import Watched, server
from bench.load_world import SPACE, World
from interleaf.v1 import facts_pb2

_TIMEOUT = 30.0
_KEPT = 500  # facts that there are at a time
_HANG_UP = 0.05  # the share of questions whose caller goes away


def main(argv: Sequence[str] | None = None) -> None:
    """Runs it and prints the last line."""
    bench = Bench("load_soak", description=__doc__.splitlines()[0], argv=argv, add_arguments=_arguments)
    asyncio.run(_run(bench))


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--minutes", type=float, default=None, help="how long (quick: 3, full: 60)")
    parser.add_argument("--rate", type=float, default=4.0, help="calls a second, questions among them")
    parser.add_argument("--questions", type=float, default=0.25, help="their share")
    parser.add_argument("--model", default="default", help="as engine.model in the configuration")
    parser.add_argument("--encoder", default="default", help="as engine.encoder in the configuration")
    parser.add_argument("--every", type=float, default=2.0, help="seconds between two looks at the server")


async def _run(bench: Bench) -> None:
    minutes: float = bench.args.minutes or (60.0 if bench.full else 3.0)
    engine = {"model": bench.args.model, "encoder": bench.args.encoder}
    with tempfile.TemporaryDirectory() as folder:
        with server(Path(folder), {"engine": engine, "store": {"retention_days": 0.0}}) as watched:
            async with Caller(watched.address) as caller:
                mix = Mix(caller, World.make(100, 8, bench.random), bench.random, bench.args.questions)
                await mix.begin()
                looks: list[dict[str, float]] = []
                looking = asyncio.create_task(_look(watched, looks, bench.args.every))
                outcomes = await _calls(bench, mix, 60 * minutes)
                looking.cancel()
            children = watched.children
        left = [child for child in children if Path(f"/proc/{child}").exists()]
    kinds = Counter(outcome.how for outcome in outcomes)
    answers = [outcome.seconds * 1000 for outcome in outcomes if outcome.how == "ok"]
    bench.finish(
        {
            "minutes": minutes,
            "ok": kinds["ok"],
            "refused": kinds["refused"],
            "hung_up": kinds["CANCELLED"],
            "others": sum(kinds.values()) - kinds["ok"] - kinds["refused"] - kinds["CANCELLED"],
            "p50_ms": percentile(answers, 50) if answers else None,
            "p99_ms": percentile(answers, 99) if answers else None,
            **growth(looks),
            "orphans": len(left),
        },
        n=len(outcomes),
        model=bench.args.model,
        rows=looks,
        configuration={"rate": bench.args.rate, "questions": bench.args.questions},
    )


async def _look(watched: Watched, looks: list[dict[str, float]], every: float) -> None:
    began = time.monotonic()
    while True:
        looks.append({"seconds": time.monotonic() - began, **watched.look()})
        await asyncio.sleep(every)


async def _calls(bench: Bench, mix: Mix, seconds: float) -> list[Outcome]:
    began = time.monotonic()
    due, next_word = 0.0, 60.0
    calls: list[asyncio.Task[Outcome]] = []
    while (due := due + bench.random.expovariate(bench.args.rate)) < seconds:
        await asyncio.sleep(max(0.0, began + due - time.monotonic()))
        calls.append(asyncio.create_task(mix.call(len(calls), began + due)))
        if due > next_word:
            bench.log(f"{due / 60:.0f} minutes, {len(calls)} calls")
            next_word += 60
    return list(await asyncio.gather(*calls))


class Mix:
    """The next call, by chance."""

    def __init__(self, caller: Caller, world: World, rng: random.Random, questions: float) -> None:
        self._caller, self._world, self._random, self._questions = caller, world, rng, questions
        self._made: list[str] = []

    async def begin(self) -> None:
        """The facts that are asked about."""
        await self._world.store(self._caller)

    async def call(self, number: int, due: float) -> Outcome:
        """One call, to its end."""
        if self._random.random() >= self._questions:
            return await one(self._write, number, due, _TIMEOUT)
        asking = asyncio.create_task(one(self._ask, number, due, _TIMEOUT))
        if self._random.random() < _HANG_UP:
            await asyncio.sleep(self._random.uniform(0.0, 0.2))
            asking.cancel()
        try:
            return await asking
        except asyncio.CancelledError:
            return Outcome(due, due, time.monotonic(), "CANCELLED")

    async def _ask(self, number: int, timeout: float) -> Any:
        content = self._world.facts[number % len(self._world.facts)]
        question = self._world.question(content)
        return await self._caller.generate(number, timeout, SPACE, question, self._world.tokens)

    async def _write(self, number: int, timeout: float) -> Any:
        """A new fact, or an old one is deleted, so that there are as many as there were."""
        if len(self._made) >= _KEPT:
            name = self._made.pop(self._random.randrange(len(self._made)))
            return await self._caller.delete(number, timeout, name)
        fact = facts_pb2.Fact(subject=f"Person {number}", relation="employer", object=f"Place {number}")
        made = await self._caller.create(number, timeout, SPACE, fact)
        self._made.append(made.name)
        return made


def growth(looks: Sequence[dict[str, float]]) -> dict[str, float]:
    """What the looks say about the server."""
    half, quarter = looks[len(looks) // 2 :], max(1, len(looks) // 4)
    keys = {
        "rss_mib_per_hour": 3600 * slope([look["seconds"] for look in half], [look["rss"] for look in half])
    }
    keys["rss_mib"] = looks[-1]["rss"]
    for name in ("files", "threads"):
        values = [look[name] for look in looks]
        keys[f"{name}_growth"] = max(values[-quarter:]) - max(values[quarter : 2 * quarter] or values)
        keys[f"{name}_highest"] = max(values)
    return keys


def slope(xs: Sequence[float], ys: Sequence[float]) -> float:
    """Of the straight line that fits best; 0 where there is none."""
    count = len(xs)
    middle_x, middle_y = sum(xs) / count, sum(ys) / count
    spread = sum((x - middle_x) ** 2 for x in xs)
    if not spread:
        return 0.0
    return sum((x - middle_x) * (y - middle_y) for x, y in zip(xs, ys, strict=True)) / spread


if __name__ == "__main__":
    main()
