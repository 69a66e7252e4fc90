"""Asks a server on this machine how it is, from the same configuration that it was started with: for the health check
of an image, and for people."""

from __future__ import annotations

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from service.config import Settings

SERVING = "SERVING"
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "[::]": "::1"}  # noqa: S104 - read, not listened on


def health(settings: Settings, service: str = "", seconds: float = 5.0) -> str:
    """`SERVING`, `NOT_SERVING`, `SERVICE_UNKNOWN`; or a sentence why nobody can be asked.

    The health port is asked where there is one, else the main port; without TLS only, since whom a certificate names
    is not known here.
    """
    listen = settings.listen
    own = listen.health_port is not None
    port = listen.health_port if listen.health_port is not None else listen.port
    if settings.security.tls_certificate is not None and not (own and listen.health_plain):
        return "cannot be asked: with TLS, set listen.health_port and listen.health_plain"
    if port == 0:
        return "cannot be asked: a free port was taken at the start, which only the log names"
    with grpc.insecure_channel(f"{_reachable(listen.host)}:{port}") as channel:
        request = health_pb2.HealthCheckRequest(service=service)
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=seconds)
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                return "SERVICE_UNKNOWN"
            return f"does not answer: {error.code().name}"
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))


def _reachable(host: str) -> str:
    chosen = _EVERYWHERE.get(host, host)
    return f"[{chosen.strip('[]')}]" if ":" in chosen else chosen
