"""Callers known by the certificate of their connection (mutual TLS).

The transport has checked by then that an authority of `security.client_ca` signed it. Who that is, and what it may do,
says a file: `NAME IDENTITY GRANT...`, the identity as it stands in the certificate with its kind before it:
`uri:spiffe://example.org/crawler`, `dns:crawler.example.org`, `email:ops@example.org`, or `cn:crawler` for the common
name. Taking a line out of the file takes the right away, however long the certificate is valid.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import NameOID

from service.access.files import Caller, Kind, read
from service.config import ConfigError

_KIND = Kind(
    setting="security.clients_file",
    form="IDENTITY",
    pattern=re.compile(r"(?:uri|dns|email|cn):[!-~]{1,512}"),
    remedy="names nobody: add lines such as `crawler dns:crawler.example.org read,write@*`",
)
_MOST_REMEMBERED = 1024


@dataclass(frozen=True, slots=True)
class _Known:
    caller: Caller | None
    problem: str
    until: datetime


class ClientCertificates:
    """Whom certificates belong to. What was read of one is remembered, since every call of a connection brings it."""

    def __init__(
        self, callers: Mapping[str, Caller], clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._callers, self._clock = dict(callers), clock
        self._remembered: OrderedDict[bytes, _Known] = OrderedDict()

    @classmethod
    def read(cls, path: Path) -> ClientCertificates:
        """From a file; ConfigError when it cannot be read, names nobody, or a line is wrong."""
        return cls(read(path, _KIND))

    def caller(self, certificate: bytes) -> tuple[Caller | None, str]:
        """Whose it is; or why it is nobody's. The certificate is in PEM or DER."""
        known = self._remembered.get(certificate)
        if known is None:
            known = self._remembered[certificate] = self._look(certificate)
            if len(self._remembered) > _MOST_REMEMBERED:
                self._remembered.popitem(last=False)
        if known.until < self._clock():  # it was valid when the connection was made
            return None, "the client certificate has expired"
        return known.caller, known.problem

    def _look(self, certificate: bytes) -> _Known:
        try:
            parsed = _parsed(certificate)
            found = {self._callers[name] for name in identities(parsed) if name in self._callers}
        except ValueError:
            return _Known(None, "the client certificate cannot be read", datetime.max.replace(tzinfo=UTC))
        until = parsed.not_valid_after_utc
        if len(found) == 1:
            return _Known(found.pop(), "", until)
        problem = "is known as several callers" if found else "is of nobody who is known here"
        return _Known(None, f"the client certificate {problem}", until)


def _parsed(certificate: bytes) -> x509.Certificate:
    if certificate.startswith(b"-----BEGIN"):
        return x509.load_pem_x509_certificate(certificate)
    return x509.load_der_x509_certificate(certificate)


def identities(certificate: x509.Certificate) -> list[str]:
    """All names in a certificate, as files write them."""
    common = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    found = [f"cn:{attribute.value!s}" for attribute in common]
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return found
    for kind, mark in (
        (x509.UniformResourceIdentifier, "uri"),
        (x509.DNSName, "dns"),
        (x509.RFC822Name, "email"),
    ):
        found += [f"{mark}:{value}" for value in names.get_values_for_type(kind)]
    return found


def read_authorities(path: Path) -> bytes:
    """The PEM file of those who sign clients' certificates; ConfigError when it holds none."""
    try:
        data = path.read_bytes()
        x509.load_pem_x509_certificates(data)
    except OSError as error:
        raise ConfigError(f"security.client_ca: cannot read {path}: {error.strerror}") from None
    except ValueError:
        raise ConfigError(f"security.client_ca: {path} is not a PEM file of certificates") from None
    return data
