"""The PostgreSQL server of the tests, and waiting for what comes by itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from bench.postgres_stand import NoPostgres, PostgresServer, running_server

__all__ = ["PostgresServer", "eventually", "postgres_server"]


def eventually(holds: Callable[[], bool], seconds: float = 120) -> bool:
    """Whether it came true in time."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One for each process that runs tests."""
    with ExitStack() as undo:
        try:
            server = undo.enter_context(running_server())
        except NoPostgres as reason:
            pytest.skip(str(reason))
        yield server
