"""Calls with one request_id at the same time, as when a caller's network repeats itself: one operation, one answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from kb_store.errors import AlreadyExists, RequestIdReused
from kb_store.model import Context, OperationRecord
from kb_store.sql import SqlStore, open_store
from service.commands import editing, encoding
from service.commands.editing import Editing
from service.commands.encoding import Asked, Encoding
from service.config import EditSettings, EncoderSettings
from service.convert.edits import EDIT_PACKING
from service.convert.encoders import PACKING
from service.edits.jobs import LabModel
from service.edits.shelf import AskedEdit, EditShelf
from service.encoders.shelf import Shelf
from service.errors import TooBusy
from service.operations import Operations
from service.workers import Workers

Call = Callable[[Encoding, Editing], Awaitable[OperationRecord]]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    made = open_store(tmp_path / "facts.db")
    made.create_namespace("people", "", frozenset(), Context())
    yield made
    made.close()


@pytest.fixture
def at_once(
    tmp_path: Path, store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., list[OperationRecord | BaseException]]:
    """Makes calls at the same time, of a server that has room for so many pieces of work; none of them ends."""

    async def forever(*args: object) -> None:
        await asyncio.Event().wait()

    for module in (encoding, editing):
        monkeypatch.setattr(module, "run_in_process", forever)

    async def made(calls: tuple[Call, ...], jobs: int) -> list[OperationRecord | BaseException]:
        workers = Workers(1)
        operations = Operations(store, workers)
        settings = EncoderSettings(work=True, jobs=jobs, models=["one", "two"])
        encoders = Encoding(Shelf(tmp_path), settings, "one", store, operations, workers, PACKING)
        live, model = (
            cast(Any, SimpleNamespace(applied={}, not_restored={})),
            LabModel("one", "d", "float32", 4),
        )
        edits = Editing(
            live,
            model,
            EditShelf(tmp_path),
            EditSettings(work=True, jobs=jobs),
            store,
            operations,
            workers,
            EDIT_PACKING,
        )
        found = await asyncio.gather(*(call(encoders, edits) for call in calls), return_exceptions=True)
        await operations.close()
        workers.close()
        return found

    return lambda *calls, jobs: asyncio.run(made(calls, jobs))


def sweep(model: str, request_id: str) -> Call:
    return lambda encoders, edits: encoders.sweep(model, 8, 0, Asked(request_id, False))


def edit(edit_id: str, request_id: str, method: str = "rome") -> Call:
    asked = AskedEdit("people", method, {}, [])
    return lambda encoders, edits: edits.create(edit_id, asked, Asked(request_id, False))


def compare(method: str, request_id: str) -> Call:
    return lambda encoders, edits: edits.compare("people", [method], [], Asked(request_id, False))


@pytest.fixture(autouse=True)
def _any_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """The model is not there to be edited."""
    monkeypatch.setattr(editing, "_check_settings", lambda *args: None)


@pytest.mark.parametrize("jobs", [1, 3])
@pytest.mark.parametrize(
    ("call", "other"),
    [
        (sweep("one", "r"), sweep("two", "r")),
        (edit("x", "r"), edit("y", "r")),
        (edit("", "r"), edit("", "r", "memit")),
        (compare("rome", "r"), compare("memit", "r")),
    ],
)
def test_one_request_begins_once_and_another_is_refused(
    at_once: Callable[..., Any], call: Call, other: Call, jobs: int
) -> None:
    answers = at_once(call, call, other, jobs=jobs)
    begun = [each for each in answers if isinstance(each, OperationRecord)]
    refused = [each for each in answers if not isinstance(each, OperationRecord)]
    assert {type(each) for each in refused} == {RequestIdReused}
    assert len(begun) in (1, 2)  # whichever came first
    assert all(each == begun[0] for each in begun)


def test_two_requests_for_one_edit_do_not_compute_it_twice(at_once: Callable[..., Any]) -> None:
    answers = at_once(edit("x", "r"), edit("x", "s"), jobs=3)
    assert sorted(type(each).__name__ for each in answers) == [
        AlreadyExists.__name__,
        OperationRecord.__name__,
    ]


def test_what_there_is_no_room_for_is_refused(at_once: Callable[..., Any]) -> None:
    answers = at_once(sweep("one", "r"), sweep("one", "s"), jobs=1)
    assert sorted(type(each).__name__ for each in answers) == [OperationRecord.__name__, TooBusy.__name__]
