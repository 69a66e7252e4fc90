"""Errors: one class per canonical code, narrowed by the reason, with everything the server said."""

from __future__ import annotations

import inspect

import grpc
import pytest
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2

import interleaf
from interleaf import _errors


class Failed(grpc.RpcError):
    """What gRPC raises, as far as the client looks at it."""

    def __init__(self, code: grpc.StatusCode, details: str, metadata: list[tuple[str, bytes]]) -> None:
        self._parts = (code, details, metadata)

    def code(self) -> grpc.StatusCode:
        return self._parts[0]

    def details(self) -> str:
        return self._parts[1]

    def trailing_metadata(self) -> list[tuple[str, bytes]]:
        return self._parts[2]


def packed(*messages: object) -> list[any_pb2.Any]:
    result = []
    for message in messages:
        entry = any_pb2.Any()
        entry.Pack(message)
        result.append(entry)
    return result


def test_every_canonical_code_but_ok_has_a_class() -> None:
    assert set(_errors.BY_CODE) == {code.name for code in grpc.StatusCode} - {"OK"}


def test_the_tree_in_the_docstring_names_every_class_once() -> None:
    drawn = _errors.__doc__ or ""
    classes = [
        name
        for name, value in inspect.getmembers(_errors, inspect.isclass)
        if issubclass(value, _errors.InterleafError)
    ]
    names = [line.strip(" │├└─").split()[0] for line in drawn.splitlines()[2:] if line.strip()]
    assert sorted(names) == sorted(classes)


def test_every_error_is_exported() -> None:
    for name, value in inspect.getmembers(_errors, inspect.isclass):
        if issubclass(value, _errors.InterleafError):
            assert getattr(interleaf, name) is value


@pytest.mark.parametrize(
    ("code", "reason", "expected"),
    [
        ("ALREADY_EXISTS", "CONFLICTING_FACT", interleaf.ConflictingFact),
        ("ALREADY_EXISTS", "ALREADY_EXISTS", interleaf.AlreadyExists),
        ("ABORTED", "ETAG_MISMATCH", interleaf.EtagMismatch),
        ("INVALID_ARGUMENT", "LIMIT_EXCEEDED", interleaf.LimitExceeded),
        ("INVALID_ARGUMENT", "REQUEST_ID_REUSED", interleaf.RequestIdReused),
        ("NOT_FOUND", "CONFLICTING_FACT", interleaf.NotFound),  # a reason never leads to another code's class
        ("SOMETHING_NEW", "", interleaf.ServerFault),
    ],
)
def test_code_and_reason_choose_the_class(
    code: str, reason: str, expected: type[interleaf.InterleafError]
) -> None:
    assert _errors.error_class(code, reason) is expected


def test_details_arrive_whole() -> None:
    info = error_details_pb2.ErrorInfo(reason="CONFLICTING_FACT", metadata={"fact_id": "anna-employer"})
    status = status_pb2.Status(code=6, details=packed(info))
    metadata = [("other", b"x"), (_errors.STATUS_DETAILS_KEY, status.SerializeToString())]
    error = _errors.from_rpc_error(Failed(grpc.StatusCode.ALREADY_EXISTS, "taken", metadata))
    assert isinstance(error, interleaf.ConflictingFact)
    assert error.fact_id == "anna-employer"
    assert (error.message, error.reason, error.code) == ("taken", "CONFLICTING_FACT", "ALREADY_EXISTS")


def test_field_violations_and_retry_delay() -> None:
    bad = error_details_pb2.BadRequest(
        field_violations=[
            error_details_pb2.BadRequest.FieldViolation(field="fact.subject", description="empty")
        ]
    )
    error = _errors.from_status("INVALID_ARGUMENT", "no", packed(bad))
    assert error.violations == (interleaf.FieldViolation("fact.subject", "empty"),)
    assert error.retry_after is None
    retry = error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(seconds=1, nanos=500_000_000))
    assert _errors.from_status("RESOURCE_EXHAUSTED", "busy", packed(retry)).retry_after == 1.5


def test_damaged_details_do_not_hide_the_error() -> None:
    failed = Failed(grpc.StatusCode.NOT_FOUND, "gone", [(_errors.STATUS_DETAILS_KEY, b"\xff\xff\xff")])
    error = _errors.from_rpc_error(failed)
    assert isinstance(error, interleaf.NotFound)
    assert error.message == "gone"


def test_a_fault_keeps_the_servers_code() -> None:
    assert _errors.from_status("DATA_LOSS", "torn").code == "DATA_LOSS"
    assert _errors.from_status("UNKNOWN", "?").code == "UNKNOWN"
