"""What went wrong, over HTTP: the status that gRPC clients get, as AIP-193 writes it in JSON."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

import grpc
import structlog
from google.protobuf.json_format import MessageToDict
from google.rpc import error_details_pb2, status_pb2
from starlette.responses import JSONResponse

from service.errors import row_of, to_status

_log = structlog.get_logger("interleaf.http")

_CODES = {code.value[0]: code for code in grpc.StatusCode}
_HTTP: Mapping[grpc.StatusCode, int] = {
    grpc.StatusCode.CANCELLED: 499,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.UNAVAILABLE: 503,
}


def status_of(error: Exception) -> status_pb2.Status:
    """Of an error outside of any call."""
    request_id = secrets.token_hex(10)
    if row_of(error).hidden:
        _log.error("request failed", server_request_id=request_id, exc_info=error)
    return to_status(error, request_id)


def code_of(status: status_pb2.Status) -> grpc.StatusCode:
    """The canonical code."""
    return _CODES.get(status.code, grpc.StatusCode.UNKNOWN)


def http_code(status: status_pb2.Status) -> int:
    """The code on the first line of the response."""
    return _HTTP.get(code_of(status), 500)


def reason_of(status: status_pb2.Status) -> str:
    """ErrorInfo's."""
    info = error_details_pb2.ErrorInfo()
    return next((info.reason for detail in status.details if detail.Unpack(info)), "")


def field_of(status: status_pb2.Status) -> str | None:
    """The field that is wrong, where one is."""
    bad = error_details_pb2.BadRequest()
    for detail in status.details:
        if detail.Unpack(bad) and bad.field_violations:
            return str(bad.field_violations[0].field) or None
    return None


def retry_headers(status: status_pb2.Status) -> dict[str, str]:
    """When to come back, in whole seconds, where the status says so."""
    retry = error_details_pb2.RetryInfo()
    for detail in status.details:
        if detail.Unpack(retry):
            return {"retry-after": str(max(1, -(-retry.retry_delay.ToMilliseconds() // 1000)))}
    return {}


def body_of(status: status_pb2.Status) -> dict[str, Any]:
    """{"error": {"code", "message", "status", "details"}}."""
    return {
        "error": {
            "code": http_code(status),
            "message": status.message,
            "status": code_of(status).name,
            "details": [MessageToDict(detail) for detail in status.details],
        }
    }


def response_of(status: status_pb2.Status) -> JSONResponse:
    """The whole response."""
    headers = retry_headers(status)
    if code_of(status) is grpc.StatusCode.UNAUTHENTICATED:
        headers["www-authenticate"] = "Bearer"
    return JSONResponse(body_of(status), http_code(status), headers)
