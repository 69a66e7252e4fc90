"""Who may call from a browser, and what every response forbids the browser to do."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.responses import PlainTextResponse

from service.http.guard import Guard


def answered(
    names: set[str] | None, path: str = "/v1/namespaces", **headers: str
) -> tuple[int, dict[str, str]]:
    """Status and headers of a request that passes the guard, or does not."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": "GET", "scheme": "http", "path": path, "headers": pairs}
    asyncio.run(Guard(PlainTextResponse("in"), names)(scope, receive, send))
    return sent[0]["status"], {name.decode(): value.decode() for name, value in sent[0]["headers"]}


@pytest.mark.parametrize(
    "host", ["127.0.0.1:7422", "localhost", "localhost:1", "[::1]:7422", "127.8.9.1", "MY.name:80"]
)
def test_known_names_pass(host: str) -> None:
    assert answered({"my.name"}, host=host)[0] == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:7422",
        "127.0.0.1.evil.example",
        "localhost.evil.example:80",
        "",
        "10.0.0.1",
    ],
)
def test_other_names_do_not(host: str) -> None:
    assert answered({"my.name"}, host=host)[0] == 403
    assert answered({"my.name"}, path="/", host=host)[0] == 403
    assert answered(None, host=host)[0] == 200  # there, keys are asked for


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"origin": "http://localhost:7422"}, 200),
        ({"origin": "https://localhost:7422"}, 200),  # behind a proxy that speaks TLS
        ({"origin": "http://localhost:9999"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://evil.example"}, 403),
        ({"sec_fetch_site": "same-origin"}, 200),
        ({"sec_fetch_site": "none"}, 200),
        ({"sec_fetch_site": "same-site"}, 403),
        ({"sec_fetch_site": "cross-site"}, 403),
    ],
)
def test_pages_of_other_origins_do_not(headers: dict[str, str], code: int) -> None:
    assert answered(None, host="localhost:7422", **headers)[0] == code
    assert answered(set(), host="localhost:7422", **headers)[0] == code


def test_a_link_from_elsewhere_may_open_the_page() -> None:
    assert answered(set(), path="/", host="localhost", sec_fetch_site="cross-site")[0] == 200


def test_every_response_forbids_what_it_does_not_need() -> None:
    for host in ("localhost", "evil.example"):
        headers = answered(set(), host=host)[1]
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "http:" not in policy
        assert "https:" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
