"""The lab: the served model under study, without its answers noticing.

The lab has modules of its own that share the served weights (see docs/adr/0011): no memory is taken, and what is
studied carries the very edits that are applied. One long study runs at a time, and lets answers go first. What takes a
few passes or none has a lab and a thread of its own: what one lab hooks, the other does not see.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from circuits.lab import Lab, Meter, Passes, twin_of
from engines.contract import KVAdapter
from engines.transformers_engine import TransformersEngine
from service.errors import StudyDisturbed
from service.workers import Pool

T = TypeVar("T")

_POLITE_SECONDS = 0.5  # that a long study lets answers go first, before each of its passes
_STEP = 0.01
_ROWS = 16


class Study:
    """Belongs to one event loop, but for `lab`. `writes`: counts changes of the served weights, before each is made."""

    def __init__(
        self,
        engine: TransformersEngine,
        adapter: KVAdapter | None,
        digest: str,
        writes: Callable[[], int],
        waiting: int,
    ) -> None:
        self._engine, self._adapter, self._writes = engine, adapter, writes
        self.digest = digest
        self.reading_layers = 0 if adapter is None else len(adapter.layers)
        self._long, self._short = _Desk(self._made, "study", waiting), _Desk(self._made, "check", waiting)
        self._answering: Callable[[], bool] = lambda: False

    def give_way_to(self, answering: Callable[[], bool]) -> None:
        """Says whether answers are under way."""
        self._answering = answering

    async def run(
        self,
        work: Callable[[Lab], T],
        planned: Passes,
        note: Callable[[float], None] = lambda share: None,
        *,
        polite: bool = False,
    ) -> T:
        """The result of a study; `polite`: a long one. Cancelled, it ends before its next pass. TooBusy when too many
        wait, StudyDisturbed when an edit was applied or taken back meanwhile, be it for a moment."""
        desk = self._long if polite else self._short
        stopped = threading.Event()
        loop = asyncio.get_running_loop()

        def noted(share: float) -> None:
            loop.call_soon_threadsafe(note, share)

        def cancelled() -> bool:
            until = time.monotonic() + _POLITE_SECONDS
            while polite and self._answering() and not stopped.is_set() and time.monotonic() < until:
                time.sleep(_STEP)
            return stopped.is_set()

        def studied() -> T:
            lab = desk.lab()
            # On the engine's worker, which makes the changes: none is half made there.
            before = self._engine.call(lambda model, tokenizer: self._writes()).result()
            with lab.metered(Meter(planned, noted, cancelled)):
                result = work(lab)
            if self._writes() != before:
                raise StudyDisturbed
            return result

        try:
            return await desk.pool.run(studied)
        finally:
            stopped.set()

    async def check(self, work: Callable[[Lab], T]) -> T:
        """What is found without a pass before a long study begins, while another one runs. TooBusy when too many
        wait."""
        self._long.pool.admit()
        return await self._short.pool.run(lambda: work(self._short.lab()))

    def close(self) -> None:
        """Waits for what runs."""
        self._long.pool.close()
        self._short.pool.close()

    def _made(self) -> Lab:
        return self._engine.call(
            lambda model, tokenizer: Lab(twin_of(model), tokenizer, self._adapter, rows=_ROWS)
        ).result()


class _Desk:
    """A lab, and the one thread that works in it."""

    def __init__(self, make: Callable[[], Lab], name: str, waiting: int) -> None:
        self.pool = Pool(name, 1, waiting)
        self._make = make
        self._lab: Lab | None = None

    def lab(self) -> Lab:
        """Made when it is first wanted. On this desk's thread."""
        if self._lab is None:
            self._lab = self._make()
        return self._lab
