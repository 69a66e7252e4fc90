"""The lab: the served model under study, without its answers noticing.

The lab has modules of its own that share the served weights (see docs/adr/0011): no memory is taken, and what is
studied carries the very edits that are applied. One study runs at a time, on a thread of its own, and long ones let
answers go first.
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
        self.digest, self.spec = digest, engine.spec
        self.reading_layers = 0 if adapter is None else len(adapter.layers)
        self._pool = Pool("study", 1, waiting)
        self._lab: Lab | None = None
        self._answering: Callable[[], bool] = lambda: False

    @property
    def shape(self) -> tuple[int, int]:
        """Layers and heads, without making the lab."""
        return len(self.spec.layers), self.spec.heads

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
        """The result of a study. Cancelled, it ends before its next pass. TooBusy when too many wait, StudyDisturbed
        when an edit was applied or taken back meanwhile, be it for a moment."""
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
            lab = self._made()
            # On the engine's worker, which makes the changes: none is half made there.
            before = self._engine.call(lambda model, tokenizer: self._writes()).result()
            with lab.metered(Meter(planned, noted, cancelled)):
                result = work(lab)
            if self._writes() != before:
                raise StudyDisturbed
            return result

        try:
            return await self._pool.run(studied)
        finally:
            stopped.set()

    def close(self) -> None:
        """Waits for what runs."""
        self._pool.close()

    def _made(self) -> Lab:
        if self._lab is None:
            twin, tokenizer = self._engine.call(lambda model, tokenizer: (twin_of(model), tokenizer)).result()
            self._lab = Lab(twin, tokenizer, self._adapter, rows=_ROWS)
        return self._lab
