"""Every error class has its row, and what clients see of an error is whole and harmless."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from google.rpc import error_details_pb2

from circuits import errors as circuit_errors
from editors.weights import errors as edit_errors
from engines import errors as engine_errors
from kb_store import errors as store_errors
from service import errors
from service.errors import TABLE, row_of, to_status


def tree(base: type[Exception]) -> Iterator[type[Exception]]:
    yield base
    for child in base.__subclasses__():
        yield from tree(child)


def ours(base: type[Exception], module: str) -> list[type[Exception]]:
    return [cls for cls in tree(base) if cls.__module__ == module]


OWN_ROW = [
    *ours(store_errors.StoreError, "kb_store.errors"),
    *ours(engine_errors.EngineError, "engines.errors"),
    *ours(errors.ServiceError, "service.errors"),
]
# Their bases have rows that fit most of them.
BY_BASE = [
    *ours(edit_errors.EditError, "editors.weights.errors"),
    *ours(circuit_errors.CircuitError, "circuits.errors"),
]
EVERY = [*OWN_ROW, *BY_BASE]


def test_every_error_class_has_a_row_and_no_row_is_left_over() -> None:
    assert set(OWN_ROW) <= set(TABLE) <= set(EVERY)
    assert {edit_errors.EditError, circuit_errors.CircuitError} <= set(TABLE)
    assert len(EVERY) > 25


@pytest.mark.parametrize("cls", EVERY)
def test_reasons_are_well_formed_and_their_own(cls: type[Exception]) -> None:
    reason = cls.reason  # type: ignore[attr-defined]
    assert re.fullmatch(r"[A-Z][A-Z0-9_]{0,62}", reason)
    assert [other for other in EVERY if other.reason == reason] == [cls]  # type: ignore[attr-defined]


def test_a_class_without_a_row_of_its_own_has_that_of_its_base() -> None:
    class Special(store_errors.NotFound):
        pass

    assert row_of(Special("fact", "x")) is TABLE[store_errors.NotFound]


def details(status: object) -> dict[str, object]:
    found: dict[str, object] = {}
    for packed in status.details:  # type: ignore[attr-defined]
        for cls in (error_details_pb2.ErrorInfo, error_details_pb2.BadRequest, error_details_pb2.RetryInfo):
            message = cls()
            if packed.Unpack(message):
                found[cls.__name__] = message
    return found


def test_bad_input_names_the_field_and_the_limit() -> None:
    error = store_errors.LimitExceeded("fact.subject", "max_subject_length", 256, 300)
    found = details(to_status(error, "id"))
    assert found.keys() == {"ErrorInfo", "BadRequest"}
    info = found["ErrorInfo"]
    assert (info.reason, info.domain) == ("LIMIT_EXCEEDED", "interleaf")  # type: ignore[attr-defined]
    assert info.metadata["limit"] == "max_subject_length"  # type: ignore[attr-defined]
    assert info.metadata["server_request_id"] == "id"  # type: ignore[attr-defined]
    violation = found["BadRequest"].field_violations[0]  # type: ignore[attr-defined]
    assert violation.field == "fact.subject"
    assert "256" in violation.description


def test_overload_says_when_to_come_back() -> None:
    found = details(to_status(errors.TooBusy("read", 3, 0.5), "id"))
    assert found["RetryInfo"].retry_delay.ToMilliseconds() == 500  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("secret"),
        store_errors.StoreError("secret", path="secret"),
        engine_errors.EngineError("secret"),
        store_errors.IndexCorrupt("secret"),
    ],
)
def test_what_is_about_our_inside_is_hidden(error: Exception) -> None:
    status = to_status(error, "the-id")
    assert status.code == 13
    assert "the-id" in status.message
    assert b"secret" not in status.SerializeToString()


def test_texts_from_outside_fit_into_headers() -> None:
    error = store_errors.InvalidInput("f" * 10_000, "bad \ud800 " * 10_000, value="v" * 10_000)
    status = to_status(error, "id")
    assert len(status.SerializeToString()) < 4096


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.0004, "0.0004 s"), (2.5, "2.5 s"), (99.96, "100 s"), (1200.0, "1200 s"), (86_400.0, "86400 s")],
)
def test_a_deadline_is_said_as_people_write_it(seconds: float, said: str) -> None:
    assert f"longer than {said} (" in str(errors.DeadlinePassed("generate", seconds, asked=True))
