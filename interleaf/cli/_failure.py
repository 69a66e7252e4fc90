"""Errors as people (and scripts) get them: one sentence, a hint, an exit code.

0  done
1  refused, or failed on the server
2  wrong usage
3  not found
4  in conflict with what is stored (exists already, etag does not match)
5  the server cannot be reached, is too busy for now, or took too long
6  not allowed (API key missing, unknown, or without the scope)
130  interrupted
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from interleaf import _errors as e

REFUSED, USAGE, NOT_FOUND, CONFLICT, UNREACHABLE, NOT_ALLOWED, INTERRUPTED = 1, 2, 3, 4, 5, 6, 130

_EXIT_CODES: tuple[tuple[type[e.InterleafError], int], ...] = (
    (e.NotFound, NOT_FOUND),
    (e.AlreadyExists, CONFLICT),
    (e.Aborted, CONFLICT),
    (e.Unavailable, UNREACHABLE),
    (e.DeadlineExceeded, UNREACHABLE),
    (e.ResourceExhausted, UNREACHABLE),
    (e.InterruptedTransfer, UNREACHABLE),
    (e.Unauthenticated, NOT_ALLOWED),
    (e.PermissionDenied, NOT_ALLOWED),
)


# What gRPC says where the two sides do not agree on encryption.
_TLS_WORDS = ("ssl", "tls", "handshake", "certificate", "verification")


@dataclass(frozen=True, slots=True)
class Failure:
    """What to say about an error, and the exit code."""

    message: str
    hint: str
    exit_code: int
    code: str
    reason: str = ""
    metadata: dict[str, str] | None = None


def describe(error: Exception, server: str) -> Failure:
    """What to tell about an error of a command that talked to this server."""
    if not isinstance(error, e.InterleafError):
        message = str(error)
        if isinstance(error, OSError) and error.filename:
            message = f"{error.filename}: {error.strerror}"
        return Failure(message, "", USAGE if isinstance(error, ValueError) else REFUSED, "CLIENT")
    exit_code = next((code for kind, code in _EXIT_CODES if isinstance(error, kind)), REFUSED)
    if isinstance(error, e.ResourceExhausted) and error.retry_after is None:
        exit_code = REFUSED  # a quota or a full disk: waiting does not help
    message, of_tls = error.message, _of_tls(error, server)
    if isinstance(error, e.Unavailable) and not error.reason:
        message = f"No Interleaf server answers at {server}" + (f": {message}" if of_tls else ".")
    return Failure(message, _hint(error, of_tls), exit_code, error.code, error.reason, error.metadata or None)


def _of_tls(error: e.InterleafError, server: str) -> bool:
    """The server's own name says nothing, such as tls-box.example."""
    host = re.escape(server.rpartition(":")[0] or server)
    said = re.sub(rf"(?<![\w.-]){host}(?![\w.-])", "", error.message, flags=re.IGNORECASE).lower()
    return any(word in said for word in _TLS_WORDS)


def _hint(error: e.InterleafError, of_tls: bool) -> str:
    if isinstance(error, e.Unavailable) and not error.reason and of_tls:
        return "Does the server speak TLS (--tls, --ca, --certificate)? Is the name it is called by in its certificate?"
    if isinstance(error, e.Unavailable) and not error.reason:
        return (
            "Start one with `interleaf serve`, or say where it is: --server HOST:PORT or INTERLEAF_SERVER; "
            "and how it speaks, if that is TLS: --tls."
        )
    if isinstance(error, e.ConflictingFact):
        return f"See it with `interleaf facts get {error.fact_id}`, or add --on-conflict replace (or add)."
    if isinstance(error, e.EtagMismatch):
        return "Somebody else changed it: read it again, then repeat with the new --etag, or without one."
    if isinstance(error, e.Unauthenticated):
        return "Set INTERLEAF_API_KEY, or give --api-key."
    if isinstance(error, e.NotFound) and error.metadata.get("kind") == "namespace":
        return "Make it with `interleaf namespaces create NAME`; `interleaf namespaces list` shows what there is."
    if isinstance(error, e.DeadlineExceeded):
        return "Give it longer with --timeout SECONDS."
    if error.retry_after is not None:
        return f"The server is busy: try again in {error.retry_after:g} s."
    return ""
