"""Clients with certificates: who they are, what that opens, and who does not even get to ask."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from grpc_health.v1 import health_pb2, health_pb2_grpc
from typer.testing import CliRunner

from interleaf import TLS, Client
from interleaf.cli._app import build
from interleaf.v1 import facts_pb2 as pb
from service.access.certificates import ClientCertificates, identities
from service.access.keys import new_key
from service.config import ConfigError
from service.server import Server
from tests.certificates import Authority, Issued
from tests.http_calls import HTTP
from tests.serving import PARENT, refusal, serving, stubs

SPIFFE = "spiffe://example.org/crawler"
LINES = f"""# who may do what
crawler uri:{SPIFFE} read,write@default
reader dns:reader.example.org read@default
mail email:ops@example.org ops@*
plain cn:plain write@*
"""


@dataclass(frozen=True)
class Guarded:
    server: Server
    ours: Authority
    key: str

    @contextmanager
    def channel(self, client: Issued | None, address: str = "") -> Iterator[grpc.Channel]:
        key, certificate = (None, None) if client is None else client.pair
        credentials = grpc.ssl_channel_credentials(self.ours.file.read_bytes(), key, certificate)
        with grpc.secure_channel(address or self.server.address, credentials) as made:
            yield made


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("tls")
    ours = Authority(folder)
    own = ours.for_localhost()
    (folder / "clients.txt").write_text(LINES)
    key = new_key(folder / "keys.txt", "keyholder", ["read@default"])
    security = {
        "tls_certificate": own.certificate,
        "tls_key": own.key,
        "client_ca": ours.file,
        "clients_file": folder / "clients.txt",
        "api_keys_file": folder / "keys.txt",
    }
    with serving(folder / "data", security=security, http=HTTP, listen={"health_port": 0}) as server:
        yield Guarded(server, ours, key)


@pytest.fixture(scope="module")
def crawler(guarded: Guarded) -> Issued:
    return guarded.ours.issue("anything", [x509.UniformResourceIdentifier(SPIFFE)])


def test_a_certificate_opens_what_its_line_grants_and_names_the_writer(
    guarded: Guarded, crawler: Issued
) -> None:
    with guarded.channel(crawler) as channel:
        server = stubs("", "", channel)
        made = server.add("Anna", "employer", "Werft")
        history = server.facts.ListFactRevisions(pb.ListFactRevisionsRequest(name=made.name))
        assert history.revisions[0].principal == "crawler"
    reader = guarded.ours.issue(names=[x509.DNSName("reader.example.org")])
    with guarded.channel(reader) as channel:
        server = stubs("", "", channel)
        server.facts.GetFact(pb.GetFactRequest(name=made.name))
        assert refusal(lambda: server.add("a", "b", "c")).reason == "NOT_ALLOWED"


def test_the_client_library_brings_its_certificate(guarded: Guarded, crawler: Issued) -> None:
    key, certificate = crawler.pair
    tls = TLS(ca=guarded.ours.file.read_bytes(), certificate=certificate, key=key)
    with Client(guarded.server.address, tls=tls) as client:
        assert client.add("Boris", "employer", "Werft").revision == 1


def test_the_command_line_brings_its_certificate(guarded: Guarded, crawler: Issued) -> None:
    options = [
        *("--server", guarded.server.address, "--ca", str(guarded.ours.file)),
        *("--certificate", str(crawler.certificate), "--certificate-key", str(crawler.key)),
    ]
    words = ["facts", "add", "Doris", "employer", "Werft", *options]
    result = CliRunner().invoke(build(plugins=False), words)
    assert result.exit_code == 0, result.output
    without = CliRunner().invoke(build(plugins=False), [*words[:5], *options[:4], "--timeout", "1"])
    assert without.exit_code != 0


def test_nobody_connects_without_a_certificate_of_the_authority(guarded: Guarded, tmp_path: Path) -> None:
    stranger = Authority(tmp_path, "stranger").issue("plain", [x509.UniformResourceIdentifier(SPIFFE)])
    for client in (None, stranger):
        with guarded.channel(client) as channel:
            call = channel.unary_unary("/interleaf.v1.Facts/ListFacts")
            assert refusal(lambda call=call: call(b"", timeout=20)).code == "UNAVAILABLE"


def test_a_certificate_of_nobody_opens_nothing(guarded: Guarded) -> None:
    unknown = guarded.ours.issue("someone", [x509.DNSName("spiffe://example.org/crawler")])
    twofold = guarded.ours.issue("plain", [x509.UniformResourceIdentifier(SPIFFE)])
    for client, said in ((unknown, "nobody who is known"), (twofold, "several callers")):
        with guarded.channel(client) as channel:
            call = channel.unary_unary("/interleaf.v1.Facts/ListFacts")
            found = refusal(lambda call=call: call(b""))
            assert (found.code, found.reason) == ("UNAUTHENTICATED", "UNAUTHENTICATED")
            assert said in found.message


def test_what_a_call_brings_decides_alone(guarded: Guarded, crawler: Issued) -> None:
    with guarded.channel(crawler) as channel:
        server = stubs("", "", channel)
        listing = pb.ListFactsRequest(parent=PARENT)
        server.facts.ListFacts(listing, metadata=(("authorization", f"Bearer {guarded.key}"),))
        for header, code in (
            ("Bearer il_nonsense", "UNAUTHENTICATED"),
            ("Bearer a.b.c", "UNAUTHENTICATED"),
            ("", "UNAUTHENTICATED"),
        ):
            found = refusal(
                lambda header=header: server.facts.ListFacts(listing, metadata=(("authorization", header),))
            )
            assert found.code == code
        request = pb.CreateFactRequest(parent=PARENT, fact=pb.Fact(subject="a", relation="b", object="c"))
        metadata = (("authorization", f"Bearer {guarded.key}"),)  # may read, though the certificate may write
        assert refusal(lambda: server.facts.CreateFact(request, metadata=metadata)).reason == "NOT_ALLOWED"


def test_the_port_for_health_asks_for_no_certificate(guarded: Guarded) -> None:
    with guarded.channel(None, guarded.server.health_address) as channel:
        status = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest()).status
        assert status == health_pb2.HealthCheckResponse.SERVING
        assert (
            refusal(lambda: channel.unary_unary("/interleaf.v1.Facts/ListFacts")(b"")).code == "UNIMPLEMENTED"
        )


def test_the_same_over_http(guarded: Guarded, crawler: Issued) -> None:
    address = guarded.server.http_address

    def client(issued: Issued | None) -> httpx2.Client:
        context = ssl.create_default_context(cafile=guarded.ours.file)
        if issued is not None:
            context.load_cert_chain(issued.certificate, issued.key)
        return httpx2.Client(base_url=address, verify=context, trust_env=False, timeout=60)

    body = {"subject": "Carla", "relation": "employer", "object": "Werft"}
    with client(crawler) as http:
        made = http.post("/v1/namespaces/default/facts", json=body)
        assert made.status_code == 200
        history = http.get(f"/v1/{made.json()['name']}/revisions")
        assert history.json()["revisions"][0]["principal"] == "crawler"
        assert http.get("/v1/namespaces").status_code == 403
    with client(guarded.ours.issue("someone")) as http:
        assert http.get("/v1/namespaces/default/facts").status_code == 401
    with client(None) as http, pytest.raises(httpx2.TransportError):
        http.get("/v1/namespaces/default/facts")


def test_identities_are_read_with_their_kinds(tmp_path: Path) -> None:
    issued = Authority(tmp_path).issue(
        "one", [x509.DNSName("a.b"), x509.UniformResourceIdentifier("x://y"), x509.RFC822Name("m@n")]
    )
    parsed = x509.load_pem_x509_certificate(issued.certificate.read_bytes())
    assert sorted(identities(parsed)) == ["cn:one", "dns:a.b", "email:m@n", "uri:x://y"]


def test_a_certificate_that_expires_on_an_open_connection_ends_there(tmp_path: Path) -> None:
    (tmp_path / "clients.txt").write_text("plain cn:plain read@*\n")
    now = datetime.now(UTC)
    ring = ClientCertificates.read(tmp_path / "clients.txt")
    later = ClientCertificates(ring._callers, clock=lambda: now + timedelta(days=3))
    data = Authority(tmp_path).issue("plain").certificate.read_bytes()
    der = x509.load_pem_x509_certificate(data).public_bytes(Encoding.DER)
    for form in (data, der):
        found, problem = ring.caller(form)
        assert found is not None
        assert (found.name, problem) == ("plain", "")
        assert later.caller(form) == (None, "the client certificate has expired")
    assert ring.caller(b"nonsense")[0] is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "names nobody"),
        ("crawler", "line 1 .* is not `NAME IDENTITY GRANT...`"),
        ("crawler crawler.example.org read@*", "is not `NAME IDENTITY"),
        ("crawler cn:crawler", "grants nothing"),
        ("crawler cn:crawler peek@*", "no scope 'peek'"),
        ("a cn:x read@*\nb cn:x write@*", "line 2 .* known by the same as a"),
        ("a cn:x read@*\na cn:y write@*", "names a again"),
    ],
)
def test_half_made_files_of_clients_stop_the_server(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "clients.txt"
    path.write_text(text)
    with pytest.raises(ConfigError, match=f"security.clients_file: .*{said}"):
        ClientCertificates.read(path)
