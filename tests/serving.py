"""A real server in a thread of this process, on a free port, and raw stubs to call it with."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import structlog
from google.longrunning import operations_pb2_grpc
from google.rpc import error_details_pb2, status_pb2

from interleaf.v1 import (
    circuits_pb2_grpc,
    edits_pb2_grpc,
    encoders_pb2_grpc,
    facts_pb2,
    facts_pb2_grpc,
    inference_pb2_grpc,
    namespaces_pb2,
    namespaces_pb2_grpc,
)
from kb_store.contract import Embedder, Vectors
from kb_store.text import fold_name
from service.config import load
from service.server import Server

PARENT = "namespaces/default"


class WordEmbedder:
    """Texts that share words are near: enough to see that retrieval works, and nothing to load."""

    dimension = 64
    digest = "words-64"

    def embed(self, texts: Sequence[str]) -> Vectors:
        vectors = np.full((len(texts), self.dimension), 1e-6, dtype=np.float32)
        for row, text in enumerate(texts):
            for word in fold_name(text).split():
                vectors[row, zlib.crc32(word.encode()) % self.dimension] += 1
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


WORDS = WordEmbedder()


@dataclass(frozen=True)
class Refusal:
    """A status with its details taken apart."""

    code: str
    message: str
    reason: str
    metadata: dict[str, str]
    fields: tuple[str, ...]
    retry_seconds: float | None


@dataclass(frozen=True)
class Running:
    """A server that runs, and its stubs."""

    address: str
    health_address: str
    channel: grpc.Channel
    facts: Any
    inference: Any
    namespaces: Any
    operations: Any
    encoders: Any
    edits: Any
    circuits: Any

    def add(self, subject: str, relation: str, obj: str, **more: Any) -> Any:
        """CreateFact in the default namespace, or in `parent`."""
        fact = facts_pb2.Fact(subject=subject, relation=relation, object=obj, **more.pop("fact", {}))
        request = facts_pb2.CreateFactRequest(parent=more.pop("parent", PARENT), fact=fact, **more)
        return self.facts.CreateFact(request)

    def space(self, name: str, **more: Any) -> str:
        """Makes a namespace and returns its name."""
        request = namespaces_pb2.CreateNamespaceRequest(namespace_id=name, **more)
        made: str = self.namespaces.CreateNamespace(request).name
        return made


def stubs(address: str, health_address: str, channel: grpc.Channel) -> Running:
    """Stubs of every service on a channel."""
    return Running(
        address,
        health_address,
        channel,
        facts_pb2_grpc.FactsStub(channel),
        inference_pb2_grpc.InferenceStub(channel),
        namespaces_pb2_grpc.NamespacesStub(channel),
        operations_pb2_grpc.OperationsStub(channel),
        encoders_pb2_grpc.EncodersStub(channel),
        edits_pb2_grpc.EditsStub(channel),
        circuits_pb2_grpc.CircuitsStub(channel),
    )


@contextmanager
def serving(
    data_dir: Path, *, embedder: Embedder | None = WORDS, **sections: dict[str, Any]
) -> Iterator[Server]:
    """A server without a model unless `engine` says otherwise; closed properly at the end.

    Without an embedder it has the configured one.
    """
    chosen: dict[str, dict[str, Any]] = {
        "listen": {"port": 0, "grace_seconds": 1.0},
        "http": {"enabled": False},
        "engine": {"kind": "none"},
        "store": {"data_dir": data_dir},
    }
    for name, values in sections.items():
        chosen[name] = {**chosen.get(name, {}), **values}
    settings = load(None, chosen)
    # Refusals are what many tests are about: only failures of the server are worth a line.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    ready: Future[tuple[Server, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def run() -> None:
        server, ended = Server(settings, embedder=embedder), asyncio.Event()
        try:
            await server.start()
        except BaseException as error:
            ready.set_exception(error)
            return
        ready.set_result((server, asyncio.get_running_loop(), ended))
        await ended.wait()
        await server.stop()

    thread = threading.Thread(target=lambda: asyncio.run(run()), name="server")
    thread.start()
    try:
        server, loop, ended = ready.result()
        try:
            yield server
        finally:
            loop.call_soon_threadsafe(ended.set)
    finally:
        thread.join()


@contextmanager
def running(
    data_dir: Path, *, embedder: Embedder | None = WORDS, **sections: dict[str, Any]
) -> Iterator[Running]:
    """The same, with stubs."""
    with (
        serving(data_dir, embedder=embedder, **sections) as server,
        grpc.insecure_channel(server.address) as channel,
    ):
        yield stubs(server.address, server.health_address, channel)


def get(server: Running, name: str, **more: Any) -> Any:
    return server.facts.GetFact(facts_pb2.GetFactRequest(name=name, **more))


def listed(server: Running, parent: str, **more: Any) -> list[str]:
    response = server.facts.ListFacts(facts_pb2.ListFactsRequest(parent=parent, **more))
    return [fact.object for fact in response.facts]


def searchable(server: Running, parent: str, revision: int) -> None:
    request = namespaces_pb2.GetNamespaceRequest(name=parent)
    for _ in range(1000):
        if server.namespaces.GetNamespace(request).searchable_revision >= revision:
            return
        time.sleep(0.02)
    raise AssertionError("never became searchable")


def refusal(call: Callable[[], Any]) -> Refusal:
    """Makes a call that must be refused."""
    try:
        result = call()
        if isinstance(result, Iterator):
            list(result)
    except grpc.RpcError as error:
        return taken_apart(error)
    raise AssertionError("the call was not refused")


def taken_apart(error: Any) -> Refusal:
    """The status of an error, with its details."""
    info, bad, retry = (
        error_details_pb2.ErrorInfo(),
        error_details_pb2.BadRequest(),
        error_details_pb2.RetryInfo(),
    )
    retry_seconds = None
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            for detail in status_pb2.Status.FromString(value).details:
                for known in (info, bad, retry):
                    if detail.Is(known.DESCRIPTOR):
                        detail.Unpack(known)
                if detail.Is(retry.DESCRIPTOR):
                    retry_seconds = retry.retry_delay.ToNanoseconds() / 1e9
    return Refusal(
        error.code().name,
        error.details(),
        info.reason,
        dict(info.metadata),
        tuple(violation.field for violation in bad.field_violations),
        retry_seconds,
    )
