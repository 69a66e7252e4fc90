"""The end of a server: what is in flight ends, nothing new begins, and it does not take for ever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc

from interleaf.v1 import facts_pb2 as pb
from interleaf.v1 import facts_pb2_grpc
from service.config import load
from service.server import Server
from tests.serving import PARENT, WORDS

PATIENCE = 120.0
HEADER = pb.ImportFactsRequest(header=pb.ImportHeader(parent=PARENT, format=pb.FACT_FORMAT_CSV))


@asynccontextmanager
async def importing(folder: Path, grace: float) -> AsyncIterator[tuple[Server, Any]]:
    """A server, and an import that has begun."""
    server = Server(
        load(
            None,
            {
                "listen": {"port": 0, "grace_seconds": grace},
                "http": {"enabled": False},
                "engine": {"kind": "none"},
                "store": {"data_dir": folder},
                "log": {"level": "error"},
            },
        ),
        embedder=WORDS,
    )
    address = await server.start()
    async with grpc.aio.insecure_channel(address) as channel:
        call = facts_pb2_grpc.FactsStub(channel).ImportFacts()
        await call.write(HEADER)
        await call.read()
        yield server, call


async def _refused_now(address: str) -> grpc.StatusCode:
    async with grpc.aio.insecure_channel(address) as channel:
        try:
            await facts_pb2_grpc.FactsStub(channel).ListFacts(
                pb.ListFactsRequest(parent=PARENT), timeout=PATIENCE
            )
        except grpc.aio.AioRpcError as error:
            code: grpc.StatusCode = error.code()
            return code
    return grpc.StatusCode.OK


def test_what_is_in_flight_ends_and_nothing_new_begins(tmp_path: Path) -> None:
    async def scene() -> None:
        async with importing(tmp_path, grace=PATIENCE) as (server, call):
            stopping = asyncio.create_task(server.stop())
            while await _refused_now(server.address) is grpc.StatusCode.OK:
                await asyncio.sleep(0.01)
            assert await _refused_now(server.address) is grpc.StatusCode.UNAVAILABLE
            assert not stopping.done()
            await call.write(pb.ImportFactsRequest(data=b"subject,relation,object\na,b,c\n"))
            await call.done_writing()
            last = None
            while (message := await call.read()) is not grpc.aio.EOF:
                last = message
            assert last is not None
            assert (last.done, last.rows_written) == (True, 1)
            await asyncio.wait_for(stopping, PATIENCE)

    asyncio.run(scene())


def test_what_does_not_end_is_cut(tmp_path: Path) -> None:
    async def scene() -> None:
        async with importing(tmp_path, grace=0.2) as (server, call):
            await asyncio.wait_for(server.stop(), PATIENCE)
            assert await call.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)

    asyncio.run(scene())


def test_stopping_twice_is_stopping_once(tmp_path: Path) -> None:
    async def scene() -> None:
        async with importing(tmp_path, grace=0.0) as (server, _):
            for _number in range(2):
                await asyncio.wait_for(server.stop(), PATIENCE)

    asyncio.run(scene())
