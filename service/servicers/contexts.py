"""Who writes, and what makes a retry safe, from a request message."""

from __future__ import annotations

import hashlib
from typing import Any

from kb_store.model import Context
from service.calls import current
from service.validation import request_id


def context_of(request: Any) -> Context:
    """The context of a mutation. The digest covers the caller, the method and all of the request but its id."""
    given = request_id(request.request_id)
    return Context(
        principal=current().principal,
        request_id=given,
        request_digest=_digest(request) if given else "",
        validate_only=request.validate_only,
    )


def _digest(request: Any) -> str:
    bare = type(request)()
    bare.CopyFrom(request)
    bare.ClearField("request_id")
    call = current()
    head = f"{call.principal}\n{call.method}\n".encode()
    return hashlib.sha256(head + bare.SerializeToString(deterministic=True)).hexdigest()
