"""Retries: what is repeated, how long the pauses are, and that a deadline holds for all attempts together."""

from __future__ import annotations

import pytest

from interleaf import InvalidArgument, ResourceExhausted, Retry, Unavailable
from interleaf._retry import Attempts, backoff, is_retryable

POLICY = Retry(attempts=4, first_delay=0.1, max_delay=0.5)


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def attempts(timeout: float | None, clock: Clock, policy: Retry = POLICY) -> Attempts:
    return Attempts(policy, timeout, clock=clock, chance=lambda: 0.0)


def test_what_is_repeated() -> None:
    assert is_retryable(Unavailable("down"))
    assert is_retryable(ResourceExhausted("busy", retry_after=0.0))
    assert not is_retryable(ResourceExhausted("disk full"))
    assert not is_retryable(InvalidArgument("no"))


def test_pauses_double_up_to_the_longest() -> None:
    error = Unavailable("down")
    assert [backoff(POLICY, n, error, 0.0) for n in (1, 2, 3, 4, 5)] == [0.1, 0.2, 0.4, 0.5, 0.5]


@pytest.mark.parametrize("chance", [0.0, 0.3, 1.0])
def test_chance_takes_off_at_most_half(chance: float) -> None:
    assert backoff(POLICY, 1, Unavailable("down"), chance) == pytest.approx(0.1 * (1 - chance / 2))


def test_never_sooner_than_the_server_asked() -> None:
    assert backoff(POLICY, 1, ResourceExhausted("busy", retry_after=3.0), 1.0) == 3.0


def test_attempts_run_out() -> None:
    made = attempts(None, Clock())
    error = Unavailable("down")
    assert [made.delay(error) for _ in range(4)] == [0.1, 0.2, 0.4, None]


def test_one_attempt_means_no_repeat() -> None:
    assert attempts(None, Clock(), Retry(attempts=1)).delay(Unavailable("down")) is None


def test_progress_renews_the_attempts() -> None:
    made = attempts(None, Clock())
    error = Unavailable("down")
    for _ in range(3):
        made.delay(error)
    made.progressed()
    assert made.delay(error) == 0.1


def test_the_deadline_holds_for_all_attempts() -> None:
    clock = Clock()
    made = attempts(1.0, clock)
    assert made.remaining() == 1.0
    clock.now += 0.95
    assert made.remaining() == pytest.approx(0.05)
    assert made.delay(Unavailable("down")) is None  # a pause of 0.1 s would outlast it
    clock.now += 1
    assert made.remaining() == 0.0


def test_no_deadline() -> None:
    assert attempts(None, Clock()).remaining() is None
