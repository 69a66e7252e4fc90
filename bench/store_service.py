"""Single-fact creates through the whole service: a server in its own process, clients over gRPC on loopback."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import grpc

from interleaf.v1 import facts_pb2, facts_pb2_grpc, namespaces_pb2, namespaces_pb2_grpc
from kb_store.model import Content
from service import logs
from service.config import Settings, load
from service.server import serve

NAMESPACE = "bench"
_CHANNELS = 8


@contextmanager
def running_server(folder: Path) -> Iterator[str]:
    """A server without a model, with everything else; its address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.store_service", str(folder)], stdout=subprocess.PIPE, text=True
    )
    try:
        address = process.stdout.readline().strip() if process.stdout else ""
        if not address:
            raise RuntimeError("the server did not start")
        asyncio.run(_make_namespace(address))
        yield address
    finally:
        process.terminate()
        process.wait()
        if process.stdout:
            process.stdout.close()


async def _make_namespace(address: str) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        stub = namespaces_pb2_grpc.NamespacesStub(channel)
        await stub.CreateNamespace(namespaces_pb2.CreateNamespaceRequest(namespace_id=NAMESPACE))


def create_through_service(address: str, clients: int, contents: Sequence[Content]) -> list[float]:
    """Creates the facts from so many concurrent clients; the seconds that each call took, then the whole."""
    return asyncio.run(_create_all(address, clients, contents))


async def _create_all(address: str, clients: int, contents: Sequence[Content]) -> list[float]:
    waiting = iter(contents)
    seconds: list[float] = []

    async def client(stub: facts_pb2_grpc.FactsStub) -> None:
        for content in waiting:
            said = facts_pb2.Fact(subject=content.subject, relation=content.relation, object=content.object)
            started = time.perf_counter()
            await stub.CreateFact(
                facts_pb2.CreateFactRequest(
                    parent=f"namespaces/{NAMESPACE}", fact=said, request_id=str(uuid.uuid4())
                )
            )
            seconds.append(time.perf_counter() - started)

    channels = [
        # Channels of one process share their connection unless they differ in an option.
        grpc.aio.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)])
        for _ in range(min(clients, _CHANNELS))
    ]
    stubs = [facts_pb2_grpc.FactsStub(channel) for channel in channels]
    await asyncio.gather(*(channel.channel_ready() for channel in channels))
    started = time.perf_counter()
    await asyncio.gather(*(client(stubs[number % len(stubs)]) for number in range(clients)))
    seconds.append(time.perf_counter() - started)
    await asyncio.gather(*(channel.close() for channel in channels))
    return seconds


def _settings(folder: Path) -> Settings:
    return load(
        overrides={
            "listen": {"port": 0},
            "store": {"data_dir": folder, "default_namespace": ""},
            "engine": {"kind": "none"},
            "log": {"level": "warning"},
        }
    )


def _main() -> None:
    settings = _settings(Path(sys.argv[1]))
    # Standard output is for the address alone.
    logs.configure(settings.log)
    asyncio.run(serve(settings, lambda address: print(address, flush=True)))


if __name__ == "__main__":
    _main()
