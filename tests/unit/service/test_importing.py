"""Imports that break off, meet one another, and are only rehearsed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from kb_store.errors import ImportRunning
from kb_store.formats import FileFormat
from kb_store.model import ConflictPolicy, Context
from kb_store.sql import SqlStore, open_store
from service.commands.importing import ImportHeader, Importing, ImportReport
from service.workers import Workers

NS = "ns"
CHUNK = 10
HEAD = b"subject,relation,object\n"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    made = open_store(tmp_path / "facts.db")
    made.create_namespace(NS, "", frozenset(), Context())
    yield made
    made.close()


@pytest.fixture
def workers() -> Iterator[Workers]:
    made = Workers(model_threads=1)
    yield made
    made.close()


def lines(count: int) -> list[bytes]:
    return [HEAD, *(f"s{n},r,o{n}\n".encode() for n in range(count))]


async def pieces(given: list[bytes]) -> AsyncIterator[bytes]:
    for piece in given:
        yield piece


async def send(
    importing: Importing, data: AsyncIterator[bytes], import_id: str = "imp", **context: Any
) -> ImportReport:
    header = ImportHeader(NS, FileFormat.CSV, ConflictPolicy.FAIL, import_id, "", Context(**context))
    return [report async for report in importing.run(header, data)][-1]


class Gate:
    """The writer stands still in it, with the next chunk of an import in its hands."""

    def __init__(self, store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached, self.open = threading.Event(), threading.Event()

        def wait(connection: Connection, job: Any) -> None:
            if job.announces:
                self.reached.set()
                assert self.open.wait(30)
            attempt(connection, job)

        attempt = store._writer._attempt
        monkeypatch.setattr(store._writer, "_attempt", wait)


def test_what_a_broken_stream_still_commits_is_counted_once(
    store: SqlStore, workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stream ends while the writer has its chunk already, which nobody can withdraw any more."""

    async def scenario() -> None:
        importing, gate = Importing(store, workers, CHUNK), Gate(store, monkeypatch)
        broken = asyncio.create_task(send(importing, pieces(lines(CHUNK))))
        await asyncio.to_thread(gate.reached.wait, 30)
        broken.cancel()
        await asyncio.gather(broken, return_exceptions=True)
        again = asyncio.create_task(send(importing, pieces(lines(CHUNK))))
        await asyncio.sleep(0.2)
        gate.open.set()
        assert (await again).rows_unchanged == CHUNK
        assert store.import_progress(NS, "imp").rows == CHUNK
        whole = await send(importing, pieces(lines(3 * CHUNK)))
        assert (whole.rows_written, whole.rows_unchanged) == (2 * CHUNK, CHUNK)
        assert store.get_namespace(NS).fact_count == 3 * CHUNK

    asyncio.run(scenario())


def test_of_two_servers_the_slower_is_refused_and_may_come_again(store: SqlStore, workers: Workers) -> None:
    """Each has its own list of what runs: the rows committed tell them of each other."""

    async def scenario() -> None:
        one, two = Importing(store, workers, CHUNK), Importing(store, workers, CHUNK)
        begun, go = asyncio.Event(), asyncio.Event()

        async def slowly() -> AsyncIterator[bytes]:
            begun.set()
            await go.wait()
            for line in lines(CHUNK):
                yield line

        slow = asyncio.create_task(send(one, slowly()))
        await begun.wait()
        assert (await send(two, pieces(lines(CHUNK)))).rows_written == CHUNK
        go.set()
        with pytest.raises(ImportRunning, match="send it again"):
            await slow
        assert store.import_progress(NS, "imp").rows == CHUNK
        whole = await send(one, pieces(lines(3 * CHUNK)))
        assert (whole.rows_written, whole.rows_unchanged) == (2 * CHUNK, CHUNK)
        assert store.get_namespace(NS).fact_count == 3 * CHUNK

    asyncio.run(scenario())


def test_a_dry_run_sees_conflicts_between_rows_far_apart(store: SqlStore, workers: Workers) -> None:
    async def scenario() -> None:
        importing = Importing(store, workers, CHUNK)
        file = [HEAD, *(f"s{n % CHUNK},r,o{n}\n".encode() for n in range(4 * CHUNK))]
        dry = await send(importing, pieces(file), validate_only=True)
        assert (dry.rows_written, dry.rows_failed) == (CHUNK, 3 * CHUNK)
        assert store.get_namespace(NS).fact_count == 0
        real = await send(importing, pieces(file))
        assert (real.rows_written, real.rows_failed) == (dry.rows_written, dry.rows_failed)
        assert [failure.line for failure in real.failures] == [failure.line for failure in dry.failures]
        # What the import has committed is checked all the same.
        dry = await send(importing, pieces(file), validate_only=True)
        assert (dry.rows_written, dry.rows_unchanged, dry.rows_failed) == (0, CHUNK, 3 * CHUNK)

    asyncio.run(scenario())


def test_a_dry_run_does_not_wait_for_the_writer(
    store: SqlStore, workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        importing, gate = Importing(store, workers, CHUNK), Gate(store, monkeypatch)
        busy = asyncio.create_task(send(importing, pieces(lines(CHUNK)), "other"))
        await asyncio.to_thread(gate.reached.wait, 30)
        dry = await asyncio.wait_for(send(importing, pieces(lines(CHUNK)), validate_only=True), 30)
        assert dry.rows_written == CHUNK
        gate.open.set()
        await busy

    asyncio.run(scenario())
