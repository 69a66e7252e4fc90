"""Requests to a server's HTTP port, and what comes back, taken apart."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from kb_store.contract import Embedder
from tests.serving import WORDS, serving

HTTP = {"enabled": True, "port": 0}


@dataclass(frozen=True)
class Http:
    """A server's HTTP port."""

    address: str
    client: httpx2.Client

    def send(self, verb: str, path: str, body: Any = None, **more: Any) -> httpx2.Response:
        """A request; `body` is sent as JSON, `content` as it is."""
        if body is not None:
            more["json"] = body
        return self.client.request(verb, path, **more)

    def call(self, verb: str, path: str, body: Any = None, **more: Any) -> Any:
        """The JSON of a call that must succeed."""
        response = self.send(verb, path, body, **more)
        assert response.status_code == 200, response.text
        return response.json()

    def refused(self, verb: str, path: str, body: Any = None, **more: Any) -> tuple[int, dict[str, Any]]:
        """HTTP's code and the error of a call that must be refused."""
        response = self.send(verb, path, body, **more)
        assert response.status_code >= 400, response.text
        error: dict[str, Any] = response.json()["error"]
        return response.status_code, error

    def add(self, subject: str, relation: str, obj: str, space: str = "default", **query: str) -> Any:
        """CreateFact."""
        fact = {"subject": subject, "relation": relation, "object": obj}
        return self.call("POST", f"/v1/namespaces/{space}/facts", fact, params=query)

    def events(self, path: str, body: Any) -> list[Any]:
        """All server-sent events of a call that must succeed."""
        response = self.send("POST", path, body)
        assert response.status_code == 200, response.text
        assert response.headers["content-type"].startswith("text/event-stream")
        lines = [line for line in response.text.split("\n\n") if line]
        assert all(line.startswith("data: ") for line in lines)
        return [json.loads(line[6:]) if line != "data: [DONE]" else line for line in lines]


def reason(error: dict[str, Any]) -> str:
    """ErrorInfo's."""
    return str(error["details"][0]["reason"])


@contextmanager
def http_running(
    data_dir: Path, *, embedder: Embedder | None = WORDS, **sections: dict[str, Any]
) -> Iterator[Http]:
    """A server as `tests.serving.serving` makes it, asked over HTTP."""
    sections["http"] = {**HTTP, **sections.get("http", {})}
    with (
        serving(data_dir, embedder=embedder, **sections) as server,
        httpx2.Client(base_url=server.http_address, timeout=60, trust_env=False) as client,
    ):
        yield Http(server.http_address, client)
