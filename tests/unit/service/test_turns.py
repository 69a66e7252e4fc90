"""Turns: who runs, who waits, who is refused, and that nobody keeps a place."""

from __future__ import annotations

import asyncio
import math
import random
from collections import Counter
from collections.abc import Coroutine
from typing import Any

import pytest

from service.errors import TooBusy
from service.turns import Turns

LONG = 3600.0


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Stand:
    """Calls that run until they are ended by name."""

    def __init__(self, running: int, waiting: int, wait_seconds: float = LONG) -> None:
        self.clock = Clock()
        self.turns = Turns(
            "generate", running, waiting, wait_seconds=wait_seconds, retry_seconds=0.5, clock=self.clock
        )
        self.began: list[str] = []
        self._ends: dict[str, asyncio.Event] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def call(self, name: str, remaining: float = math.inf) -> None:
        """`namespace/number`."""
        self._ends[name] = asyncio.Event()
        self.tasks[name] = asyncio.create_task(self._run(name, remaining))
        await settle()

    async def _run(self, name: str, remaining: float) -> None:
        async with self.turns.turn(name.partition("/")[0], remaining):
            self.began.append(name)
            await self._ends[name].wait()

    async def end(self, name: str) -> None:
        self._ends[name].set()
        await self.tasks[name]
        await settle()

    def refusal(self, name: str) -> TooBusy:
        error = self.tasks[name].exception()
        assert isinstance(error, TooBusy)
        return error

    async def close(self) -> None:
        for task in self.tasks.values():
            task.cancel()
        await asyncio.gather(*self.tasks.values(), return_exceptions=True)
        assert (self.turns.running, self.turns.waiting) == (0, 0)


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def run(scene: Coroutine[Any, Any, None]) -> None:
    asyncio.run(scene)


def test_one_namespace_leaves_room_that_another_finds_at_once() -> None:
    async def scene() -> None:
        stand = Stand(running=8, waiting=8)
        for number in range(40):
            await stand.call(f"noisy/{number}")
        assert (stand.turns.running, stand.turns.waiting) == (7, 4)
        assert stand.turns.refused == 29
        await stand.call("quiet/0")
        assert stand.began[-1] == "quiet/0"
        await stand.call("quiet/1")
        assert (stand.turns.running, stand.turns.waiting) == (8, 5)
        await stand.close()

    run(scene())


def test_the_next_is_of_the_namespace_that_runs_least() -> None:
    async def scene() -> None:
        stand = Stand(running=2, waiting=100)
        for number in range(6):
            await stand.call(f"noisy/{number}")
        for name in ("quiet/0", "other/0", "quiet/1"):
            await stand.call(name)
        assert stand.began == ["noisy/0", "noisy/1"]
        await stand.end("noisy/0")
        await stand.end("noisy/1")
        assert set(stand.began[2:]) == {"quiet/0", "other/0"}
        await stand.end("other/0")
        assert stand.began[4] == "noisy/2"  # runs as little as the others, and was served longest ago
        await stand.end("noisy/2")
        assert stand.began[5:] == ["noisy/3"]  # quiet/0 still runs
        await stand.end("quiet/0")
        assert stand.began[6:] == ["quiet/1"]
        await stand.close()

    run(scene())


def test_who_could_not_be_served_in_time_is_refused_on_arrival_and_told_when_to_come() -> None:
    async def scene() -> None:
        stand = Stand(running=1, waiting=100, wait_seconds=10.0)
        await stand.call("a/0")
        stand.clock.now += 4.0
        await stand.end("a/0")  # a call takes four seconds
        await stand.call("a/1")
        await stand.call("a/2", remaining=7.0)
        assert stand.refusal("a/2").retry_seconds == pytest.approx(4.0)
        await stand.call("a/3", remaining=9.5)
        await stand.call("a/4")
        await stand.call("a/5")
        assert "3600" not in str(stand.refusal("a/5"))
        assert stand.refusal("a/5").retry_seconds == pytest.approx(12.0)
        assert stand.turns.expected("b") == pytest.approx(8.0)  # one of the others goes before
        await stand.call("b/0")
        assert (stand.turns.waiting, stand.turns.refused) == (3, 2)
        await stand.close()

    run(scene())


def test_waiting_ends_with_a_refusal_where_the_guess_was_wrong() -> None:
    async def scene() -> None:
        stand = Stand(running=1, waiting=10, wait_seconds=0.01)
        await stand.call("a/0")
        await stand.call("a/1")
        with pytest.raises(TooBusy):
            await stand.tasks["a/1"]
        assert (stand.turns.running, stand.turns.waiting) == (1, 0)
        await stand.close()

    run(scene())


