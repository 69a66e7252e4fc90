"""The blocking client."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import grpc

from interleaf import _fact_calls as on_facts
from interleaf import _inference_calls as on_model
from interleaf import _namespace_calls as on_namespaces
from interleaf import _transfer_calls as on_files
from interleaf._binding import RETURNS, calling, paging, polling, streaming
from interleaf._calls import Call, Paged, Polled, Streamed, Upload
from interleaf._channels import Line
from interleaf._errors import (
    AlreadyExists,
    DeadlineExceeded,
    InterruptedTransfer,
    Unavailable,
    from_rpc_error,
)
from interleaf._groups import Circuits, Edits, Encoders, Monitor, Reviews
from interleaf._options import DEFAULT_NAMESPACE, DEFAULT_TARGET, TLS, Retry, Timeout
from interleaf._retry import Attempts
from interleaf._session import Session
from interleaf._settings import Settings, WatchedRequests, poll_delays, present, serialize
from interleaf._streams import AnswerStream, whole_file
from interleaf._types import Answer, FileFormat, ImportReport, Namespace

P = ParamSpec("P")
T = TypeVar("T")


def _answering(
    build: Callable[Concatenate[Session, P], Streamed[str | Answer]],
) -> Callable[Concatenate[Client, P], AnswerStream]:
    def method(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> AnswerStream:
        return AnswerStream(self._stream(build(self._settings.session, *args, **kwargs)))

    present(method, build, {"Streamed": "AnswerStream"})
    return method


def _uploading(
    build: Callable[Concatenate[Session, P], Upload],
) -> Callable[Concatenate[Client, P], ImportReport]:
    def method(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> ImportReport:
        return self._upload(build(self._settings.session, *args, **kwargs))

    present(method, build, RETURNS)
    return method


class Client:
    """Talks to an Interleaf server. Safe to share between threads.

        with Client() as client:
            client.add("Anna Keller", "employer", "Nordlicht Werft")
            print(client.ask("Who does Anna Keller work for?"))

    Writes carry a request_id made once per call, so that a retry never does a thing twice. Reads and
    questions see everything this client wrote before, unless `read_your_writes=False`.
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
        self._open(Settings.make(target, namespace, api_key, tls, timeout, retry, read_your_writes))

    def _open(self, settings: Settings) -> None:
        self._settings = settings
        self._owns_line = True
        self._line = Line(settings.connection)

    @classmethod
    def _of(cls, settings: Settings) -> Self:
        """A client with these settings, and a connection of its own."""
        client = cls.__new__(cls)
        client._open(settings)
        return client

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

    def ensure_namespace(self, namespace: str | None = None) -> Namespace:
        """Returns the namespace (the client's own when none is named), made if it was not there."""
        name = namespace or self._settings.session.namespace
        try:
            return self.create_namespace(name)
        except AlreadyExists:
            return self.get_namespace(name)

    def export_file(self, path: str | Path, *, format: FileFormat | None = None, filter: str = "") -> int:
        """Writes the live facts to a file and returns its size; the file appears only when it is whole."""
        chunks = self.export(format=on_files.format_of(path, format), filter=filter)
        with whole_file(path) as file:
            return sum(map(file.write, chunks))

    @property
    def edits(self) -> Edits:
        """Edits of the model's weights: `edits.create`, `list`, `get`, `receipt`, `apply`, `revert`, ..."""
        return Edits(self)

    @property
    def encoders(self) -> Encoders:
        """Encoders: `encoders.list`, `get`, `train`, `evaluate`, `calibrate`, `sweep_layers`."""
        return Encoders(self)

    @property
    def circuits(self) -> Circuits:
        """Why the model said this: `circuits.check`, `trace`, `study_heads`, ..."""
        return Circuits(self)

    @property
    def monitor(self) -> Monitor:
        """What the service has just done: `monitor.injections`, `watch`, `status`."""
        return Monitor(self)

    @property
    def reviews(self) -> Reviews:
        """Rows of imports that wait for approval: `reviews.list`, `get`, `approve`, `reject`."""
        return Reviews(self)

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

    def wait_ready(self, timeout: float = 30.0) -> None:
        """Waits until the server takes connections; Unavailable when it does not in time."""
        try:
            grpc.channel_ready_future(self._line.open()).result(timeout=timeout)
        except grpc.FutureTimeoutError:
            where = self._settings.connection.target
            raise Unavailable(f"no server at {where} within {timeout:g} s") from None

    def close(self) -> None:
        """Closes the connection; a client made by `with_options` leaves that to the first one."""
        if self._owns_line:
            self._line.close()

    def __enter__(self) -> Self:
        self._line.open()  # one that is closed does not open again
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _invoke(self, shape: str, rpc: str, request: Any, response: Any, attempts: Attempts) -> Any:
        """Sends one attempt. `shape` is the name of the channel's method, such as unary_unary."""
        start = getattr(self._line.open(), shape)(
            rpc, request_serializer=serialize, response_deserializer=response.FromString
        )
        return start(request, timeout=attempts.remaining(), metadata=self._settings.connection.metadata)

    def _pause(self, attempts: Attempts, failure: grpc.RpcError) -> None:
        """Waits for the next attempt, or raises when there is to be none."""
        error = from_rpc_error(failure)
        delay = attempts.delay(error)
        if delay is None:
            raise error from failure
        time.sleep(delay)

    def _call(self, call: Call[T]) -> T:
        attempts = self._settings.attempts(call.kind)
        while True:
            try:
                return call.decode(
                    self._invoke("unary_unary", call.rpc, call.request, call.response, attempts)
                )
            except grpc.RpcError as failure:
                self._pause(attempts, failure)

    def _pages(self, paged: Paged[T]) -> Iterator[T]:
        token = ""
        while True:
            items, token = self._call(paged.page(token))
            yield from items
            if not token:
                return

    def _poll(self, polled: Polled[T]) -> T:
        end = None if polled.timeout is None else time.monotonic() + polled.timeout
        for delay in poll_delays():
            seen = self._call(polled.call)
            if polled.done(seen):
                return seen
            if end is not None and time.monotonic() + delay > end:
                break
            time.sleep(delay)
        raise DeadlineExceeded(f"{polled.what}: not within {polled.timeout:g} s")

    def _stream(self, streamed: Streamed[T]) -> Generator[T, None, None]:
        attempts = self._settings.attempts(streamed.kind)
        started = False
        while True:
            messages = self._invoke(
                "unary_stream", streamed.rpc, streamed.request, streamed.response, attempts
            )
            try:
                for message in messages:
                    started = True
                    yield streamed.decode(message)
                return
            except grpc.RpcError as failure:
                if started:  # what was handed out cannot be taken back
                    raise from_rpc_error(failure) from failure
                self._pause(attempts, failure)
            finally:
                messages.cancel()

    def _upload(self, upload: Upload) -> ImportReport:
        attempts = self._settings.attempts("transfer")
        committed = 0
        while True:
            requests = WatchedRequests(upload.requests())
            report = upload.start
            messages = self._invoke("stream_stream", upload.rpc, requests, upload.response, attempts)
            try:
                for message in messages:
                    report = upload.fold(report, message)
                    if upload.progress is not None:
                        upload.progress(report)
                    if report.rows_read > committed:
                        committed = report.rows_read
                        attempts.progressed()
            except grpc.RpcError as failure:
                if requests.error is not None:
                    raise requests.error from failure
                self._pause(attempts, failure)
            else:
                if report.done:
                    return report
                raise InterruptedTransfer("the server ended the import without its last message")
            finally:
                messages.cancel()
