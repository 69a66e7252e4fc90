"""Where a server may listen: on loopback, or elsewhere with TLS and API keys. Nothing in between starts."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path

import grpc

from service.config import ConfigError, Settings
from service.keys import KeyRing


@dataclass(frozen=True)
class Access:
    """How the server is reached: credentials for the port (None: plain text), and keys (None: anybody)."""

    credentials: grpc.ServerCredentials | None
    keys: KeyRing | None


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
    certificate, key, keys_file = security.tls_certificate, security.tls_key, security.api_keys_file
    if (certificate is None) != (key is None):
        missing = "tls_key" if key is None else "tls_certificate"
        raise ConfigError(f"security.{missing} is missing: TLS needs a certificate and its key, both or none")
    if certificate is not None and keys_file is None:
        raise ConfigError(
            "security.api_keys_file is missing: with TLS, callers need API keys (`interleaf new-key NAME`)"
        )
    if not is_loopback(host) and (certificate is None or keys_file is None):
        lacking = [
            name
            for name, value in (("tls_certificate and tls_key", certificate), ("api_keys_file", keys_file))
            if value is None
        ]
        raise ConfigError(
            f"listen.host = {host!r} can be reached from other machines, which needs TLS and API keys: set "
            f"security.{' and security.'.join(lacking)}, or listen on 127.0.0.1"
        )
    credentials = None
    if certificate is not None and key is not None:
        credentials = grpc.ssl_server_credentials(
            [(_read_pem(key, "tls_key"), _read_pem(certificate, "tls_certificate"))]
        )
    return Access(credentials, None if keys_file is None else KeyRing.read(keys_file))


def _read_pem(path: Path, name: str) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"security.{name}: cannot read {path}: {error.strerror}") from None
    if b"-----BEGIN" not in data:
        raise ConfigError(f"security.{name}: {path} is not a PEM file")
    return data