def test_who_leaves_the_queue_leaves_nothing_behind() -> None:
    async def scene() -> None:
        stand = Stand(running=1, waiting=10)
        for number in range(4):
            await stand.call(f"a/{number}")
        stand.tasks["a/1"].cancel()
        await settle()
        assert stand.turns.waiting == 2
        await stand.end("a/0")
        assert stand.began == ["a/0", "a/2"]
        # Its turn comes, and in the same moment it goes.
        stand._ends["a/2"].set()
        await stand.tasks["a/2"]
        stand.tasks["a/3"].cancel()
        await settle()
        assert (stand.turns.running, stand.turns.waiting) == (0, 0)
        await stand.close()

    run(scene())


@pytest.mark.parametrize("seed", range(5))
def test_places_are_never_overdrawn_and_always_used(seed: int) -> None:
    async def scene() -> None:
        rng = random.Random(seed)
        turns = Turns("read", 4, 20, wait_seconds=LONG, retry_seconds=0.5)
        now: Counter[str] = Counter()
        done, refused = Counter[str](), Counter[str]()
        most = [0]

        async def call(namespace: str) -> None:
            try:
                async with turns.turn(namespace, math.inf):
                    now[namespace] += 1
                    most[0] = max(most[0], now.total())
                    try:
                        for _ in range(rng.randrange(4)):
                            await asyncio.sleep(0)
                    finally:
                        now[namespace] -= 1
                    done[namespace] += 1
            except TooBusy:
                refused[namespace] += 1

        tasks = []
        for _ in range(1000):
            namespace = rng.choice(["noisy"] * 8 + ["one", "two"])
            tasks.append(asyncio.create_task(call(namespace)))
            if rng.random() < 0.3:
                await asyncio.sleep(0)
            if rng.random() < 0.05:
                rng.choice(tasks).cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert (turns.running, turns.waiting, turns.refused) == (0, 0, refused.total())
        assert most == [4]
        for quiet in ("one", "two"):
            served = done[quiet] / (done[quiet] + refused[quiet])
            assert served > done["noisy"] / (done["noisy"] + refused["noisy"])

    run(scene())


def test_who_would_not_be_served_in_time_at_the_pace_of_now_is_refused_on_arrival() -> None:
    async def scene() -> None:
        stand = Stand(running=8, waiting=64, wait_seconds=30.0)
        for number in range(3):  # alone a call takes a second
            await stand.call(f"a/{number}")
            stand.clock.now += 1.0
            await stand.end(f"a/{number}")
        for number in range(10, 24):  # seven run at once
            await stand.call(f"a/{number}")
        assert (stand.turns.running, stand.turns.waiting) == (7, 7)
        assert stand.turns.expected("a") < 2.0
        for number in range(10, 14):  # now one ends every four seconds
            stand.clock.now += 4.0
            await stand.end(f"a/{number}")
        assert stand.turns.expected("a") == pytest.approx(16.0)
        await stand.call("a/hurried", remaining=40.0)  # sixteen seconds to wait, and then it runs for 28
        assert stand.refusal("a/hurried").retry_seconds == pytest.approx(16.0)
        await stand.call("a/patient", remaining=60.0)
        assert not stand.tasks["a/patient"].done()
        await stand.close()

    run(scene())


def test_a_free_place_is_not_given_to_who_would_not_be_answered_in_time_there() -> None:
    async def scene() -> None:
        stand = Stand(running=8, waiting=64, wait_seconds=30.0)
        for number in range(14):
            await stand.call(f"a/{number}")
        for number in range(14):  # one ends every two seconds
            stand.clock.now += 2.0
            await stand.end(f"a/{number}")
        assert (stand.turns.running, stand.turns.waiting) == (0, 0)
        for number in range(20, 23):
            await stand.call(f"b/{number}", remaining=9.0)
        await stand.call(
            "b/late", remaining=9.0
        )  # the fourth of them would take eight seconds, if all goes well
        assert stand.refusal("b/late").retry_seconds == pytest.approx(2.0)
        await stand.call("b/patient", remaining=12.0)
        assert stand.turns.running == 4
        for number in range(20, 23):
            await stand.end(f"b/{number}")
        await stand.end("b/patient")
        await stand.call("b/hurried", remaining=1.0)  # nobody else is there
        assert stand.began[-1] == "b/hurried"
        await stand.close()

    run(scene())


def test_a_slow_time_is_forgotten() -> None:
    async def scene() -> None:
        stand = Stand(running=8, waiting=64, wait_seconds=30.0)
        for number in range(14):
            await stand.call(f"a/{number}")
        for number in range(14):
            stand.clock.now += 4.0
            await stand.end(f"a/{number}")
        await stand.call("b/0")
        await stand.call("b/1", remaining=9.0)
        assert isinstance(stand.refusal("b/1"), TooBusy)
        stand.clock.now += 60.0
        await stand.call("b/2", remaining=9.0)
        assert stand.began[-1] == "b/2"
        await stand.close()

    run(scene())
