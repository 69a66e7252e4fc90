"""Authorities, and certificates that they sign, for tests of TLS."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_PLAIN = serialization.NoEncryption()


@dataclass(frozen=True)
class Issued:
    """Files of a certificate and its key."""

    certificate: Path
    key: Path

    @property
    def pair(self) -> tuple[bytes, bytes]:
        """Key and certificate, as gRPC wants them."""
        return self.key.read_bytes(), self.certificate.read_bytes()


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)] if common else [])


class Authority:
    """Signs certificates."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._folder, self._name = folder, name
        self._key = ec.generate_private_key(ec.SECP256R1())
        ca = x509.BasicConstraints(ca=True, path_length=None)
        self._certificate = (
            self._begun(_name(name), _name(name), self._key)
            .add_extension(ca, True)
            .sign(self._key, hashes.SHA256())
        )
        self.file = folder / f"{name}.pem"
        self.file.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, common: str = "", names: Sequence[x509.GeneralName] = ()) -> Issued:
        """A certificate for a common name, or other names, or both."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = self._begun(_name(common), self._certificate.subject, key)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), not common)
        made = builder.sign(self._key, hashes.SHA256())
        stem = f"{self._name}-{made.serial_number:x}"
        issued = Issued(self._folder / f"{stem}.pem", self._folder / f"{stem}.key")
        issued.certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        form = serialization.PrivateFormat.PKCS8
        issued.key.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, _PLAIN))
        return issued

    def for_localhost(self) -> Issued:
        """A server's."""
        address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        return self.issue("localhost", [x509.DNSName("localhost"), address])

    @staticmethod
    def _begun(
        subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
    ) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=2))
        )
