"""Hearing of other processes' commits: the server's notifications, and a look now and then in case they are lost.

Connection poolers drop notifications, and a connection that breaks misses some: so the newest sequence is asked
for every second as well, which costs one small query.
"""

from __future__ import annotations

import logging
import os
import select
import threading
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any

import psycopg

CHANNEL = "interleaf_outbox"
_LOOK_SECONDS = 1.0
_RETRY_SECONDS = 1.0

_log = logging.getLogger(__name__)


class News:
    """Calls `heard`, which must not raise, from a thread of its own until it is closed."""

    def __init__(self, conninfo: str, heard: Callable[[], None]) -> None:
        self._conninfo, self._heard = conninfo, heard
        self._wake, self._waker = os.pipe()
        self._closing = False
        self._last: tuple[Any, ...] | None = None
        self._thread = threading.Thread(target=self._run, name="interleaf-news", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Returns when no call is under way and none will come."""
        if self._closing:
            return
        self._closing = True
        os.write(self._waker, b"x")
        self._thread.join()
        os.close(self._waker)
        os.close(self._wake)

    def _run(self) -> None:
        while not self._closing:
            try:
                with psycopg.connect(
                    self._conninfo, autocommit=True, application_name="interleaf news", connect_timeout=10
                ) as connection:
                    connection.execute(f"LISTEN {CHANNEL}")
                    self._listen(connection)
            except Exception as error:  # whatever it was, others' commits must go on being heard of
                if not self._closing:
                    expected = isinstance(error, psycopg.Error | OSError)
                    _log.warning(
                        "lost the connection that hears of commits (%s)",
                        type(error).__name__,
                        exc_info=not expected,
                    )
                    self._pause()

    def _listen(self, connection: psycopg.Connection[Any]) -> None:
        told = False
        while not self._closing:
            newest = connection.execute("SELECT last_sequence FROM counters").fetchone()
            if newest != self._last or told:
                self._last = newest
                self._heard()
            readable = _readable([connection.fileno(), self._wake], _LOOK_SECONDS)
            told = connection.fileno() in readable and any(list(connection.notifies(timeout=0)))

    def _pause(self) -> None:
        with suppress(OSError):
            _readable([self._wake], _RETRY_SECONDS)


def _readable(descriptors: Collection[int], seconds: float) -> frozenset[int]:
    """Those with something to read, as soon as there are some."""
    # A server has many descriptors: select() refuses those from 1024 on, and epoll would need one more itself.
    waiting = select.poll()
    for descriptor in descriptors:
        waiting.register(descriptor, select.POLLIN)
    return frozenset(descriptor for descriptor, _ in waiting.poll(seconds * 1000))
