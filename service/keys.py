"""API keys: random, kept as digests, compared in constant time.

A file of keys has `NAME SHA256-OF-KEY GRANT...` on each line, grants as in `service.access_grants`; a key without a
grant is refused, as are unknown scopes. Empty lines and lines that begin with # say nothing. A key has 256 random
bits, so a plain digest cannot be searched.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from service.access_grants import Grants
from service.config import ConfigError

PREFIX = "il_"
USUAL_GRANTS = ("read,write@*",)
_LINE = re.compile(
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]{0,63})\s+(?P<digest>[0-9a-f]{64})(?P<grants>(?:\s+\S+)*)"
)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def digest(key: str) -> str:
    """What is kept of a key."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose key it is, and what it opens."""

    name: str
    grants: Grants


class KeyRing:
    """The keys that are let in."""

    def __init__(self, digests: dict[str, str], grants: dict[str, Grants]) -> None:
        self._digests, self._grants = dict(digests), dict(grants)

    @classmethod
    def read(cls, path: Path) -> KeyRing:
        """From a file; ConfigError when it cannot be read, has no key, or a line is wrong."""
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"security.api_keys_file: cannot read {path}: {error}") from None
        digests: dict[str, str] = {}
        grants: dict[str, Grants] = {}
        for number, line in enumerate(text.splitlines(), start=1):
            content = line.strip()
            if not content or content.startswith("#"):
                continue
            found = _LINE.fullmatch(content)
            if found is None:
                raise ConfigError(
                    f"security.api_keys_file: line {number} of {path} is not `NAME SHA256-OF-KEY GRANT...`"
                )
            if found["name"] in digests:
                raise ConfigError(f"security.api_keys_file: line {number} of {path} names a key again")
            digests[found["name"]] = found["digest"]
            grants[found["name"]] = _grants(found["grants"].split(), number, path)
        if not digests:
            raise ConfigError(
                f"security.api_keys_file: {path} has no key: make one with `interleaf new-key NAME`"
            )
        return cls(digests, grants)

    def principal(self, key: str) -> str | None:
        """Whose key it is."""
        caller = self.caller(key)
        return None if caller is None else caller.name

    def caller(self, key: str) -> Caller | None:
        """Whose key it is, and what it opens. Every key is compared in full, so that time tells nothing."""
        given = digest(key)
        found = None
        for name, known in self._digests.items():
            if hmac.compare_digest(given, known):
                found = name
        return None if found is None else Caller(found, self._grants[found])


def _grants(texts: list[str], number: int, path: Path) -> Grants:
    if not texts:
        raise ConfigError(
            f"security.api_keys_file: line {number} of {path} grants nothing: add what the key may do, "
            f"such as `{USUAL_GRANTS[0]}`"
        )
    try:
        return Grants.parse(texts)
    except ValueError as error:
        raise ConfigError(f"security.api_keys_file: line {number} of {path}: {error}") from None


def new_key(path: Path, name: str, grants: Sequence[str] = USUAL_GRANTS) -> str:
    """Makes a key, adds its digest to the file, and returns the key, which is kept nowhere."""
    if _NAME.fullmatch(name) is None:
        raise ConfigError("a key's name has 1-64 letters, digits, dots, hyphens and underscores")
    if path.exists() and path.stat().st_size and name in KeyRing.read(path)._digests:
        raise ConfigError(f"{path} has a key {name!r} already")
    try:
        Grants.parse(grants)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    key = PREFIX + secrets.token_urlsafe(32)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(handle, "a", encoding="utf-8") as file:
        file.write(f"{name} {digest(key)} {' '.join(grants)}\n")
    return key
