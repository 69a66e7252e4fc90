"""Details of errors that need more than a line."""

from __future__ import annotations

from google.protobuf.message import Message
from google.rpc import error_details_pb2

from kb_store.errors import QuotaExceeded


def quota_failure(error: Exception) -> list[Message]:
    """Whose quota it is, and which; ErrorInfo has the figures."""
    if not isinstance(error, QuotaExceeded):
        return []
    subject = f"namespaces/{error.details['namespace']}"
    violation = error_details_pb2.QuotaFailure.Violation(subject=subject, description=error.message)
    return [error_details_pb2.QuotaFailure(violations=[violation])]
