"""From when until when a client can be used, and what is said before and after."""

from __future__ import annotations

import asyncio

import pytest

import interleaf
from interleaf import AnswerStream, AsyncAnswerStream, AsyncClient, Client, Retry

NOBODY = "127.0.0.1:1"
ONCE = Retry(attempts=1)


def test_a_closed_client_says_so() -> None:
    client = Client(NOBODY, retry=ONCE)
    other = client.with_options(namespace="crew")
    stream = client.stream("q")
    client.close()
    client.close()
    calls = (
        lambda: client.get("f"),
        lambda: other.get("f"),
        lambda: [*client.list()],
        lambda: [*stream],
        lambda: client.import_data(lambda: [b"a"], format="csv"),
        lambda: client.wait_ready(0.1),
        client.__enter__,
    )
    for call in calls:
        with pytest.raises(interleaf.ClientClosed, match="make another one"):
            call()


def test_a_closed_async_client_says_so() -> None:
    async def scenario() -> None:
        client = AsyncClient(NOBODY, retry=ONCE)
        stream = client.stream("q")
        await client.close()
        calls = (
            client.get("f"),
            anext(aiter(client.list())),
            anext(aiter(stream)),
            client.import_data(lambda: [b"a"], format="csv"),
            client.wait_ready(0.1),
            client.__aenter__(),
        )
        for call in calls:
            with pytest.raises(interleaf.ClientClosed, match="make another one"):
                await call

    asyncio.run(scenario())


def test_an_async_client_may_be_made_before_the_event_loop() -> None:
    client = AsyncClient(NOBODY, retry=ONCE)

    async def scenario() -> None:
        with pytest.raises(interleaf.Unavailable):
            await client.get("f")

    asyncio.run(scenario())
    with pytest.raises(RuntimeError, match="make one for each"):
        asyncio.run(scenario())


def test_an_answer_that_was_left_is_not_the_servers_fault() -> None:
    def events():  # type: ignore[no-untyped-def]
        yield "a"
        yield "b"

    with AnswerStream(events()) as stream:
        assert next(iter(stream)) == "a"
    with pytest.raises(interleaf.InterruptedTransfer, match="left before its text"):
        list(stream)


def test_an_async_answer_that_was_left_is_not_the_servers_fault() -> None:
    async def events():  # type: ignore[no-untyped-def]
        yield "a"

    async def scenario() -> None:
        async with AsyncAnswerStream(events()) as stream:
            assert await anext(aiter(stream)) == "a"
        with pytest.raises(interleaf.InterruptedTransfer, match="left before its text"):
            [text async for text in stream]

    asyncio.run(scenario())
