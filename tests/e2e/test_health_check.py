"""`interleaf health`: what the health check of an image runs, beside a server with TLS that probes cannot speak."""

from __future__ import annotations

import subprocess
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from typer.testing import CliRunner

from service.access.keys import new_key
from service.cli.serving import serve_app
from service.config import Settings, load
from service.health_check import health
from tests.serving import serving


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A certificate, its key and a file of API keys."""
    folder = tmp_path_factory.mktemp("secured")
    files = {"tls_certificate": folder / "tls.crt", "tls_key": folder / "tls.key"}
    curve = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1"
    subprocess.run(
        [
            *f"openssl req -x509 {curve} -nodes -days 2 -subj /CN=localhost".split(),
            *("-addext", "subjectAltName=DNS:localhost"),
            *("-out", str(files["tls_certificate"]), "-keyout", str(files["tls_key"])),
        ],
        check=True,
        capture_output=True,
    )
    new_key(folder / "keys.txt", "anna")
    return {**files, "api_keys_file": folder / "keys.txt"}


def asking(port: int, **sections: dict[str, object]) -> Settings:
    return load(None, {"listen": {"health_port": port, **sections.pop("listen", {})}, **sections})


def port_of(address: str) -> int:
    return int(address.rpartition(":")[2])


def test_a_server_with_tls_can_be_probed_in_plain_text(tmp_path: Path, secured: dict[str, Path]) -> None:
    listen = {"health_port": 0, "health_plain": True}
    with serving(tmp_path, listen=listen, security=secured) as server:
        port = port_of(server.health_address)
        chosen = asking(port, listen={"health_plain": True}, security=secured)
        assert health(chosen) == "SERVING"
        assert health(chosen, "interleaf.v1.Inference") == "NOT_SERVING"  # no model
        assert health(chosen, "nonsense") == "SERVICE_UNKNOWN"
        environment = {"INTERLEAF_LISTEN__HEALTH_PORT": str(port), "INTERLEAF_LISTEN__HEALTH_PLAIN": "true"}
        done = CliRunner().invoke(serve_app, ["health"], env=environment)
        assert (done.exit_code, done.stdout) == (0, "SERVING\n")
        asked = ["health", "--service", "interleaf.v1.Inference"]
        done = CliRunner().invoke(serve_app, asked, env=environment)
        assert (done.exit_code, done.stdout) == (1, "NOT_SERVING\n")
        # Only health is plain: the main port still wants TLS.
        with grpc.insecure_channel(server.address) as channel, pytest.raises(grpc.RpcError) as refused:
            health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=10)
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    assert health(chosen, seconds=2.0) == "does not answer: UNAVAILABLE"


def test_without_the_option_the_health_port_has_tls(tmp_path: Path, secured: dict[str, Path]) -> None:
    with serving(tmp_path, listen={"health_port": 0}, security=secured) as server:
        port = port_of(server.health_address)
        assert "set listen.health_port and listen.health_plain" in health(asking(port, security=secured))
        assert health(asking(port), seconds=10.0) == "does not answer: UNAVAILABLE"


def test_what_cannot_be_asked_is_said() -> None:
    assert "only the log names" in health(load(None, {"listen": {"port": 0}}))
