"""The last answers, as somebody sees them who watches."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from service.serving.citations import Grounding
from service.serving.injections import Injections

_ANSWER: Any = SimpleNamespace(grounding=Grounding.GROUNDED)


def _asked(prompt: str) -> Any:
    return SimpleNamespace(namespace="a", prompt=prompt, retrieval=SimpleNamespace(disabled=False))


def test_a_slow_reader_misses_nothing_that_is_still_kept() -> None:
    async def scenario() -> list[str]:
        injections, seen = Injections(100, texts=True), []
        injections.note(_asked("q0"), _ANSWER)
        async for entry in injections.watch(0, "a", 100):
            seen.append(entry.prompt)
            if len(seen) == 9:
                break
            if len(seen) % 3 == 1:  # while it is told of one, three more come
                for number in range(3):
                    injections.note(_asked(f"q{len(seen) + number}"), _ANSWER)
            await asyncio.sleep(0)
        return seen

    assert asyncio.run(asyncio.wait_for(scenario(), 30)) == [f"q{number}" for number in range(9)]


def test_how_many_are_told_of_before_says_nothing_of_those_that_come() -> None:
    async def scenario() -> list[str]:
        injections, seen = Injections(100, texts=True), []
        for number in range(5):
            injections.note(_asked(f"q{number}"), _ANSWER)
        async for entry in injections.watch(0, "a", 2):
            seen.append(entry.prompt)
            if len(seen) == 1:  # while it is told of one, more come than it asked for of the earlier
                for number in range(5, 15):
                    injections.note(_asked(f"q{number}"), _ANSWER)
            if len(seen) == 12:
                break
        return seen

    assert asyncio.run(asyncio.wait_for(scenario(), 30)) == [f"q{number}" for number in range(3, 15)]
