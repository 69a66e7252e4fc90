"""Work for several callers at once: what is asked for while one lot is worked on becomes the next lot."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from numpy.typing import NDArray

Item = TypeVar("Item")
Many = TypeVar("Many", bound=Sequence[Any] | NDArray[Any])  # results, one for each item


@dataclass(slots=True)
class _Asked(Generic[Item, Many]):
    items: Sequence[Item]
    results: Many | None = None
    error: Exception | None = None


class Together(Generic[Item, Many]):
    """Serialises a function of many items, and joins the items of callers that wait: many small calls of a model cost
    far more than a few large ones. `work` gives a result for each item, in their order."""

    def __init__(self, work: Callable[[Sequence[Item]], Many]) -> None:
        self._work = work
        self._working, self._adding = threading.Lock(), threading.Lock()
        self._asked: list[_Asked[Item, Many]] = []

    def __call__(self, items: Sequence[Item]) -> Many:
        """Blocks until the results are there. What the work raises, each of those who were joined gets."""
        mine = _Asked[Item, Many](items)
        with self._adding:
            self._asked.append(mine)
        with self._working:
            if mine.results is None and mine.error is None:
                self._next()
        if mine.results is None:
            raise mine.error or RuntimeError("nobody has worked on this")
        return mine.results

    def _next(self) -> None:
        with self._adding:
            lot, self._asked = self._asked, []
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
