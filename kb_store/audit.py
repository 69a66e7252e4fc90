"""The audit log as a chain: each entry carries a digest over itself and the digest of the entry before.

Whoever changes, removes or slips in an entry must make every later digest anew, and cannot make the last one agree with
a head that was written down elsewhere: in a backup's manifest, in a ticket, on paper.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import astuple, dataclass

from kb_store.errors import InvalidInput

# What the first entry follows.
GENESIS = hashlib.sha256(b"interleaf audit 1").hexdigest()
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One change. `recorded_at` is in microseconds since 1970 UTC; `target` names what was changed in the namespace."""

    entry_id: int
    recorded_at: int
    principal: str
    action: str
    namespace: str
    target: str
    namespace_revision: int
    request_id: str


@dataclass(frozen=True, slots=True)
class AuditHead:
    """The last entry: all that must be written down to recognise the log up to it."""

    entry_id: int = 0
    digest: str = GENESIS

    def __str__(self) -> str:
        return f"{self.entry_id}:{self.digest}"

    @classmethod
    def parse(cls, text: str) -> AuditHead:
        """The inverse of `str`."""
        number, _, digest = text.partition(":")
        if (
            not number.isdecimal()
            or len(digest) != len(GENESIS)
            or not set(digest) <= set("0123456789abcdef")
        ):
            raise InvalidInput("head", "must be NUMBER:DIGEST, as `verify` prints it")
        return cls(int(number), digest)


@dataclass(frozen=True, slots=True)
class AuditVerdict:
    """What a walk along the chain found; `problems` in sentences, empty when it holds."""

    entries: int
    head: AuditHead
    problems: tuple[str, ...] = ()


def chained(before: str, entry: AuditEntry) -> str:
    """The digest that belongs to an entry behind one with the digest `before`.

    Every field goes in with its length, so that no two entries are written alike.
    """
    digest = hashlib.sha256(before.encode())
    for value in astuple(entry):
        # Texts of old databases may hold what no encoding can: as they are, reversibly.
        data = str(value).encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()


def walk(
    entries: Iterable[tuple[AuditEntry, str]], stored: AuditHead, expected: AuditHead | None = None
) -> AuditVerdict:
    """Follows the whole log, its first entry first. `stored` is the head that the log keeps of itself, `expected` one
    that was written down."""
    head, count, problems = AuditHead(), 0, list[str]()
    seen = expected is None or expected == head
    for entry, digest in entries:
        count += 1
        if entry.entry_id != head.entry_id + 1:
            problems.append(f"entries {head.entry_id + 1} to {entry.entry_id - 1} are missing")
        elif digest != chained(head.digest, entry):
            problems.append(
                f"entry {entry.entry_id} is not what was written, or not behind what it was written behind"
            )
        head = AuditHead(entry.entry_id, digest)
        seen = seen or head == expected
    if head != stored:
        problems.append(
            f"the log ends with entry {head.entry_id}; its last was {stored.entry_id}, or said otherwise"
        )
    if not seen and expected is not None:
        problems.append(f"entry {expected.entry_id} is not the one that was written down")
    if len(problems) > _SHOWN:
        problems = [*problems[:_SHOWN], f"and {len(problems) - _SHOWN} more"]
    return AuditVerdict(count, head, tuple(problems))
