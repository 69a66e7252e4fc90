"""Who calls: by an API key, a token, or the certificate of the connection, whichever of them are configured.

What a call brings in `authorization` decides alone; where it brings nothing, the certificate does. A key that is not
known is refused, whatever certificate it came with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service.access.certificates import ClientCertificates
from service.access.files import Caller
from service.access.keys import KeyRing
from service.access.tokens import Tokens
from service.errors import NotWithoutKey

_SCHEME = "bearer "
_CERTIFICATE = "x509_pem_cert"


@dataclass(frozen=True)
class Callers:
    """Those who are known; at least one of the three is there."""

    keys: KeyRing | None = None
    tokens: Tokens | None = None
    certificates: ClientCertificates | None = None

    @property
    def kinds(self) -> tuple[str, ...]:
        """In words."""
        names = (("API keys", self.keys), ("tokens", self.tokens), ("client certificates", self.certificates))
        return tuple(name for name, there in names if there is not None)

    def identify(self, metadata: Any, transport: Mapping[str, Sequence[bytes]]) -> Caller:
        """The caller of a call with this metadata, over this connection; NotWithoutKey."""
        given = [value for key, value in metadata or () if key == "authorization"]
        if not given:
            return self._by_certificate(transport)
        if len(given) > 1 or not isinstance(given[0], str):
            raise self._refused("there is more than one authorization")
        header = given[0]
        if header[: len(_SCHEME)].lower() != _SCHEME:
            raise self._refused("the authorization is not of the Bearer kind")
        return self._by_bearer(header[len(_SCHEME) :].strip())

    def _by_bearer(self, secret: str) -> Caller:
        if self.tokens is not None and Tokens.looks_like_one(secret):
            caller, problem = self.tokens.caller(secret)
        else:
            caller, problem = (
                None if self.keys is None else self.keys.caller(secret),
                "the API key is not known",
            )
        if caller is None:
            raise self._refused(problem)
        return caller

    def _by_certificate(self, transport: Mapping[str, Sequence[bytes]]) -> Caller:
        shown = transport.get(_CERTIFICATE, ())
        if self.certificates is None or not shown:
            raise self._refused("there is no API key" if self.keys is not None else "nothing says who calls")
        caller, problem = self.certificates.caller(bytes(shown[0]))
        if caller is None:
            raise self._refused(problem)
        return caller

    def _refused(self, problem: str) -> NotWithoutKey:
        ways = []
        if self.keys is not None or self.tokens is not None:
            what = " or ".join(
                name for name, there in (("KEY", self.keys), ("TOKEN", self.tokens)) if there is not None
            )
            ways.append(f"send the metadata `authorization: Bearer {what}`")
        if self.certificates is not None:
            ways.append("connect with a client certificate that is known")
        return NotWithoutKey(problem, ", or ".join(ways))
