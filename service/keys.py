"""API keys: random, kept as digests, compared in constant time.

A file of keys has `NAME SHA256-OF-KEY` on each line; empty lines and lines that begin with # say nothing. A
key has 256 random bits, so a plain digest cannot be searched.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from pathlib import Path

from service.config import ConfigError

PREFIX = "il_"
_LINE = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]{0,63})\s+(?P<digest>[0-9a-f]{64})")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def digest(key: str) -> str:
    """What is kept of a key."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


class KeyRing:
    """The keys that are let in."""

    def __init__(self, digests: dict[str, str]) -> None:
        self._digests = dict(digests)

    @classmethod
    def read(cls, path: Path) -> KeyRing:
        """From a file; ConfigError when it cannot be read, has no key, or a line is wrong."""
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"security.api_keys_file: cannot read {path}: {error}") from None
        digests: dict[str, str] = {}
        for number, line in enumerate(text.splitlines(), start=1):
            content = line.strip()
            if not content or content.startswith("#"):
                continue
            found = _LINE.fullmatch(content)
            if found is None:
                raise ConfigError(
                    f"security.api_keys_file: line {number} of {path} is not `NAME SHA256-OF-KEY`"
                )
            if found["name"] in digests:
                raise ConfigError(f"security.api_keys_file: line {number} of {path} names a key again")
            digests[found["name"]] = found["digest"]
        if not digests:
            raise ConfigError(
                f"security.api_keys_file: {path} has no key: make one with `interleaf new-key NAME`"
            )
        return cls(digests)

    def principal(self, key: str) -> str | None:
        """Whose key it is. Every key is compared in full, so that time tells nothing."""
        given = digest(key)
        found = None
        for name, known in self._digests.items():
            if hmac.compare_digest(given, known):
                found = name
        return found


def new_key(path: Path, name: str) -> str:
    """Makes a key, adds its digest to the file, and returns the key, which is kept nowhere."""
    if _NAME.fullmatch(name) is None:
        raise ConfigError("a key's name has 1-64 letters, digits, dots, hyphens and underscores")
    if path.exists() and path.stat().st_size and name in KeyRing.read(path)._digests:
        raise ConfigError(f"{path} has a key {name!r} already")
    key = PREFIX + secrets.token_urlsafe(32)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(handle, "a", encoding="utf-8") as file:
        file.write(f"{name} {digest(key)}\n")
    return key
