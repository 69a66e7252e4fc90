"""How a client connects and behaves: values that are checked when they are made."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from pathlib import Path

DEFAULT_TARGET = "127.0.0.1:7421"
DEFAULT_NAMESPACE = "default"
# Ways to name a server that gRPC knows beside host:port; without a port it is 443.
_SCHEMES = ("dns:", "ipv4:", "ipv6:", "unix:", "unix-abstract:", "vsock:", "xds:", "passthrough:")
_HOST_PORT = re.compile(r"(\[[^\s\[\]/]+\]|[^\s\[\]/:]+)(?::(?P<port>[0-9]{1,5}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Timeout:
    """How long a call may take in all, its retries included, in seconds.

    `call` holds for reads and writes, `generate` for what the model computes, `transfer` for imports and
    exports (None: as long as it takes).

        Client(timeout=Timeout(call=5))
    """

    call: float = 30.0
    generate: float = 300.0
    transfer: float | None = None

    def __post_init__(self) -> None:
        for name in ("call", "generate", "transfer"):
            seconds = getattr(self, name)
            if seconds is not None and not seconds > 0:
                raise ValueError(f"Timeout: give {name} in seconds, above 0; got {seconds!r}")


@dataclass(frozen=True, slots=True)
class Retry:
    """When and how often to try again.

    A call is repeated when the server cannot be reached (UNAVAILABLE), and when it is too busy and said when
    to come back (RESOURCE_EXHAUSTED with RetryInfo). The wait doubles from `first_delay` up to `max_delay`;
    a random part of it is taken off so that many clients do not come back at once. `attempts=1` never repeats.
    """

    attempts: int = 5
    first_delay: float = 0.2
    max_delay: float = 5.0

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ValueError(f"Retry: give attempts as 1 or more; got {self.attempts!r}")
        if not 0 < self.first_delay <= self.max_delay:
            raise ValueError("Retry: give 0 < first_delay <= max_delay, in seconds")


@dataclass(frozen=True, slots=True)
class TLS:
    """Encrypts the connection. With no files the system's certificate authorities are trusted.

        Client("facts.example.org:443", tls=TLS.from_files(ca="ca.pem"), api_key=key)

    `certificate` and `key` (both or none) identify the client to a server that asks for it.
    """

    ca: bytes | None = None
    certificate: bytes | None = None
    key: bytes | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("TLS: give certificate and key together, or neither")

    @classmethod
    def from_files(
        cls,
        ca: str | Path | None = None,
        certificate: str | Path | None = None,
        key: str | Path | None = None,
    ) -> TLS:
        """Reads PEM files."""
        return cls(
            *(Path(path).read_bytes() if path is not None else None for path in (ca, certificate, key))
        )


def is_loopback(target: str) -> bool:
    """Whether a target stays on this machine."""
    if target.startswith(("unix:", "unix-abstract:")):
        return True
    host = target.rsplit("/", 1)[-1].rpartition(":")[0].strip("[]") or target
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _plausible(target: str) -> bool:
    """Whether this can be a server. gRPC takes anything: a port of 99999 it dials as 34463."""
    if target.startswith(_SCHEMES):
        return True
    found = _HOST_PORT.fullmatch(target)
    return found is not None and (found["port"] is None or 0 < int(found["port"]) < 65536)


@dataclass(frozen=True, slots=True)
class Connection:
    """Where the server is and how to prove who asks. An API key never travels unencrypted over a network."""

    target: str = DEFAULT_TARGET
    tls: TLS | None = None
    api_key: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not _plausible(self.target):
            raise ValueError(
                f'Connection: give the server as "host:port", without http://, a port below 65536; got {self.target!r}'
            )
        if self.api_key:  # a key from a file ends with a line break
            object.__setattr__(self, "api_key", self.api_key.strip())
        if self.api_key and not (self.api_key.isascii() and self.api_key.isprintable()):
            raise ValueError(
                "Connection: an API key has printable ASCII characters only; this one has others"
            )
        if self.api_key and self.tls is None and not is_loopback(self.target):
            raise ValueError(
                f"{self.target} is not on this machine: an API key is sent there only over TLS "
                "(tls=TLS(), on the command line --tls)"
            )

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """The headers of every call."""
        return (("authorization", f"Bearer {self.api_key}"),) if self.api_key else ()
