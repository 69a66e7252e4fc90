"""API keys: random, kept as digests, compared in constant time.

A file of keys has `NAME SHA256-OF-KEY GRANT...` on each line (`service.access.files`). A key has 256 random bits, so
a plain digest cannot be searched.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path

from service.access.files import NAME, Caller, Kind, read, read_any
from service.access.grants import Grants
from service.config import ConfigError

PREFIX = "il_"
USUAL_GRANTS = ("read,write@*",)
_KIND = Kind(
    setting="security.api_keys_file",
    form="SHA256-OF-KEY",
    pattern=re.compile(r"[0-9a-f]{64}"),
    remedy="has no key: make one with `interleaf new-key NAME --file FILE`",
)


def digest(key: str) -> str:
    """What is kept of a key."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


class KeyRing:
    """The keys that are let in, by their digests."""

    def __init__(self, callers: Mapping[str, Caller]) -> None:
        self._callers = dict(callers)

    @classmethod
    def read(cls, path: Path) -> KeyRing:
        """From a file; ConfigError when it cannot be read, has no key, or a line is wrong."""
        return cls(read(path, _KIND))

    @property
    def names(self) -> frozenset[str]:
        """Whose keys they are."""
        return frozenset(caller.name for caller in self._callers.values())

    def caller(self, key: str) -> Caller | None:
        """Whose key it is, and what it opens. Every key is compared in full, so that time tells nothing."""
        given = digest(key)
        found = None
        for known, caller in self._callers.items():
            if hmac.compare_digest(given, known):
                found = caller
        return found


def new_key(path: Path, name: str, grants: Sequence[str] = USUAL_GRANTS) -> str:
    """Makes a key, adds its digest to the file, and returns the key, which is kept nowhere."""
    if NAME.fullmatch(name) is None:
        raise ConfigError("a key's name has 1-64 letters, digits, dots, hyphens and underscores")
    if path.exists() and name in KeyRing(read_any(path, _KIND)).names:
        raise ConfigError(f"{path} has a key {name!r} already")
    try:
        Grants.parse(grants)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    key = PREFIX + secrets.token_urlsafe(32)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(handle, "ab+") as file:
        size = file.tell()
        ended = not size or os.pread(handle, 1, size - 1) == b"\n"  # some editors do not end the last line
        file.write(f"{'' if ended else chr(10)}{name} {digest(key)} {' '.join(grants)}\n".encode())
    return key
