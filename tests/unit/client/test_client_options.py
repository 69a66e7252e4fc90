"""Options refuse what cannot work, with a sentence that says what to pass."""

from __future__ import annotations

import pytest

from interleaf import TLS, AsyncClient, Client, Retry, Timeout
from interleaf._options import Connection, is_loopback
from interleaf._settings import as_timeout


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("127.0.0.1:7421", True),
        ("127.8.9.1:7421", True),
        ("localhost:1", True),
        ("[::1]:7421", True),
        ("ipv4:///127.0.0.1:1", True),
        ("unix:/run/interleaf", True),
        ("10.0.0.1:7421", False),
        ("localhost.example.org:7421", False),
        ("example.org:443", False),
        ("dns:///example.org:443", False),
    ],
)
def test_what_stays_on_this_machine(target: str, expected: bool) -> None:
    assert is_loopback(target) is expected


def test_a_key_does_not_travel_unencrypted() -> None:
    with pytest.raises(ValueError, match="only over TLS"):
        Client("example.org:443", api_key="secret")
    assert Connection("example.org:443", TLS(), "secret").metadata == (("authorization", "Bearer secret"),)
    assert Connection("127.0.0.1:1", None, "secret").metadata
    assert Connection("127.0.0.1:1").metadata == ()


@pytest.mark.parametrize(
    "target",
    [
        "",
        "http://127.0.0.1:7500",
        "127.0.0.1:99999",
        "127.0.0.1:0",
        "127.0.0.1:abc",
        ":7421",
        "host:",
        "::1",
        "a b:1",
    ],
)
def test_what_cannot_be_a_server_is_refused(target: str) -> None:
    with pytest.raises(ValueError, match='give the server as "host:port"'):
        Client(target)
    with pytest.raises(ValueError, match='give the server as "host:port"'):
        AsyncClient(target)


@pytest.mark.parametrize(
    "target",
    ["example.org", "my_host:1", "[::1]:7421", "unix:/run/x", "unix-abstract:x", "dns:///example.org:443"],
)
def test_other_ways_to_name_a_server_stay(target: str) -> None:
    assert Connection(target).target == target


def test_a_key_from_a_file_loses_its_line_break() -> None:
    assert Connection(api_key="secret\r\n").metadata == (("authorization", "Bearer secret"),)
    for key in ("schlüssel", "two\nlines"):
        with pytest.raises(ValueError, match="printable ASCII") as refused:
            Connection(api_key=key)
        assert key not in str(refused.value)


def test_secrets_are_not_printed() -> None:
    assert "secret" not in repr(Connection("127.0.0.1:1", TLS(None, b"cert", b"secret"), "secret"))


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan")])
def test_timeouts_are_above_zero(seconds: float) -> None:
    with pytest.raises(ValueError, match="Timeout: give call in seconds"):
        Timeout(call=seconds)


def test_a_number_is_a_timeout_for_calls_and_generation() -> None:
    assert as_timeout(3) == Timeout(call=3, generate=3, transfer=None)


def test_retry_and_tls_are_checked() -> None:
    with pytest.raises(ValueError, match="attempts"):
        Retry(attempts=0)
    with pytest.raises(ValueError, match="first_delay"):
        Retry(first_delay=2, max_delay=1)
    with pytest.raises(ValueError, match="together"):
        TLS(certificate=b"x")
