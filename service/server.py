"""The network: ports, credentials, services, health, reflection; and how a server ends."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Sequence

import grpc
import structlog
from google.longrunning import operations_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer
from grpc_reflection.v1alpha import reflection

from interleaf.v1 import (
    circuits_pb2_grpc,
    edits_pb2_grpc,
    encoders_pb2_grpc,
    facts_pb2_grpc,
    inference_pb2_grpc,
    monitor_pb2_grpc,
    namespaces_pb2_grpc,
    reviews_pb2_grpc,
)
from kb_store.contract import Embedder
from kb_store.reviews import Quarantine
from service.access.gate import Gate
from service.access.listening import Access, decide
from service.app import App, Parts
from service.commands.checking import Checking
from service.commands.editing import Editing
from service.commands.encoding import Encoding
from service.commands.exporting import Exporting
from service.commands.importing import Importing
from service.commands.reading import Reading
from service.commands.reindexing import Reindexing
from service.commands.reviewing import Reviewing
from service.commands.spaces import Spaces
from service.commands.studying import Studying
from service.commands.watching import Watching
from service.commands.weighing import FactWeighing
from service.commands.writing import Writing
from service.config import ConfigError, Settings
from service.convert import facts as convert
from service.convert.answers import Asks
from service.convert.circuits import STUDY_PACKING
from service.convert.edits import EDIT_PACKING
from service.convert.encoders import PACKING
from service.edits.shelf import EditShelf
from service.encoders.shelf import Shelf
from service.http.app import application
from service.http.listener import HttpListener
from service.http.local_calls import Handlers, LocalCalls
from service.interceptors import chain
from service.interceptors.admission import Admission
from service.interceptors.decode import Decode
from service.interceptors.draining import Draining
from service.interceptors.failures import Failures
from service.observability import scrape
from service.observability.standing import Standing, sources_of
from service.rates import Rates
from service.servicers.circuits import CircuitsServicer
from service.servicers.edits import EditsServicer
from service.servicers.encoders import EncodersServicer
from service.servicers.facts import FactsServicer
from service.servicers.inference import InferenceServicer
from service.servicers.monitor import MonitorServicer
from service.servicers.namespaces import NamespacesServicer
from service.servicers.operations import OperationsServicer
from service.servicers.reviews import ReviewsServicer

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
INFERENCE = "interleaf.v1.Inference"
SERVICES = (
    "interleaf.v1.Facts",
    INFERENCE,
    "interleaf.v1.Encoders",
    "interleaf.v1.Edits",
    "interleaf.v1.Circuits",
    "interleaf.v1.Monitor",
    "interleaf.v1.Reviews",
    "interleaf.v1.Namespaces",
    "google.longrunning.Operations",
)

_CLEARING = 1.0  # seconds: the calls that were cut tell why, then their connections are closed

_log = structlog.get_logger("interleaf.server")


class Server:
    """A service on its ports. `start`, then `stop`, on the same event loop."""

    def __init__(self, settings: Settings, *, embedder: Embedder | None = None) -> None:
        self._settings = settings
        self._embedder = embedder
        self._health = HealthServicer()
        self._draining = Draining()
        self._app: App | None = None
        self._servers: list[grpc.aio.Server] = []
        self.address = ""
        self.health_address = ""
        self.http_address = ""
        self._http: HttpListener | None = None
        self.metrics_address = ""
        self._metrics: HttpListener | None = None

    async def start(self) -> str:
        """Loads everything, then listens; the address, once calls are answered. ConfigError when it cannot."""
        access = decide(self._settings)
        self._app = app = await asyncio.to_thread(App.open, self._settings, self._embedder)
        try:
            await app.start()
            await self._listen(app.parts, access)
        except BaseException:
            await self.stop()
            raise
        _log.info(
            "ready",
            address=self.address,
            health_address=self.health_address or None,
            page=self.http_address or None,
            metrics=self.metrics_address or None,
            tls=access.credentials is not None,
            callers=None if access.callers is None else access.callers.kinds,
            model=self._settings.engine.model if app.parts.has_model else None,
            data_dir=str(self._settings.store.data_dir),
        )
        return self.address

    async def stop(self) -> None:
        """Takes no new calls, lets those in flight go on for the grace period, then closes everything."""
        await self._health.enter_graceful_shutdown()
        grace = self._settings.listen.grace_seconds
        self._draining.begin(grace)
        ending = [server.stop(grace + _CLEARING) for server in self._servers]
        if self._http is not None:
            ending.append(self._http.stop())
        await asyncio.gather(*ending)
        if self._metrics is not None:
            await self._metrics.stop()
            self._metrics = None
        self._servers.clear()
        if self._app is not None:
            await self._app.stop()
            self._app = None

    def hurry(self) -> None:
        """What is in flight ends now, and so does `stop`."""
        self._draining.begin(0.0)

    async def _listen(self, parts: Parts, access: Access) -> None:
        listen = self._settings.listen
        interceptors = chain(self._settings, access.callers, parts.meters, parts.traces, self._draining)
        server = grpc.aio.server(
            interceptors=interceptors,
            options=[
                ("grpc.max_receive_message_length", listen.max_message_bytes),
                ("grpc.max_send_message_length", -1),
                # Two servers on one port would each get half of the calls.
                ("grpc.so_reuseport", 0),
            ],
        )
        handlers = Handlers(server)
        _add_services(
            Gate(handlers, Rates(self._settings.quotas), _admission(interceptors).turns), parts, interceptors
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        for name in SERVICES:
            serving = parts.has_model or name != INFERENCE
            await self._health.set(name, _SERVING if serving else _NOT_SERVING)
        if listen.reflection:
            reflection.enable_server_reflection(
                (*SERVICES, reflection.SERVICE_NAME, "grpc.health.v1.Health"), server
            )
        self.address = _bind(server, listen.host, listen.port, access.credentials)
        self._servers.append(server)
        await server.start()
        if listen.health_port is not None:
            credentials = None if listen.health_plain else access.health
            await self._listen_for_health(listen.host, listen.health_port, credentials)
        if self._settings.http.enabled:
            await self._listen_for_http(parts, LocalCalls(handlers.by_method, interceptors))
        if self._settings.metrics.port is not None:
            await self._listen_for_scrapes(parts, _admission(interceptors), self._settings.metrics.port)

    async def _listen_for_http(self, parts: Parts, calls: LocalCalls) -> None:
        listen = self._settings.listen
        app = application(self._settings, calls, parts.answering.model_name)
        self._http = HttpListener(app, self._settings.security, listen.grace_seconds + _CLEARING)
        self.http_address = await self._http.start(listen.host, self._settings.http.port_beside(listen.port))

    async def _listen_for_scrapes(self, parts: Parts, admission: Admission, port: int) -> None:
        registry = parts.meters.registry
        registry.register(Standing(sources_of(parts, lambda: admission.load)))
        self._metrics, self.metrics_address = await scrape.listen(registry, port)

    async def _listen_for_health(
        self, host: str, port: int, credentials: grpc.ServerCredentials | None
    ) -> None:
        interceptors = [Failures(), self._draining, Decode()]
        server = grpc.aio.server(interceptors=interceptors, options=[("grpc.so_reuseport", 0)])
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        self.health_address = _bind(server, host, port, credentials)
        self._servers.append(server)
        await server.start()


def _bind(server: grpc.aio.Server, host: str, port: int, credentials: grpc.ServerCredentials | None) -> str:
    shown = f"[{host}]" if ":" in host and not host.startswith("[") else host
    try:
        if credentials is None:
            bound = server.add_insecure_port(f"{shown}:{port}")
        else:
            bound = server.add_secure_port(f"{shown}:{port}", credentials)
    except RuntimeError:
        bound = 0
    if not bound:
        others = (
            "" if credentials is None else ", or gRPC cannot use the kind of key of security.tls_certificate"
        )
        raise ConfigError(
            f"cannot listen on {shown}:{port}: the port is taken, or the address is not ours{others}"
        )
    return f"{shown}:{bound}"


def _admission(interceptors: Sequence[grpc.aio.ServerInterceptor]) -> Admission:
    return next(item for item in interceptors if isinstance(item, Admission))


def _add_services(server: Gate, parts: Parts, interceptors: Sequence[grpc.aio.ServerInterceptor]) -> None:
    settings, store, workers = parts.settings, parts.store, parts.workers
    limits, top_k = settings.limits, parts.top_k
    spaces = Spaces(store, parts.revisions, workers)
    facts = FactsServicer(
        Reading(store, parts.retriever, parts.revisions, workers),
        Writing(store),
        Importing(store, workers, settings.store.import_rows),
        Exporting(store, workers),
        parts.tokens,
        limits,
        top_k,
        Quarantine(settings.store.import_quarantine),
    )
    reindexing = Reindexing(
        store,
        parts.indexer,
        parts.operations,
        workers,
        pack=convert.reindex_metadata,
        unpack=convert.reindexed_namespace,
        result=lambda namespace: convert.pack(convert.namespace_message(spaces.read(namespace))),
    )
    inference = InferenceServicer(
        parts.answering,
        parts.scoring,
        FactWeighing(parts.has_model, parts.knowledge, settings.limits.max_query_length),
        Asks(limits, top_k),
    )
    namespaces = NamespacesServicer(spaces, reindexing, parts.tokens, limits)
    encoding = Encoding(
        Shelf(settings.store.data_dir),
        settings.encoders,
        settings.engine.model,
        store,
        parts.operations,
        workers,
        PACKING,
    )
    encoders = EncodersServicer(encoding, parts.tokens, limits)
    editing = Editing(
        parts.live,
        parts.lab,
        EditShelf(settings.store.data_dir),
        settings.edits,
        store,
        parts.operations,
        workers,
        EDIT_PACKING,
    )
    edits = EditsServicer(editing, parts.tokens, limits, settings.edits.max_facts)
    admission = _admission(interceptors)
    watching = Watching(parts.injections, parts.model, parts.compiled, lambda: admission.load)
    longest = limits.max_query_length
    circuits = CircuitsServicer(
        Checking(parts.study, parts.answering, parts.knowledge, longest),
        Studying(parts.study, parts.knowledge, settings.circuits, parts.operations, longest, STUDY_PACKING),
        Asks(limits, top_k),
        limits,
        parts.study,
    )
    operations = OperationsServicer(parts.operations, parts.tokens, limits)
    circuits_pb2_grpc.add_CircuitsServicer_to_server(circuits, server)
    edits_pb2_grpc.add_EditsServicer_to_server(edits, server)
    encoders_pb2_grpc.add_EncodersServicer_to_server(encoders, server)
    facts_pb2_grpc.add_FactsServicer_to_server(facts, server)
    inference_pb2_grpc.add_InferenceServicer_to_server(inference, server)
    monitor_pb2_grpc.add_MonitorServicer_to_server(MonitorServicer(watching, limits), server)
    namespaces_pb2_grpc.add_NamespacesServicer_to_server(namespaces, server)
    reviewing = Reviewing(store, workers)
    reviews_pb2_grpc.add_ReviewsServicer_to_server(ReviewsServicer(reviewing, parts.tokens, limits), server)
    operations_pb2_grpc.add_OperationsServicer_to_server(operations, server)


async def serve(settings: Settings, on_ready: Callable[[str], None] = lambda address: None) -> None:
    """Runs a server until SIGTERM or SIGINT, then drains it; one more signal, and it waits for nobody."""
    ended = asyncio.Event()
    server = Server(settings)

    def end() -> None:
        if ended.is_set():
            server.hurry()
        ended.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end)
    on_ready(await server.start())
    await ended.wait()
    _log.info("draining", grace_seconds=settings.listen.grace_seconds)
    await server.stop()
    _log.info("stopped")
