"""Long-running operations and the threads for what blocks."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from kb_store.errors import InvalidInput, NotFound, RequestIdReused, StorageFull, StoreClosed, WrongState
from kb_store.model import OperationRecord
from kb_store.sql import SqlStore, open_store
from service.errors import TooBusy
from service.operations import Operations
from service.workers import Pool, Workers

Note = Callable[[bytes], None]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    made = open_store(tmp_path / "facts.db")
    yield made
    made.close()


@pytest.fixture
def workers() -> Iterator[Workers]:
    made = Workers(model_threads=1)
    yield made
    made.close()


def test_an_operation_from_its_start_to_its_deletion(store: SqlStore, workers: Workers) -> None:
    async def scenario() -> None:
        operations, go = Operations(store, workers), asyncio.Event()

        async def work(note: Note) -> bytes:
            note(b"half")
            await go.wait()
            return b"result"

        begun = await operations.start("one", "kind", b"begun", work)
        assert (begun.done, begun.metadata) == (False, b"begun")
        assert not store.get_operation("one").done
        waited = await operations.wait("one", 0.05)
        assert (waited.done, waited.metadata) == (False, b"half")
        assert [item.metadata for item in (await operations.list(limit=9, after=""))[0]] == [b"half"]
        with pytest.raises(WrongState):
            await operations.delete("one")
        go.set()
        ended = await operations.wait("one", 30)
        assert (ended.done, ended.response, ended.error_code) == (True, b"result", 0)
        assert store.get_operation("one") == ended
        await operations.cancel("one")
        assert await operations.get("one") == ended
        await operations.delete("one")
        with pytest.raises(NotFound):
            await operations.get("one")

    asyncio.run(scenario())


def test_cancelling_failing_and_shutting_down(store: SqlStore, workers: Workers) -> None:
    async def forever(note: Note) -> bytes:
        await asyncio.Event().wait()
        return b""

    def failing(error: Exception) -> Callable[[Note], Awaitable[bytes]]:
        async def work(note: Note) -> bytes:
            raise error

        return work

    async def scenario() -> None:
        operations = Operations(store, workers)
        for name in ("cancelled", "interrupted"):
            await operations.start(name, "kind", b"m", forever)
        await operations.cancel("cancelled")
        await operations.start("refused", "kind", b"m", failing(InvalidInput("field", "is wrong")))
        await operations.start("broken", "kind", b"m", failing(RuntimeError("secret")))
        for name in ("refused", "broken"):
            await operations.wait(name, 30)
        await operations.close()

    asyncio.run(scenario())
    found = {record.operation_id: record for record in store.list_operations(limit=9)}
    assert all(record.done for record in found.values())
    codes = {name: record.error_code for name, record in found.items()}
    assert codes == {"cancelled": 1, "interrupted": 10, "refused": 3, "broken": 13}
    assert "field: is wrong" in found["refused"].error_message
    assert "secret" not in found["broken"].error_message


@pytest.fixture
def held(store: SqlStore) -> Iterator[threading.Event]:
    """The store's writer waits until this is set."""
    go = threading.Event()
    store._writer.submit(lambda connection: go.wait(60))
    yield go
    go.set()


def test_a_caller_that_goes_away_has_begun_it(
    store: SqlStore, workers: Workers, held: threading.Event
) -> None:
    async def scenario() -> None:
        operations, runs = Operations(store, workers), 0

        async def work(note: Note) -> bytes:
            nonlocal runs
            runs += 1
            return b"result"

        first = asyncio.create_task(operations.start("one", "kind", b"m", work))
        again = asyncio.create_task(operations.start("one", "kind", b"m", work))
        await asyncio.sleep(0.1)
        first.cancel()
        await asyncio.wait([first])
        held.set()
        assert not (await again).done
        ended = await operations.wait("one", 30)
        assert (ended.response, runs) == (b"result", 1)
        assert store.get_operation("one") == ended

    asyncio.run(scenario())


