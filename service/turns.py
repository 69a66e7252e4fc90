"""Who is next: places for calls of one kind, shared fairly between namespaces.

So many calls run at once, so many more wait. Two rules keep one namespace from taking everything, without anybody
having a quota: it may run in at most seven times the places that are free, and wait in at most as many as are free; so
there is room for another one, which finds it at once. And whenever a call ends, the next to run is of the namespace
that runs least (of several, the one that was served longest ago).

A queue must not promise what it cannot keep: who could not be served in time, by what calls have taken lately, is
refused on arrival, and told when to come back. That goes for a free place too, which among many others may be a slow
one. Guesses are taken for too hopeful: a refusal at once costs a caller less than one after seconds.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from service.errors import TooBusy

_RUNNING_SHARE = 7  # times the free places
_WAITING_SHARE = 1
_SMOOTHING = 0.1
_LONGEST_RETRY = 30.0
_FEWEST_ENDS = 3  # that show a pace
_LAST_ENDS = 32
_REMEMBERED = 30.0  # seconds that a pace is believed after nobody waits any more
_MARGIN = 1.25


class _Pace:
    """How often a place becomes free while somebody waits for one. What calls took when there was room says little
    about that: each is slower among many."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._times: deque[float] = deque(maxlen=_LAST_ENDS + 1)  # since when somebody waits; ends since
        self._last: tuple[float, float] | None = None  # the pace when last somebody waited, and until when

    def note(self, *, waited_for: bool, ended: bool = False) -> None:
        """Whether anybody waits now, and whether a call has just ended."""
        if not waited_for:
            if (seconds := self.seconds) is not None:
                self._last = seconds, self._clock()
            self._times.clear()
        elif ended or not self._times:
            self._times.append(self._clock())

    @property
    def seconds(self) -> float | None:
        """Between two ends; the time since the last one counts too. None before it can be told."""
        ends = len(self._times) - 1
        return (self._clock() - self._times[0]) / ends if ends >= _FEWEST_ENDS else None

    @property
    def lately(self) -> float | None:
        """The same, or what it was shortly ago."""
        if (seconds := self.seconds) is not None or self._last is None:
            return seconds
        before, at = self._last
        return before if self._clock() - at <= _REMEMBERED else None


class Turns:
    """Belongs to the event loop. `name` is the configuration's, for those who are refused."""

    def __init__(
        self,
        name: str,
        running: int,
        waiting: int,
        *,
        wait_seconds: float,
        retry_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name, self._places, self._room = name, running, waiting
        self._wait_seconds, self._retry_seconds, self._clock = wait_seconds, retry_seconds, clock
        self._running: Counter[str] = Counter()
        self._queues: dict[str, deque[asyncio.Future[None]]] = {}
        # Of namespaces that run or wait: the number of the last turn that they had.
        self._last: dict[str, int] = {}
        self._turn_numbers = itertools.count()
        self._waiting = 0
        self._usual: float | None = None  # seconds that a call runs
        self._pace = _Pace(clock)
        self.refused = 0

    @property
    def running(self) -> int:
        """Calls that have their turn."""
        return self._running.total()

    @property
    def waiting(self) -> int:
        """Calls that wait for it."""
        return self._waiting

    @asynccontextmanager
    async def turn(self, namespace: str, remaining: float) -> AsyncIterator[None]:
        """Waits for a place and holds it. TooBusy when there is none to be had within `remaining` seconds."""
        # Of those who wait nobody may run, or it would: a newcomer who may passes nobody by.
        if self._may_run(namespace):
            # Who finds nobody there is let in whatever was seen before: it is how one learns that it is over.
            if self.running and (self.running + 1) * (self._pace.lately or 0.0) * _MARGIN > remaining:
                raise self._refusal(self.running)
            self._give(namespace)
        else:
            await self._wait(namespace, remaining)
        began = self._clock()
        try:
            yield
        finally:
            took = self._clock() - began
            usual = self._usual
            self._usual = took if usual is None else usual + _SMOOTHING * (took - usual)
            self._pace.note(waited_for=bool(self._waiting), ended=True)
            self._leave(namespace)

    def expected(self, namespace: str) -> float:
        """Seconds until a call that came now would have its turn, by how calls have ended lately."""
        if self._usual is None or not self.running:
            return 0.0
        queue = self._queues.get(namespace, ())
        others = sum(
            min(len(other), len(queue) + 1) for name, other in self._queues.items() if name != namespace
        )
        return (len(queue) + 1 + others) * self._between()

    def _between(self) -> float:
        """Seconds from one free place to the next."""
        seen = self._pace.lately
        return (self._usual or 0.0) / max(1, self.running) if seen is None else seen

    def _takes(self) -> float:
        """Seconds that a call would run now."""
        return max(self._usual or 0.0, self.running * (self._pace.lately or 0.0))

    def _may_run(self, namespace: str) -> bool:
        free = self._places - self.running
        return free > 0 and self._running[namespace] < _RUNNING_SHARE * free

    async def _wait(self, namespace: str, remaining: float) -> None:
        queue = self._queues.get(namespace, ())
        free = self._room - self._waiting
        if len(queue) >= _WAITING_SHARE * free:
            raise self._refusal(self._room)
        patience = min(self._wait_seconds, remaining - self._takes())
        if self.expected(namespace) * _MARGIN > patience:
            raise self._refusal(self._waiting)
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queues.setdefault(namespace, deque()).append(mine)
        self._waiting += 1
        self._pace.note(waited_for=True)
        try:
            async with asyncio.timeout(patience):
                await mine
        except BaseException as error:
            self._give_up(namespace, mine)
            if isinstance(error, TimeoutError):
                raise self._refusal(self._waiting) from None
            raise

    def _give_up(self, namespace: str, mine: asyncio.Future[None]) -> None:
        if mine.done() and not mine.cancelled():  # its turn came at the same moment
            self._leave(namespace)
        elif mine in self._queues.get(namespace, ()):
            self._queues[namespace].remove(mine)
            self._shorter(namespace)

    def _give(self, namespace: str) -> None:
        self._running[namespace] += 1
        self._last[namespace] = next(self._turn_numbers)

    def _leave(self, namespace: str) -> None:
        self._running[namespace] -= 1
        self._forget(namespace)
        self._serve()

    def _shorter(self, namespace: str) -> None:
        """A call waits no more."""
        self._waiting -= 1
        self._pace.note(waited_for=bool(self._waiting))
        if not self._queues[namespace]:
            del self._queues[namespace]
            self._forget(namespace)

    def _forget(self, namespace: str) -> None:
        if not self._running[namespace]:
            del self._running[namespace]
            if namespace not in self._queues:
                self._last.pop(namespace, None)

    def _serve(self) -> None:
        while self._waiting:
            able = [name for name in self._queues if self._may_run(name)]
            if not able:
                return
            chosen = min(able, key=lambda name: (self._running[name], self._last.get(name, -1)))
            first = self._queues[chosen].popleft()
            if not first.done():  # otherwise its call was cancelled, and has not run since
                self._give(chosen)
                first.set_result(None)
            self._shorter(chosen)

    def _refusal(self, limit: int) -> TooBusy:
        self.refused += 1
        until_room = (self._waiting + 1) * self._between()
        retry = min(_LONGEST_RETRY, max(self._retry_seconds, until_room))
        return TooBusy(f"calls wait for their turn (admission.{self._name})", limit, retry)
