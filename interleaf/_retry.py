"""Whether and when to try a call again: no clock, no sleep, no I/O but what is passed in."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from interleaf._errors import InterleafError, ResourceExhausted, Unavailable
from interleaf._options import Retry


def is_retryable(error: InterleafError) -> bool:
    """Whether the same call may succeed later without anybody doing anything about it."""
    if isinstance(error, ResourceExhausted):
        return error.retry_after is not None
    return isinstance(error, Unavailable)


def backoff(policy: Retry, attempt: int, error: InterleafError, chance: float) -> float:
    """Seconds to wait after this attempt (1, 2, ...) failed; `chance` in 0..1 takes off up to half of them.

    Never less than what the server asked for.
    """
    wait = min(policy.first_delay * 2.0 ** (attempt - 1), policy.max_delay)
    return max(wait * (1 - chance / 2), error.retry_after or 0.0)


class Attempts:
    """The attempts of one logical call within one deadline."""

    def __init__(
        self,
        policy: Retry,
        timeout: float | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._policy = policy
        self._clock = clock
        self._chance = chance
        self._deadline = None if timeout is None else clock() + timeout
        self._made = 0

    def remaining(self) -> float | None:
        """Seconds that the next attempt may take (None: no deadline)."""
        return None if self._deadline is None else max(self._deadline - self._clock(), 0.0)

    def progressed(self) -> None:
        """Forgets the failures so far: a transfer that gets on may be interrupted any number of times."""
        self._made = 0

    def delay(self, error: InterleafError) -> float | None:
        """Seconds to wait before the next attempt, or None when the error must be raised."""
        self._made += 1
        if self._made >= self._policy.attempts or not is_retryable(error):
            return None
        wait = backoff(self._policy, self._made, error, self._chance())
        remaining = self.remaining()
        return None if remaining is not None and wait >= remaining else wait
