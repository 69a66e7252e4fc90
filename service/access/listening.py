"""Where a server may listen: on loopback, or elsewhere with TLS and known callers. Nothing in between starts."""

from __future__ import annotations

import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import grpc
from cryptography import x509

from service.access.callers import Callers
from service.access.certificates import ClientCertificates, read_authorities
from service.access.keys import KeyRing
from service.access.tokens import Tokens
from service.config import ConfigError, SecuritySettings, Settings

_WAYS = "API keys (security.api_keys_file), client certificates (security.client_ca and security.clients_file), or "
_WAYS += "tokens ([jwt])"


@dataclass(frozen=True)
class Access:
    """How the server is reached: credentials for its ports (None: plain text), and its callers (None: anybody).

    `health`: credentials of the port that answers health checks alone, which asks for no certificate."""

    credentials: grpc.ServerCredentials | None
    health: grpc.ServerCredentials | None
    callers: Callers | None


def is_loopback(host: str) -> bool:
    """Whether only this machine can connect."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def decide(settings: Settings) -> Access:
    """Checks the configuration as a whole; ConfigError with the sentence that helps."""
    security, host = settings.security, settings.listen.host
    _check_halves(security)
    tokens = Tokens.open(settings.jwt)
    secured = security.tls_certificate is not None
    known = tokens is not None or security.api_keys_file is not None or security.clients_file is not None
    if secured and not known:
        raise ConfigError(
            f"security.api_keys_file is missing: with TLS, callers must be known, by {_WAYS}; "
            "`interleaf new-key NAME --file FILE` makes a key"
        )
    if not is_loopback(host) and not (secured and known):
        lacking = [] if secured else ["security.tls_certificate and security.tls_key"]
        lacking += [] if known else [_WAYS]
        raise ConfigError(
            f"listen.host = {host!r} can be reached from other machines, which needs TLS and API keys, client "
            f"certificates or tokens: set {', and '.join(lacking)}; or listen on 127.0.0.1"
        )
    keys_file, clients_file = security.api_keys_file, security.clients_file
    callers = Callers(
        None if keys_file is None else KeyRing.read(keys_file),
        tokens,
        None if clients_file is None else ClientCertificates.read(clients_file),
    )
    return Access(*_credentials(security), callers if known else None)


def _check_halves(security: SecuritySettings) -> None:
    certificate, key = security.tls_certificate, security.tls_key
    if (certificate is None) != (key is None):
        missing = "tls_key" if key is None else "tls_certificate"
        raise ConfigError(f"security.{missing} is missing: TLS needs a certificate and its key, both or none")
    if (security.client_ca is None) != (security.clients_file is None):
        missing = "clients_file" if security.clients_file is None else "client_ca"
        raise ConfigError(
            f"security.{missing} is missing: client certificates need those who sign them (security.client_ca) and "
            "what each client may do (security.clients_file), both or none"
        )
    if security.client_ca is not None and certificate is None:
        raise ConfigError("security.tls_certificate is missing: client certificates are shown over TLS")


def _credentials(
    security: SecuritySettings,
) -> tuple[grpc.ServerCredentials | None, grpc.ServerCredentials | None]:
    certificate, key = security.tls_certificate, security.tls_key
    if certificate is None or key is None:
        return None, None
    pairs = [(_read_pem(key, "tls_key"), _read_pem(certificate, "tls_certificate"))]
    _check_pair(certificate, key)
    plain = grpc.ssl_server_credentials(pairs)
    if security.client_ca is None:
        return plain, plain
    authorities = read_authorities(security.client_ca)
    return grpc.ssl_server_credentials(pairs, authorities, require_client_auth=True), plain


def _check_pair(certificate: Path, key: Path) -> None:
    """What gRPC says of files that do not fit is what it says of a port that is taken."""

    def refuse() -> NoReturn:
        raise ConfigError(
            f"security.tls_key: {key} is encrypted, and nobody is there to be asked: "
            f"`openssl pkey -in {key} -out FILE` makes one that is not"
        )

    try:
        x509.load_pem_x509_certificates(certificate.read_bytes())
    except ValueError:
        raise ConfigError(f"security.tls_certificate: {certificate} holds no certificate") from None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("ALL:@SECLEVEL=0")  # whether the files fit, not how strong they are
    try:
        context.load_cert_chain(certificate, key, password=refuse)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            said = f"is not the key of {certificate}"
        else:
            said = f"holds no key that can be used with {certificate} ({error.reason or error})"
        raise ConfigError(f"security.tls_key: {key} {said}") from None


def _read_pem(path: Path, name: str) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"security.{name}: cannot read {path}: {error.strerror}") from None
    if b"-----BEGIN" not in data:
        raise ConfigError(f"security.{name}: {path} is not a PEM file")
    return data
