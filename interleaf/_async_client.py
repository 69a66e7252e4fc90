"""The asyncio client: the same calls, carried out without blocking."""

from __future__ import annotations

import asyncio
import copy
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import grpc

from interleaf import _fact_calls as on_facts
from interleaf import _inference_calls as on_model
from interleaf import _namespace_calls as on_namespaces
from interleaf import _transfer_calls as on_files
from interleaf._async_binding import RETURNS, calling, paging, polling, streaming
from interleaf._async_groups import AsyncCircuits, AsyncEdits, AsyncEncoders, AsyncMonitor, AsyncReviews
from interleaf._calls import Call, Paged, Polled, Streamed, Upload
from interleaf._channels import AsyncLine
from interleaf._client import Client
from interleaf._errors import (
    AlreadyExists,
    DeadlineExceeded,
    Unavailable,
    from_rpc_error,
)
from interleaf._options import DEFAULT_NAMESPACE, DEFAULT_TARGET, TLS, Retry, Timeout
from interleaf._retry import Attempts
from interleaf._session import Session
from interleaf._settings import Settings, poll_delays, present, serialize
from interleaf._streams import AsyncAnswerStream, whole_file
from interleaf._types import Answer, FileFormat, ImportReport, Namespace

P = ParamSpec("P")
T = TypeVar("T")


def _answering(
    build: Callable[Concatenate[Session, P], Streamed[str | Answer]],
) -> Callable[Concatenate[AsyncClient, P], AsyncAnswerStream]:
    def method(self: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> AsyncAnswerStream:
        return AsyncAnswerStream(self._stream(build(self._settings.session, *args, **kwargs)))

    present(method, build, {"Streamed": "AsyncAnswerStream"})
    return method


def _uploading(
    build: Callable[Concatenate[Session, P], Upload],
) -> Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, ImportReport]]:
    def method(self: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, ImportReport]:
        return self._upload(build(self._settings.session, *args, **kwargs))

    present(method, build, RETURNS)
    return method


