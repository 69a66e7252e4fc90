"""The end of a server: what is in flight ends, nothing new begins, and it does not take for ever."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import httpx2
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from interleaf.v1 import facts_pb2 as pb
from interleaf.v1 import facts_pb2_grpc, monitor_pb2, monitor_pb2_grpc
from service.config import Settings, load
from service.server import Server, serve
from tests.serving import PARENT, WORDS, taken_apart

PATIENCE = 60.0
HEADER = pb.ImportFactsRequest(header=pb.ImportHeader(parent=PARENT, format=pb.FACT_FORMAT_CSV))


def chosen(folder: Path, grace: float) -> Settings:
    """A server without a model that listens on three free ports."""
    return load(
        None,
        {
            "listen": {"port": 0, "grace_seconds": grace, "health_port": 0},
            "http": {"port": 0},
            "engine": {"kind": "none"},
            "store": {"data_dir": folder},
            "log": {"level": "error"},
        },
    )


@asynccontextmanager
async def importing(folder: Path, grace: float) -> AsyncIterator[tuple[Server, Any]]:
    """A server, and an import that has begun."""
    server = Server(chosen(folder, grace), embedder=WORDS)
    address = await server.start()
    async with grpc.aio.insecure_channel(address) as channel:
        call = facts_pb2_grpc.FactsStub(channel).ImportFacts()
        await call.write(HEADER)
        await call.read()
        yield server, call


def visitor(server: Server) -> httpx2.AsyncClient:
    """Of its HTTP port."""
    return httpx2.AsyncClient(base_url=server.http_address, timeout=PATIENCE, trust_env=False)


async def until_transfers(client: httpx2.AsyncClient, count: int) -> None:
    """Waits until so many imports, exports and watches are in progress."""
    async with asyncio.timeout(PATIENCE):
        while True:
            calls = (await client.get("/v1/status")).json()["calls"]
            if {"transfer": count}.items() <= {load["kind"]: int(load["running"]) for load in calls}.items():
                return
            await asyncio.sleep(0.01)


async def reason(call: Any) -> str:
    """Why a call ended."""
    try:
        while await call.read() is not grpc.aio.EOF:
            pass
    except grpc.aio.AioRpcError as error:
        return taken_apart(error).reason
    return await call.code()


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
            assert await reason(call) == "SHUTTING_DOWN"

    asyncio.run(scene())


def test_what_is_cut_over_http_is_told_so_and_is_no_error_of_the_server(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scene() -> None:
        async with importing(tmp_path, grace=0.2) as (server, _):
            host, _, port = server.http_address.removeprefix("http://").rpartition(":")
            coming, going = await asyncio.open_connection(host, int(port))
            path = f"/v1/{PARENT}/facts:import?format=csv"
            going.write(f"POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-length: 99\r\n\r\nsubject".encode())
            async with visitor(server) as client:
                await until_transfers(client, 2)
            await asyncio.wait_for(server.stop(), PATIENCE)
            answer = await asyncio.wait_for(coming.read(), PATIENCE)
            going.close()
            assert answer.startswith(b"HTTP/1.1 503 ")
            assert b"SHUTTING_DOWN" in answer

    with caplog.at_level(logging.WARNING):
        asyncio.run(scene())
    assert caplog.records == []


def test_watches_hold_nothing_up(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody waits for the end of what never ends, over any port."""

    async def scene() -> None:
        async with (
            importing(tmp_path, grace=PATIENCE) as (server, call),
            grpc.aio.insecure_channel(server.address) as channel,
            grpc.aio.insecure_channel(server.health_address) as other,
            visitor(server) as client,
            client.stream("GET", "/v1/injections:watch") as response,
        ):
            watch = monitor_pb2_grpc.MonitorStub(channel).WatchInjections(monitor_pb2.ListInjectionsRequest())
            await until_transfers(client, 3)  # the import and both watches
            healths = [
                health_pb2_grpc.HealthStub(to).Watch(health_pb2.HealthCheckRequest())
                for to in (channel, other)
            ]
            for health in healths:
                assert (await health.read()).status == health_pb2.HealthCheckResponse.SERVING
            stopping = asyncio.create_task(server.stop())
            assert await reason(watch) == "SHUTTING_DOWN"
            for health in healths:
                assert (await health.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
                assert await reason(health) == "SHUTTING_DOWN"
            (event,) = [line async for line in response.aiter_lines() if line]
            error = json.loads(event.removeprefix("data: "))["error"]
            assert (error["status"], error["details"][0]["reason"]) == ("UNAVAILABLE", "SHUTTING_DOWN")
            assert not stopping.done()  # the import still has its time
            await call.done_writing()
            await asyncio.wait_for(stopping, PATIENCE / 4)

    with caplog.at_level(logging.WARNING):
        asyncio.run(scene())
    assert caplog.records == []


def test_a_second_signal_waits_for_nobody(tmp_path: Path) -> None:
    async def scene() -> None:
        ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        serving = asyncio.create_task(serve(chosen(tmp_path, grace=3600), ready.set_result))
        await asyncio.wait((serving, ready), return_when=asyncio.FIRST_COMPLETED)
        async with grpc.aio.insecure_channel(address := await ready) as channel:
            call = facts_pb2_grpc.FactsStub(channel).ImportFacts()
            await call.write(HEADER)
            await call.read()
            os.kill(os.getpid(), signal.SIGTERM)
            while await _refused_now(address) is grpc.StatusCode.OK:
                await asyncio.sleep(0.01)
            assert not serving.done()
            os.kill(os.getpid(), signal.SIGTERM)
            assert await asyncio.wait_for(reason(call), PATIENCE) == "SHUTTING_DOWN"
            await asyncio.wait_for(serving, PATIENCE)

    asyncio.run(scene())


def test_stopping_twice_is_stopping_once(tmp_path: Path) -> None:
    async def scene() -> None:
        async with importing(tmp_path, grace=0.0) as (server, _):
            for _number in range(2):
                await asyncio.wait_for(server.stop(), PATIENCE)

    asyncio.run(scene())
