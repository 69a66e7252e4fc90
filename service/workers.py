"""Threads for what blocks: SQL, the index, the model. Nothing of it ever runs on the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

from service.errors import TooBusy

P = ParamSpec("P")
T = TypeVar("T")

_RETRY_SECONDS = 1.0


class Pool:
    """A bounded executor: so many threads, and so many calls that wait for one."""

    def __init__(self, name: str, threads: int, waiting: int) -> None:
        self._name, self._bound = name, threads + waiting
        self._pending = 0
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=f"interleaf-{name}")

    async def run(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs the function on one of the threads. TooBusy when too much waits already."""
        self.admit()
        future = self._executor.submit(partial(function, *args, **kwargs))
        self._pending += 1
        loop = asyncio.get_running_loop()
        future.add_done_callback(lambda _: _quietly(loop, self._finished))
        return await asyncio.wrap_future(future)

    def admit(self) -> None:
        """TooBusy when it would refuse a call now."""
        if self._pending >= self._bound:
            raise TooBusy(f"pieces of work wait for {self._name}", self._bound, _RETRY_SECONDS)

    def _finished(self) -> None:
        self._pending -= 1

    def close(self) -> None:
        """Waits for what runs, drops what waits."""
        self._executor.shutdown(wait=True, cancel_futures=True)


def _quietly(loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(callback)


class Workers:
    """One pool for each kind of blocking work, so that none can take the threads of another."""

    def __init__(self, model_threads: int) -> None:
        self.reads = Pool("reads", 4, 1024)
        self.writes = Pool("writes", 4, 1024)
        self.retrieval = Pool("retrieval", 2, 1024)
        # These threads only wait: for the writer and for the model.
        self.waiting = Pool("waiting", 64, 1024)
        self.model = Pool("model", model_threads, 1024)

    def close(self) -> None:
        """Ends all threads."""
        for pool in (self.waiting, self.model, self.retrieval, self.reads, self.writes):
            pool.close()
