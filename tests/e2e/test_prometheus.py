"""A real Prometheus, with the committed rules, scrapes a real service."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import httpx2
import pytest
import yaml

from tests.serving import serving, stubs
from tests.unit.observability.test_ops_files import OPS, alerts

PATIENCE = 120.0

pytestmark = pytest.mark.skipif(
    shutil.which("prometheus") is None, reason="Prometheus is not installed (Debian: prometheus)"
)


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


@contextmanager
def prometheus(folder: Path, target: str) -> Iterator[httpx2.Client]:
    """With the committed configuration, but for the service's port and the pace."""
    chosen = yaml.safe_load((OPS / "prometheus" / "prometheus.yml").read_text(encoding="utf-8"))
    chosen["global"] = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
    chosen["scrape_configs"][0]["static_configs"][0]["targets"] = [target]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(chosen), encoding="utf-8")
    shutil.copy(OPS / "prometheus" / "alerts.yml", folder)
    address = f"127.0.0.1:{free_port()}"
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                *("prometheus", f"--config.file={folder / 'prometheus.yml'}"),
                *(f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address={address}"),
            ],
            stdout=log,
            stderr=log,
        )
    try:
        with httpx2.Client(base_url=f"http://{address}", timeout=10, trust_env=False) as client:
            yield client
    finally:
        process.terminate()
        process.wait(timeout=60)


def until(found: Callable[[], Any]) -> Any:
    """Waits until it is true; a server that does not answer yet is not."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            result = found()
        except httpx2.TransportError:
            result = None
        if result:
            return result
        time.sleep(0.2)
    raise AssertionError("it never came")


def query(client: httpx2.Client, expression: str) -> list[Any]:
    answer = client.get("/api/v1/query", params={"query": expression})
    found: list[Any] = answer.json()["data"]["result"] if answer.status_code == 200 else []
    return found


def test_prometheus_scrapes_the_service_and_evaluates_the_rules(tmp_path: Path) -> None:
    with serving(tmp_path / "data", metrics={"port": 0}) as server:
        target = server.metrics_address.partition("//")[2]
        with prometheus(tmp_path, target) as client, grpc.insecure_channel(server.address) as channel:
            calls = stubs(server.address, "", channel)
            for number in range(5):
                calls.add(f"Person {number}", "city", "Kiel")
            up = until(lambda: query(client, 'up{job="interleaf"} == 1'))
            assert up[0]["metric"]["instance"] == target
            counted = until(lambda: query(client, 'interleaf_calls_total{method=~".*CreateFact"}'))
            assert counted[0]["value"][1] == "5"
            groups = client.get("/api/v1/rules").json()["data"]["groups"]
            rules = [rule for group in groups for rule in group["rules"]]
            assert {rule["name"] for rule in rules} == {rule["alert"] for rule in alerts()}

            def evaluated() -> bool:
                now = client.get("/api/v1/rules").json()["data"]["groups"]
                return all(rule["health"] == "ok" for group in now for rule in group["rules"])

            assert until(evaluated)
            firing = client.get("/api/v1/alerts").json()["data"]["alerts"]
            assert [alert for alert in firing if alert["state"] == "firing"] == []