def test_calls_of_one_request_begin_one_operation(store: SqlStore, workers: Workers) -> None:
    async def scenario() -> None:
        operations, going = Operations(store, workers), asyncio.Event()
        begun = 0

        async def work(note: Note) -> bytes:
            return b"result"

        async def begin(operation_id: str) -> OperationRecord:
            nonlocal begun
            begun += 1
            await going.wait()
            return await operations.start(operation_id, "kind", b"m", work)

        def once(metadata: bytes = b"m", request_id: str = "r") -> asyncio.Task[OperationRecord]:
            call = operations.once("kind", request_id, begin, lambda kept: kept == metadata)
            return asyncio.create_task(call)

        left, first, again, other, without = once(), once(), once(), once(b"other"), once(request_id="")
        while begun < 2:
            await asyncio.sleep(0)
        left.cancel()  # whoever goes away before it is begun leaves it to the next
        going.set()
        assert (await first, await again) == (await operations.get("kind-r"),) * 2
        with pytest.raises(RequestIdReused):
            await other
        assert (await without).operation_id not in ("kind-", "kind-r")
        assert begun == 3
        await operations.close()

    asyncio.run(scenario())


def test_however_often_it_is_cancelled_its_end_is_kept(
    store: SqlStore, workers: Workers, held: threading.Event
) -> None:
    async def scenario() -> None:
        operations = Operations(store, workers)
        ended: list[bool] = []

        async def forever(note: Note) -> bytes:
            note(b"half")
            await asyncio.Event().wait()
            return b""

        begin = operations.start("one", "kind", b"m", forever, lambda: ended.append(True))
        starting = asyncio.create_task(begin)
        await asyncio.sleep(0.1)
        cancels = [asyncio.create_task(operations.cancel("one"))]  # before it is even saved
        await asyncio.sleep(0.1)
        held.set()
        await starting
        cancels += [asyncio.create_task(operations.cancel("one")) for _ in range(2)]
        await asyncio.gather(*cancels)
        assert ended == [True]
        await operations.delete("one")

    asyncio.run(scenario())


def test_what_cannot_be_kept_does_not_begin(store: SqlStore, workers: Workers) -> None:
    async def scenario() -> None:
        operations = Operations(store, workers)

        async def never(note: Note) -> bytes:
            raise AssertionError

        store.close()
        ended: list[bool] = []
        with pytest.raises(StoreClosed):
            await operations.start("one", "kind", b"m", never, lambda: ended.append(True))
        assert ended == [True]
        with pytest.raises(StoreClosed):  # nothing of it is left in memory
            await operations.get("one")

    asyncio.run(scenario())


def test_progress_that_cannot_be_kept_does_not_cost_the_end(
    store: SqlStore, workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, tried = store.save_operation, asyncio.Event()

    def failing(record: OperationRecord) -> None:
        if record.metadata == b"half" and not record.done:
            loop.call_soon_threadsafe(tried.set)
            raise StorageFull("no room for progress")
        save(record)

    async def scenario() -> None:
        nonlocal loop
        loop = asyncio.get_running_loop()
        operations = Operations(store, workers)

        async def work(note: Note) -> bytes:
            note(b"half")
            await tried.wait()
            return b"result"

        await operations.start("one", "kind", b"m", work)
        assert (await operations.wait("one", 60)).response == b"result"
        assert store.get_operation("one").done

    loop: asyncio.AbstractEventLoop = asyncio.new_event_loop()
    loop.close()
    monkeypatch.setattr(store, "save_operation", failing)
    asyncio.run(scenario())


def test_progress_outlives_the_server(store: SqlStore, workers: Workers) -> None:
    async def scenario() -> None:
        operations = Operations(store, workers)

        async def work(note: Note) -> bytes:
            note(b"half")
            while (await workers.reads.run(store.get_operation, "one")).metadata != b"half":
                await asyncio.sleep(0.05)
            return b""

        await operations.start("one", "kind", b"begun", work)
        assert (await operations.wait("one", 60)).done

    asyncio.run(scenario())


def test_a_pool_refuses_what_would_wait_for_too_long() -> None:
    async def scenario() -> None:
        pool, go = Pool("tests", threads=1, waiting=1), threading.Event()
        tasks = [asyncio.ensure_future(pool.run(go.wait, 30)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(TooBusy):
            await pool.run(go.wait, 30)
        tasks[1].cancel()
        go.set()
        assert await tasks[0]
        for _ in range(1000):
            if pool._pending == 0:
                break
            await asyncio.sleep(0.01)
        assert await pool.run(lambda: 7) == 7
        pool.close()

    asyncio.run(scenario())
