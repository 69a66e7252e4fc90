"""Who gets in: loopback, TLS, API keys, and configurations that are half-made."""

from __future__ import annotations

import ipaddress
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from interleaf.v1 import facts_pb2 as pb
from service.access.keys import KeyRing, digest, new_key
from service.access.listening import decide, is_loopback
from service.config import ConfigError, load
from tests.serving import PARENT, refusal, running, serving, stubs
from tests.unit.service.descriptors import METHODS

ANYWHERE = str(ipaddress.IPv4Address(0))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("tls")
    files = {"tls_certificate": folder / "cert.pem", "tls_key": folder / "key.pem"}
    arguments = (
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    )
    names = "subjectAltName=DNS:localhost,IP:127.0.0.1"
    subprocess.run(
        [
            *("openssl", *arguments.split(), "-addext", names),
            *("-out", str(files["tls_certificate"]), "-keyout", str(files["tls_key"])),
        ],
        check=True,
        capture_output=True,
    )
    return files


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    path = tmp_path_factory.mktemp("keys") / "keys.txt"
    new_key(path, "someone-else")
    return path, new_key(path, "crawler")


@pytest.fixture(scope="module")
def guarded(
    tmp_path_factory: pytest.TempPathFactory, certificate: dict[str, Path], keys: tuple[Path, str]
) -> Iterator[str]:
    with serving(
        tmp_path_factory.mktemp("data"), security={**certificate, "api_keys_file": keys[0]}
    ) as server:
        yield server.address


@pytest.fixture
def channel(guarded: str, certificate: dict[str, Path]) -> Iterator[grpc.Channel]:
    credentials = grpc.ssl_channel_credentials(certificate["tls_certificate"].read_bytes())
    with grpc.secure_channel(guarded, credentials) as made:
        yield made


def bearer(value: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", value),)


def test_a_key_opens_and_names_the_writer(
    channel: grpc.Channel, guarded: str, keys: tuple[Path, str]
) -> None:
    facts = stubs(guarded, "", channel).facts
    fact = pb.Fact(subject="Anna", relation="employer", object="Werft")
    made = facts.CreateFact(
        pb.CreateFactRequest(parent=PARENT, fact=fact), metadata=bearer(f"Bearer {keys[1]}")
    )
    history = facts.ListFactRevisions(
        pb.ListFactRevisionsRequest(name=made.name), metadata=bearer(f"bearer  {keys[1]}")
    )
    assert history.revisions[0].principal == "crawler"


@pytest.mark.parametrize("method", sorted(METHODS))
@pytest.mark.parametrize("value", [None, "wrong"])
def test_no_method_is_open_without_a_key(channel: grpc.Channel, method: str, value: str | None) -> None:
    found = METHODS[method]
    kind = ("stream" if found.client_streaming else "unary") + (
        "_stream" if found.server_streaming else "_unary"
    )
    call = getattr(channel, kind)(method)
    request: Any = iter([b""]) if found.client_streaming else b""
    metadata = bearer(f"Bearer {value}") if value else ()
    refused = refusal(lambda: call(request, metadata=metadata))
    assert (refused.code, refused.reason) == ("UNAUTHENTICATED", "UNAUTHENTICATED")


def test_other_credentials_are_refused(channel: grpc.Channel, keys: tuple[Path, str]) -> None:
    call = channel.unary_unary("/interleaf.v1.Facts/ListFacts")
    key = keys[1]
    for value in ("", key, f"Basic {key}", f"Bearer {key}x", f"Bearer {key[:-1]}", f"Bearer {digest(key)}"):
        refused = refusal(lambda value=value: call(b"", metadata=bearer(value)))
        assert refused.code == "UNAUTHENTICATED"
        assert key not in refused.message
    twice = bearer(f"Bearer {key}") * 2
    assert refusal(lambda: call(b"", metadata=twice)).code == "UNAUTHENTICATED"


def test_health_needs_no_key_and_reflection_does(channel: grpc.Channel) -> None:
    status = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest()).status
    assert status == health_pb2.HealthCheckResponse.SERVING
    with pytest.raises(grpc.RpcError) as caught:
        ProtoReflectionDescriptorDatabase(channel).get_services()
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED  # type: ignore[attr-defined]


def test_plain_text_and_strangers_do_not_get_through(guarded: str, tmp_path: Path) -> None:
    with grpc.insecure_channel(guarded) as plain:
        assert refusal(lambda: plain.unary_unary("/interleaf.v1.Facts/ListFacts")(b"")).code == "UNAVAILABLE"
    with grpc.secure_channel(guarded, grpc.ssl_channel_credentials()) as untrusted:
        call = untrusted.unary_unary("/interleaf.v1.Facts/ListFacts")
        assert refusal(lambda: call(b"")).code == "UNAVAILABLE"


