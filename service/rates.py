"""How often a namespace may be called: a bucket of tokens for each kind of call, filled at a steady rate.

Namespaces are named by callers, so the buckets are bounded: the one that was used longest ago is forgotten, which
gives it no more than a full bucket back.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from service.config_operation import QuotaSettings
from service.errors import RateExceeded

_MOST_BUCKETS = 100_000


class Rates:
    """Belongs to the event loop."""

    def __init__(self, settings: QuotaSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings, self._clock = settings, clock
        self._buckets: OrderedDict[tuple[str, str], tuple[float, float]] = OrderedDict()

    def take(self, kind: str, namespace: str) -> None:
        """One call more; RateExceeded, with the time until there is room, when it is one too many."""
        rate: float | None = getattr(self._settings, f"{kind}_per_second", None)
        if rate is None:
            return
        room, now = max(1.0, rate * self._settings.burst_seconds), self._clock()
        left, then = self._buckets.pop((kind, namespace), (room, now))
        left = min(room, left + (now - then) * rate)
        allowed = left >= 1
        self._buckets[(kind, namespace)] = (left - allowed, now)
        if len(self._buckets) > _MOST_BUCKETS:
            self._buckets.popitem(last=False)
        if not allowed:
            raise RateExceeded(f"quotas.{kind}_per_second", rate, (1 - left) / rate)
