"""Work for several callers at once: what is asked for while one lot is worked on becomes the next lot."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from numpy.typing import NDArray

Item = TypeVar("Item")
Many = TypeVar("Many", bound=Sequence[Any] | NDArray[Any])  # results, one for each item


@dataclass(slots=True, eq=False)
class _Asked(Generic[Item, Many]):
    items: Sequence[Item]
    results: Many | None = None
    error: Exception | None = None


class Together(Generic[Item, Many]):
    """Serialises a function of many items, and joins the items of callers that wait: many small calls of a model cost
    far more than a few large ones. `work` gives a result for each item, in their order. `most`: items of a lot; who
    asks for more is worked on alone, so that nobody small waits for it longer than it must."""

    def __init__(self, work: Callable[[Sequence[Item]], Many], most: int) -> None:
        self._work, self._most = work, most
        self._working, self._adding = threading.Lock(), threading.Lock()
        self._asked: list[_Asked[Item, Many]] = []

    def __call__(self, items: Sequence[Item]) -> Many:
        """Blocks until the results are there. What the work raises, each of those who were joined gets."""
        mine = _Asked[Item, Many](items)
        with self._adding:
            self._asked.append(mine)
        with self._working:
            if mine.results is None and mine.error is None:
                self._work_on(self._lot_with(mine))
        if mine.results is None:
            raise mine.error or RuntimeError("nobody has worked on this")
        return mine.results

    def _lot_with(self, mine: _Asked[Item, Many]) -> list[_Asked[Item, Many]]:
        """The first who wait, as far as they fit beside this one."""
        lot, room = [mine], self._most - len(mine.items)
        with self._adding:
            self._asked.remove(mine)
            for asked in list(self._asked):
                if len(asked.items) <= room:
                    room -= len(asked.items)
                    self._asked.remove(asked)
                    lot.append(asked)
        return lot

    def _work_on(self, lot: Sequence[_Asked[Item, Many]]) -> None:
        try:
            found = self._work([item for asked in lot for item in asked.items])
        except Exception as error:
            for asked in lot:
                asked.error = error
            return
        start = 0
        for asked in lot:
            asked.results = found[start : start + len(asked.items)]  # type: ignore[assignment]
            start += len(asked.items)
