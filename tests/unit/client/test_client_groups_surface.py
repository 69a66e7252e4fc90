"""Both clients' groups offer the same, every call of the protos has its method, and every field its value."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

import pytest

import interleaf
from interleaf import (
    AsyncClient,
    Client,
    _async_groups,
    _decode_circuits,
    _decode_edits,
    _decode_encoders,
    _groups,
)
from interleaf._circuit_calls import STUDIES
from interleaf.v1 import circuits_pb2, edits_pb2, encoders_pb2, monitor_pb2, reviews_pb2
from tests.unit.client.test_client_docs import DOCS

GROUPS = {
    "edits": (_groups.Edits, _async_groups.AsyncEdits, edits_pb2, "Edits"),
    "encoders": (_groups.Encoders, _async_groups.AsyncEncoders, encoders_pb2, "Encoders"),
    "circuits": (_groups.Circuits, _async_groups.AsyncCircuits, circuits_pb2, "Circuits"),
    "reviews": (_groups.Reviews, _async_groups.AsyncReviews, reviews_pb2, "Reviews"),
    "monitor": (_groups.Monitor, _async_groups.AsyncMonitor, monitor_pb2, "Monitor"),
}


def methods(group: type) -> dict[str, Any]:
    return {name: value for name, value in inspect.getmembers(group, callable) if not name.startswith("_")}


@pytest.mark.parametrize("name", GROUPS)
def test_groups_agree_explain_themselves_and_are_documented(name: str) -> None:
    blocking, waiting = methods(GROUPS[name][0]), methods(GROUPS[name][1])
    assert blocking.keys() == waiting.keys()
    row = next(line for line in DOCS.splitlines() if line.startswith(f"| [`{name}`]"))
    for word, method in blocking.items():
        assert (method.__doc__ or "").strip() == (waiting[word].__doc__ or "").strip() != ""
        assert f"`{word}`" in row
        rest = list(inspect.signature(method).parameters.values())[1:]
        assert [p.name for p in rest] == list(inspect.signature(waiting[word]).parameters)[1:]
        if word != "wait":
            assert f"client.{name}.{word}" in (method.__doc__ or ""), "an example of one line"


@pytest.mark.parametrize("name", GROUPS)
def test_every_call_of_the_service_has_a_method(name: str) -> None:
    group, _, module, service = GROUPS[name]
    calls = module.DESCRIPTOR.services_by_name[service].methods  # type: ignore[attr-defined]
    assert len(calls) == len(methods(group).keys() - {"wait"})


def test_every_study_has_its_result() -> None:
    service = circuits_pb2.DESCRIPTOR.services_by_name["Circuits"]
    started = {call.name for call in service.methods if call.output_type.name == "Operation"}
    assert set(STUDIES) == started


def test_help_shows_handles() -> None:
    assert inspect.signature(_groups.Edits.create).return_annotation == "Work[Edit]"
    assert (
        inspect.signature(_async_groups.AsyncEdits.create).return_annotation == "Coroutine[AsyncWork[Edit]]"
    )
    assert isinstance(inspect.getattr_static(Client, "edits"), property)
    assert isinstance(inspect.getattr_static(AsyncClient, "edits"), property)


@pytest.mark.parametrize(
    ("kind", "message", "apart"),
    [
        (interleaf.Edit, edits_pb2.Edit, {}),
        (interleaf.EditFact, edits_pb2.EditFact, {}),
        (interleaf.EditReceipt, edits_pb2.EditReceipt, {}),
        (interleaf.ReceiptLine, edits_pb2.ReceiptLine, {}),
        (interleaf.EditComparison, edits_pb2.EditComparison, {"svg": "picture"}),
        (interleaf.Encoder, encoders_pb2.Encoder, {"train_time": "train_seconds"}),
        (interleaf.Calibration, encoders_pb2.Calibration, {}),
        (interleaf.Evaluation, encoders_pb2.Evaluation, {}),
        (interleaf.LayerSweep, encoders_pb2.LayerSweep, {}),
        (interleaf.Repair, circuits_pb2.Repair, {}),
        (interleaf.Trajectory, circuits_pb2.Trajectory, {}),
        (interleaf.Injection, monitor_pb2.Injection, {"parent": "namespace"}),
        (interleaf.ServerStatus, monitor_pb2.Status, {}),
        (interleaf.Review, reviews_pb2.Review, {}),
    ],
)
def test_values_have_every_field_of_their_message(kind: type, message: Any, apart: dict[str, str]) -> None:
    fields = {apart.get(name, name) for name in message.DESCRIPTOR.fields_by_name}
    assert fields == {field.name for field in dataclasses.fields(kind)}


def test_unset_messages_and_unknown_words_of_a_newer_server() -> None:
    edit = _decode_edits.edit(edits_pb2.Edit(name="edits/e", state=99))  # type: ignore[arg-type]
    assert (edit.state, edit.settings, edit.apply_time, edit.applied) == ("unknown", {}, None, False)
    encoder = _decode_encoders.encoder(encoders_pb2.Encoder(train_time={"seconds": 90}))
    assert (encoder.train_seconds, encoder.calibration, encoder.state) == (90.0, None, "unknown")
    report = _decode_circuits.report(circuits_pb2.HallucinationReport(verdict="VERDICT_LATE_OVERRIDE"))
    assert (report.verdict, report.needed, report.repair) == (interleaf.Verdict.LATE_OVERRIDE, None, None)
    assert (report.overtaken, report.suspected, report.truth_trajectory) == (None, None, None)
    suspected = circuits_pb2.HallucinationReport(chance_wrong=0.9, threshold=0.5, overtaken=0)
    assert (_decode_circuits.report(suspected).suspected, _decode_circuits.report(suspected).overtaken) == (
        True,
        0,
    )
    assert hash(edit) == hash(_decode_edits.edit(edits_pb2.Edit(name="edits/e", state=99)))  # type: ignore[arg-type]