def test_keys_alone_are_enough_on_loopback(tmp_path: Path, keys: tuple[Path, str]) -> None:
    with running(tmp_path, security={"api_keys_file": keys[0]}) as server:
        request = pb.ListFactsRequest(parent=PARENT)
        assert refusal(lambda: server.facts.ListFacts(request)).code == "UNAUTHENTICATED"
        server.facts.ListFacts(request, metadata=bearer(f"Bearer {keys[1]}"))


@pytest.mark.parametrize(
    ("host", "given", "said"),
    [
        (ANYWHERE, (), "needs TLS and API keys"),
        ("::", (), "needs TLS and API keys"),
        ("example.org", (), "needs TLS and API keys"),
        ("192.168.1.4", ("api_keys_file",), "security.tls_certificate"),
        ("127.0.0.1", ("tls_certificate",), "security.tls_key is missing"),
        ("127.0.0.1", ("tls_key",), "security.tls_certificate is missing"),
        ("127.0.0.1", ("tls_certificate", "tls_key"), "security.api_keys_file is missing"),
        (ANYWHERE, ("tls_certificate", "tls_key"), "security.api_keys_file is missing"),
        (ANYWHERE, ("tls_certificate", "api_keys_file"), "security.tls_key is missing"),
    ],
)
def test_half_made_configurations_refuse_to_start(
    host: str, given: tuple[str, ...], said: str, certificate: dict[str, Path], keys: tuple[Path, str]
) -> None:
    files = {**certificate, "api_keys_file": keys[0]}
    settings = load(None, {"listen": {"host": host}, "security": {name: files[name] for name in given}})
    with pytest.raises(ConfigError) as caught:
        decide(settings)
    assert said in str(caught.value)


def test_whole_configurations_may_listen_anywhere(
    certificate: dict[str, Path], keys: tuple[Path, str]
) -> None:
    files = {**certificate, "api_keys_file": keys[0]}
    access = decide(load(None, {"listen": {"host": ANYWHERE}, "security": files}))
    assert access.credentials is not None
    assert access.callers is not None
    assert access.callers.kinds == ("API keys",)
    plain = decide(load())
    assert (plain.credentials, plain.callers) == (None, None)


@pytest.mark.parametrize("name", ["tls_certificate", "tls_key", "api_keys_file"])
def test_files_that_cannot_be_used(
    tmp_path: Path, name: str, certificate: dict[str, Path], keys: tuple[Path, str]
) -> None:
    wrong = tmp_path / "wrong"
    for content in (None, b"nonsense\n", b"\xff\xfe"):
        if content is not None:
            wrong.write_bytes(content)
        files = {**certificate, "api_keys_file": keys[0], name: wrong}
        with pytest.raises(ConfigError, match=f"security.{name}"):
            decide(load(None, {"security": files}))


def test_loopback() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost")))
    assert not any(map(is_loopback, (ANYWHERE, "::", "", "10.0.0.1", "localhost.example.org")))


def test_a_key_is_added_to_a_file_whose_last_line_was_not_ended(tmp_path: Path) -> None:
    path = tmp_path / "keys.txt"
    first = new_key(path, "first")
    path.write_text(path.read_text() + "# as some editors leave it")
    second = new_key(path, "second")
    ring = KeyRing.read(path)
    assert [caller and caller.name for caller in map(ring.caller, (first, second))] == ["first", "second"]


@pytest.mark.parametrize("begun", ["", "\n", "# Keys of the film club", "# Keys\u2028of the film club\n\n"])
def test_the_first_key_of_a_file_that_has_none(tmp_path: Path, begun: str) -> None:
    path = tmp_path / "keys.txt"
    path.write_text(begun, encoding="utf-8")
    for name in ("first", "second"):
        new_key(path, name)
    assert KeyRing.read(path).names == {"first", "second"}


def test_key_files(tmp_path: Path) -> None:
    path = tmp_path / "keys.txt"
    key = new_key(path, "a.b-c_1")
    assert key.startswith("il_")
    assert len(key) > 40
    assert key not in path.read_text()
    assert path.stat().st_mode & 0o077 == 0
    found = KeyRing.read(path).caller(key)
    assert found is not None
    assert found.name == "a.b-c_1"
    assert KeyRing.read(path).caller(key + "x") is None
    with pytest.raises(ConfigError, match="already"):
        new_key(path, "a.b-c_1")
    for name in ("", "two words", "x" * 65, "ü"):
        with pytest.raises(ConfigError, match="name"):
            new_key(path, name)
    good = path.read_text()
    for text, said in (
        ("# only a comment\n\n", "has no key"),
        (good + good, "names a.b-c_1 again"),
        (good + "name nonsense\n", "line 2"),
        (good.upper(), "line 1"),
    ):
        path.write_text(text)
        with pytest.raises(ConfigError, match=said):
            KeyRing.read(path)
