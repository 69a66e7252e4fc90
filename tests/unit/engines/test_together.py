"""Callers that wait are worked on together, each gets its own, and nobody gets stuck."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
import pytest

from engines.embedder import SentenceEmbedder
from engines.together import Together


class Slow:
    """Doubles numbers; the first lot waits until it may go on. Negative numbers are refused."""

    def __init__(self) -> None:
        self.lots: list[list[int]] = []
        self.began, self.may_end = threading.Event(), threading.Event()

    def __call__(self, items: Sequence[int]) -> list[int]:
        self.lots.append(list(items))
        self.began.set()
        self.may_end.wait(10)
        if any(item < 0 for item in items):
            raise ValueError("negative")
        return [2 * item for item in items]


def _asked(work: Slow, *calls: list[int]) -> dict[int, object]:
    """What each call got, the first alone and the others while it is worked on."""
    together: Together[int, list[int]] = Together(work, 4)
    got: dict[int, object] = {}

    def call(number: int) -> None:
        try:
            got[number] = list(together(calls[number]))
        except ValueError as error:
            got[number] = str(error)

    threads = [threading.Thread(target=call, args=(number,)) for number in range(len(calls))]
    threads[0].start()
    assert work.began.wait(10)
    for thread in threads[1:]:
        thread.start()
    while len(together._asked) < len(calls) - 1:
        pass
    work.may_end.set()
    for thread in threads:
        thread.join(10)
    return got


def test_who_waits_is_joined_and_gets_its_own() -> None:
    work = Slow()
    got = _asked(work, [1], [2, 3], [], [4])
    assert got == {0: [2], 1: [4, 6], 2: [], 3: [8]}
    assert len(work.lots) == 2
    assert sorted(work.lots[1]) == [2, 3, 4]


def test_who_asks_for_much_is_worked_on_alone() -> None:
    work = Slow()
    many = list(range(10, 19))
    got = _asked(work, [1], [2], many, [3, 4], [5, 6])
    assert got == {0: [2], 1: [4], 2: [2 * item for item in many], 3: [6, 8], 4: [10, 12]}
    assert many in work.lots
    assert max(len(lot) for lot in work.lots if lot != many) <= 4


def test_what_the_work_raises_reaches_all_who_were_joined_and_nobody_later() -> None:
    work = Slow()
    got = _asked(work, [1], [-2], [3])
    assert got == {0: [2], 1: "negative", 2: "negative"}
    assert list(Together(work, 4)([5])) == [10]


def test_joined_texts_have_the_vectors_that_they_have_alone() -> None:
    embedder = SentenceEmbedder.load()
    texts = [f"The employer of person {number} is" + " known" * number for number in range(12)]
    alone = np.concatenate([embedder.embed([text]) for text in texts])
    found: dict[int, np.ndarray] = {}

    def call(at: int) -> None:
        found[at] = embedder.embed([texts[at]])

    threads = [threading.Thread(target=call, args=(at,)) for at in range(len(texts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert np.concatenate([found[at] for at in range(len(texts))]) == pytest.approx(alone, abs=1e-5)
    assert embedder.embed([]).shape == (0, 384)
