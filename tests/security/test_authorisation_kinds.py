"""The matrix of authorisation once more, for callers known by a certificate and by a token: the same cells."""

from __future__ import annotations

from pathlib import Path

import grpc

from tests.certificates import Authority
from tests.security.test_authorisation import GRANTS, allowed, expected, wrong_cells
from tests.serving import serving
from tests.tokens import Issuer
from tests.unit.service.descriptors import METHODS


def test_the_matrix_for_tokens(tmp_path: Path) -> None:
    issuer = Issuer(tmp_path)
    tokens = {
        grant: issuer.token(scope=grant.partition("@")[0], namespaces=grant.partition("@")[2])
        for grant in GRANTS
    }
    with serving(tmp_path / "data", jwt=issuer.settings) as server:
        assert wrong_cells(server.address, tokens) == set()


def test_the_matrix_for_certificates(tmp_path: Path) -> None:
    ours = Authority(tmp_path)
    own = ours.for_localhost()
    lines = [f"client-{number} cn:client-{number} {grant}\n" for number, grant in enumerate(GRANTS)]
    (tmp_path / "clients.txt").write_text("".join(lines))
    security = {
        "tls_certificate": own.certificate,
        "tls_key": own.key,
        "client_ca": ours.file,
        "clients_file": tmp_path / "clients.txt",
    }
    wrong = set()
    with serving(tmp_path / "data", security=security) as server:
        for number, grant in enumerate(GRANTS):
            key, certificate = ours.issue(f"client-{number}").pair
            credentials = grpc.ssl_channel_credentials(ours.file.read_bytes(), key, certificate)
            with grpc.secure_channel(server.address, credentials) as channel:
                wrong |= {
                    (method, grant)
                    for method in METHODS
                    if allowed(channel, method, ()) != expected(method, grant)
                }
    assert wrong == set()
