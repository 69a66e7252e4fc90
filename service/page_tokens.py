"""Page tokens: opaque, authenticated with a key of the data folder, and bound to the list they belong to.

A token holds where the next page begins. It carries no authority: every page is checked like the first.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import os
import secrets
import tempfile
from pathlib import Path

from kb_store.errors import InvalidInput

_MAC_BYTES = 16
_KEY_BYTES = 32
_MAX_LENGTH = 512


class PageTokens:
    """Makes and reads tokens."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    @classmethod
    def open(cls, path: Path) -> PageTokens:
        """With the key in a file."""
        return cls(cls.key_at(path))

    @staticmethod
    def key_at(path: Path) -> bytes:
        """The key in a file, which is made when it is not there (or not whole)."""
        try:
            key = path.read_bytes()
        except FileNotFoundError:
            key = b""
        if len(key) != _KEY_BYTES:
            key = secrets.token_bytes(_KEY_BYTES)
            _write_private(path, key)
        return key

    def make(self, cursor: int | str, *bound: str) -> str:
        """A token for the page after `cursor` of the list that `bound` describes."""
        payload = json.dumps(cursor).encode()
        return base64.urlsafe_b64encode(self._mac(payload, bound) + payload).decode().rstrip("=")

    def read(self, token: str, *bound: str) -> int | str | None:
        """The cursor; None for an empty token. InvalidInput unless it was made for this very list."""
        if not token:
            return None
        data = _decode(token) if len(token) <= _MAX_LENGTH else b""
        mac, payload = data[:_MAC_BYTES], data[_MAC_BYTES:]
        if not payload or not hmac.compare_digest(mac, self._mac(payload, bound)):
            raise InvalidInput(
                "page_token", "was not made for this list: parent and filter must be those of the first page"
            )
        cursor: int | str = json.loads(payload)
        return cursor

    def number(self, token: str, *bound: str) -> int:
        """The cursor of a list that goes by numbers; 0 at its beginning."""
        return int(self.read(token, *bound) or 0)

    def text(self, token: str, *bound: str) -> str:
        """The cursor of a list that goes by ids; empty at its beginning."""
        return str(self.read(token, *bound) or "")

    def _mac(self, payload: bytes, bound: tuple[str, ...]) -> bytes:
        # Each part with its length before it: no two lists look the same.
        parts = [payload, *(part.encode("utf-8", "surrogatepass") for part in bound)]
        message = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
        return hmac.digest(self._key, message, hashlib.sha256)[:_MAC_BYTES]


def _decode(token: str) -> bytes:
    try:
        return base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return b""


def _write_private(path: Path, data: bytes) -> None:
    """Atomically, readable by the owner only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