class AsyncClient:
    """Talks to an Interleaf server from asyncio. The methods are those of `Client`: await them, and go over
    lists with `async for`. The first call binds it to the event loop that runs then.

        async with AsyncClient() as client:
            await client.add("Anna Keller", "employer", "Nordlicht Werft")
            print(await client.ask("Who does Anna Keller work for?"))
    """

    def __init__(
        self,
        target: str = DEFAULT_TARGET,
        *,
        namespace: str = DEFAULT_NAMESPACE,
        api_key: str | None = None,
        tls: TLS | None = None,
        timeout: Timeout | float | None = None,
        retry: Retry | None = None,
        read_your_writes: bool = True,
    ) -> None:
        self._settings = Settings.make(target, namespace, api_key, tls, timeout, retry, read_your_writes)
        self._owns_line = True
        self._line = AsyncLine(self._settings.connection)

    add = calling(on_facts.add)
    add_many = calling(on_facts.add_many)
    get = calling(on_facts.get)
    get_many = calling(on_facts.get_many)
    list = paging(on_facts.list_facts)
    update = calling(on_facts.update)
    correct = calling(on_facts.correct)
    delete = calling(on_facts.delete)
    delete_many = calling(on_facts.delete_many)
    undelete = calling(on_facts.undelete)
    history = paging(on_facts.history)
    rollback = calling(on_facts.rollback)
    search = calling(on_facts.search)

    import_file = _uploading(on_files.import_file)
    import_data = _uploading(on_files.import_data)
    export = streaming(on_files.export)

    ask = calling(on_model.ask)
    stream = _answering(on_model.stream)
    compare = calling(on_model.compare)
    score = calling(on_model.score)
    weigh = calling(on_model.weigh)

    create_namespace = calling(on_namespaces.create_namespace)
    get_namespace = calling(on_namespaces.get_namespace)
    namespaces = paging(on_namespaces.list_namespaces)
    update_namespace = calling(on_namespaces.update_namespace)
    delete_namespace = calling(on_namespaces.delete_namespace)
    reindex = calling(on_namespaces.reindex)
    operation = calling(on_namespaces.operation)
    operations = paging(on_namespaces.operations)
    cancel_operation = calling(on_namespaces.cancel_operation)
    wait = polling(on_namespaces.wait)
    wait_until = polling(on_namespaces.wait_until)

    async def ensure_namespace(self, namespace: str | None = None) -> Namespace:
        """Returns the namespace (the client's own when none is named), made if it was not there."""
        name = namespace or self._settings.session.namespace
        try:
            return await self.create_namespace(name)
        except AlreadyExists:
            return await self.get_namespace(name)

    async def export_file(
        self, path: str | Path, *, format: FileFormat | None = None, filter: str = ""
    ) -> int:
        """Writes the live facts to a file and returns its size; the file appears only when it is whole."""
        chunks = self.export(format=on_files.format_of(path, format), filter=filter)
        size = 0
        with whole_file(path) as file:
            async for chunk in chunks:
                size += await asyncio.to_thread(file.write, chunk)
        return size

    @property
    def edits(self) -> AsyncEdits:
        """Edits of the model's weights: `edits.create`, `list`, `get`, `receipt`, `apply`, `revert`, ..."""
        return AsyncEdits(self)

    @property
    def encoders(self) -> AsyncEncoders:
        """Encoders: `encoders.list`, `get`, `train`, `evaluate`, `calibrate`, `sweep_layers`."""
        return AsyncEncoders(self)

    @property
    def circuits(self) -> AsyncCircuits:
        """Why the model said this: `circuits.check`, `trace`, `study_heads`, ..."""
        return AsyncCircuits(self)

    @property
    def monitor(self) -> AsyncMonitor:
        """What the service has just done: `monitor.injections`, `watch`, `status`."""
        return AsyncMonitor(self)

    @property
    def reviews(self) -> AsyncReviews:
        """Rows of imports that wait for approval: `reviews.list`, `get`, `approve`, `reject`."""
        return AsyncReviews(self)

    @property
    def namespace(self) -> str:
        """The namespace that the calls are about."""
        return self._settings.session.namespace

    def with_options(
        self,
        *,
        namespace: str | None = None,
        timeout: Timeout | float | None = None,
        retry: Retry | None = None,
    ) -> Self:
        """A client on the same connection with other options: `client.with_options(namespace="crew")`."""
        other = copy.copy(self)
        other._settings = self._settings.changed(namespace, timeout, retry)
        other._owns_line = False
        return other

    async def wait_ready(self, timeout: float = 30.0) -> None:
        """Waits until the server takes connections; Unavailable when it does not in time."""
        try:
            await asyncio.wait_for(self._line.open().channel_ready(), timeout)
        except TimeoutError:
            where = self._settings.connection.target
            raise Unavailable(f"no server at {where} within {timeout:g} s") from None

    async def close(self) -> None:
        """Closes the connection; a client made by `with_options` leaves that to the first one."""
        if self._owns_line:
            await self._line.close()

    async def __aenter__(self) -> Self:
        self._line.open()  # one that is closed does not open again
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _invoke(self, shape: str, rpc: str, request: Any, response: Any, attempts: Attempts) -> Any:
        """Sends one attempt. `shape` is the name of the channel's method, such as unary_unary."""
        start = getattr(self._line.open(), shape)(
            rpc, request_serializer=serialize, response_deserializer=response.FromString
        )
        return start(request, timeout=attempts.remaining(), metadata=self._settings.connection.metadata)

    async def _pause(self, attempts: Attempts, failure: grpc.RpcError) -> None:
        """Waits for the next attempt, or raises when there is to be none."""
        error = from_rpc_error(failure)
        delay = attempts.delay(error)
        if delay is None:
            raise error from failure
        await asyncio.sleep(delay)

    async def _call(self, call: Call[T]) -> T:
        attempts = self._settings.attempts(call.kind)
        while True:
            try:
                return call.decode(
                    await self._invoke("unary_unary", call.rpc, call.request, call.response, attempts)
                )
            except grpc.RpcError as failure:
                await self._pause(attempts, failure)

    async def _pages(self, paged: Paged[T]) -> AsyncIterator[T]:
        token = ""
        while True:
            items, token = await self._call(paged.page(token))
            for item in items:
                yield item
            if not token:
                return

    async def _poll(self, polled: Polled[T]) -> T:
        end = None if polled.timeout is None else time.monotonic() + polled.timeout
        for delay in poll_delays():
            seen = await self._call(polled.call)
            if polled.done(seen):
                return seen
            if end is not None and time.monotonic() + delay > end:
                break
            await asyncio.sleep(delay)
        raise DeadlineExceeded(f"{polled.what}: not within {polled.timeout:g} s")

    async def _stream(self, streamed: Streamed[T]) -> AsyncGenerator[T, None]:
        attempts = self._settings.attempts(streamed.kind)
        started = False
        while True:
            messages = self._invoke(
                "unary_stream", streamed.rpc, streamed.request, streamed.response, attempts
            )
            try:
                async for message in messages:
                    started = True
                    yield streamed.decode(message)
                return
            except grpc.RpcError as failure:
                if started:  # what was handed out cannot be taken back
                    raise from_rpc_error(failure) from failure
                await self._pause(attempts, failure)
            finally:
                messages.cancel()

    async def _upload(self, upload: Upload) -> ImportReport:
        """Runs in a thread, on a blocking connection of its own.

        When a server ends an import early, grpc.aio hides why whenever a write was under way ("Internal error
        from Core"): the caller would not learn what is wrong with the file.
        """
        self._line.open()  # not when this client is closed
        loop = asyncio.get_running_loop()
        if (progress := upload.progress) is not None:

            def report_in_loop(report: ImportReport) -> None:
                loop.call_soon_threadsafe(progress, report)

            upload = replace(upload, progress=report_in_loop)
        with Client._of(self._settings) as client:  # closing it ends the import when this task is cancelled
            return await asyncio.to_thread(client._upload, upload)
