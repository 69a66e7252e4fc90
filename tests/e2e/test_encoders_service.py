"""The Encoders service: reading, refusing, and work in a process of its own from its start to its end."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.longrunning import operations_pb2

from interleaf.v1 import encoders_pb2 as pb
from tests.serving import Running, refusal, running
from tests.tiny import RECIPE, tiny_folder

SHIPPED = "encoders/smollm2-135m-instruct"
REQUEST_ID = "6f1f0e0c-5b6a-4f0e-9c7e-0d8a4b1f2a3c"
PATIENCE = 280.0
# Steps without end, so that a test can stop it.
ENDLESS = RECIPE.replace("steps = 2", "steps = 100000")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_folder(tmp_path_factory.mktemp("models") / "tiny"))


@pytest.fixture(scope="module")
def working(tmp_path_factory: pytest.TempPathFactory, model: str) -> Iterator[Running]:
    """A server that does work on encoders."""
    with running(tmp_path_factory.mktemp("working"), encoders={"work": True, "models": [model]}) as made:
        yield made


def metadata(operation: Any) -> Any:
    found = pb.EncoderWorkMetadata()
    operation.metadata.Unpack(found)
    return found


def train(encoder_id: str, model: str, recipe: str = RECIPE, **more: Any) -> Any:
    return pb.TrainEncoderRequest(encoder_id=encoder_id, model=model, recipe=recipe, **more)


def ended(server: Running, operation: Any) -> Any:
    return server.operations.WaitOperation(
        operations_pb2.WaitOperationRequest(name=operation.name, timeout={"seconds": int(PATIENCE)}),
        timeout=PATIENCE,
    )


def until_training(server: Running, operation: Any) -> Any:
    """Its metadata once a step was made."""
    for _ in range(int(PATIENCE * 10)):
        found = server.operations.GetOperation(operations_pb2.GetOperationRequest(name=operation.name))
        if found.done:
            raise AssertionError(f"ended before it trained: {found.error}")
        if metadata(found).stage == "training":
            return metadata(found)
        time.sleep(0.1)
    raise AssertionError("never trained")


def workers() -> set[int]:
    """Processes of this one that do work on encoders."""
    found = set()
    for folder in Path("/proc").iterdir():
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue
        if parent == os.getpid() and b"service.encoders.worker" in words:
            found.add(int(folder.name))
    return found


def test_shipped_encoders_are_listed_by_every_server(server: Running) -> None:
    page = server.encoders.ListEncoders(pb.ListEncodersRequest())
    assert [(item.name, item.shipped) for item in page.encoders] == [(SHIPPED, True)]
    found = server.encoders.GetEncoder(pb.GetEncoderRequest(name=SHIPPED))
    assert found.state == pb.ENCODER_STATE_TRAINED
    assert found.figures["right_seen"] > 0.5
    assert found.layers
    assert "[train]" in found.recipe
    missing = refusal(lambda: server.encoders.GetEncoder(pb.GetEncoderRequest(name="encoders/none")))
    assert (missing.code, missing.reason) == ("NOT_FOUND", "NOT_FOUND")


def test_work_is_off_unless_it_is_switched_on(server: Running) -> None:
    calls = {
        "TrainEncoder": pb.TrainEncoderRequest(encoder_id="x"),
        "EvaluateEncoder": pb.EvaluateEncoderRequest(name=SHIPPED),
        "CalibrateEncoder": pb.CalibrateEncoderRequest(name=SHIPPED),
        "SweepLayers": pb.SweepLayersRequest(),
    }
    for method, request in calls.items():
        refused = refusal(lambda m=method, r=request: getattr(server.encoders, m)(r))
        assert (refused.code, refused.reason) == ("FAILED_PRECONDITION", "ENCODER_WORK_OFF"), method


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"encoder_id": "Not An Id"}, "encoder_id"),
        ({"recipe": "[train]\nspeed = 1"}, "recipe"),
        ({"recipe": "model = '/etc'"}, "recipe"),
        ({"model": "/etc"}, "model"),
        ({"steps": -1}, "steps"),
        ({"exclude_pairs": "a\0b"}, "exclude_pairs"),
        ({"exclude_pairs": "no tab here"}, "exclude_pairs"),
        ({"request_id": "x"}, "request_id"),
    ],
)
def test_bad_requests_name_the_field(working: Running, changes: dict[str, Any], field: str) -> None:
    request = pb.TrainEncoderRequest(**{"encoder_id": "fine", **changes})
    refused = refusal(lambda: working.encoders.TrainEncoder(request))
    assert (refused.code, refused.fields) == ("INVALID_ARGUMENT", (field,))


@pytest.mark.parametrize("named", ["nobody", "/etc"])
def test_maps_come_from_an_encoder_on_the_shelf(working: Running, named: str) -> None:
    request = pb.TrainEncoderRequest(encoder_id="fine", recipe=f'maps_from = "{named}"', validate_only=True)
    assert refusal(lambda: working.encoders.TrainEncoder(request)).reason == "NOT_FOUND"


def test_a_dry_run_does_nothing(working: Running, model: str) -> None:
    operation = working.encoders.TrainEncoder(train("dry", model, validate_only=True))
    assert (operation.name, operation.done) == ("", True)
    assert metadata(operation).encoder == "encoders/dry"
    assert workers() == set()
    calls = {
        "GetEncoder": pb.GetEncoderRequest(name="encoders/dry"),
        "EvaluateEncoder": pb.EvaluateEncoderRequest(name="encoders/dry", validate_only=True),
    }
    for method, request in calls.items():
        refused = refusal(lambda m=method, r=request: getattr(working.encoders, m)(r))
        assert refused.code == "NOT_FOUND"
    empty = pb.CalibrateEncoderRequest(name=SHIPPED, namespace="namespaces/default", validate_only=True)
    assert "no facts" in refusal(lambda: working.encoders.CalibrateEncoder(empty)).message
    sweep = working.encoders.SweepLayers(pb.SweepLayersRequest(model=model, validate_only=True))
    assert metadata(sweep).model == model


def test_a_cancelled_training_is_gone_and_goes_on_when_it_is_named_again(
    working: Running, model: str
) -> None:
    operation = working.encoders.TrainEncoder(train("again", model, ENDLESS, request_id=REQUEST_ID))
    assert operation.name == f"operations/train-{REQUEST_ID}"
    seen = until_training(working, operation)
    assert seen.steps == 100000
    assert seen.losses["said"] > 0
    same = working.encoders.TrainEncoder(train("again", model, ENDLESS, request_id=REQUEST_ID))
    assert same.name == operation.name
    reused = refusal(lambda: working.encoders.TrainEncoder(train("other", model, request_id=REQUEST_ID)))
    assert reused.reason == "REQUEST_ID_REUSED"
    busy = refusal(lambda: working.encoders.TrainEncoder(train("other", model)))
    assert (busy.code, busy.reason) == ("RESOURCE_EXHAUSTED", "TOO_BUSY")
    assert len(workers()) == 1
    assert working.add("answers", "go", "on").uid

    working.operations.CancelOperation(operations_pb2.CancelOperationRequest(name=operation.name))
    assert workers() == set()
    assert ended(working, operation).error.code == grpc.StatusCode.CANCELLED.value[0]
    found = working.encoders.GetEncoder(pb.GetEncoderRequest(name="encoders/again"))
    assert found.state == pb.ENCODER_STATE_UNFINISHED

    steps = seen.step + 1
    other = refusal(lambda: working.encoders.TrainEncoder(train("again", model, "[train]\nseed = 9")))
    assert "begun with another recipe" in other.message
    more = train("again", model, ENDLESS, steps=steps, exclude_pairs="Mali\tBamako\n")
    other = refusal(lambda: working.encoders.TrainEncoder(more))
    assert (other.code, "another list of pairs" in other.message) == ("FAILED_PRECONDITION", True)
    done = ended(working, working.encoders.TrainEncoder(train("again", model, ENDLESS, steps=steps)))
    assert done.error.message == ""
    trained = pb.Encoder()
    done.response.Unpack(trained)
    assert (trained.name, trained.state) == ("encoders/again", pb.ENCODER_STATE_TRAINED)
    assert trained.steps >= steps
    assert "right_seen" in trained.figures
    page = working.encoders.ListEncoders(pb.ListEncodersRequest(page_size=1))
    assert [item.name for item in page.encoders] == ["encoders/again"]
    rest = working.encoders.ListEncoders(pb.ListEncodersRequest(page_token=page.next_page_token))
    assert [item.name for item in rest.encoders] == [SHIPPED]


@pytest.mark.parametrize(
    ("missing", "code", "said"),
    [
        ("config.json", grpc.StatusCode.FAILED_PRECONDITION, "no model at"),
        ("model.safetensors", grpc.StatusCode.INTERNAL, "its log says why"),
    ],
)
def test_what_the_process_refuses_or_dies_of(
    working: Running, model: str, missing: str, code: grpc.StatusCode, said: str
) -> None:
    file = Path(model) / missing
    aside = file.rename(file.with_name("aside"))
    try:
        done = ended(working, working.encoders.TrainEncoder(train("headless", model)))
    finally:
        aside.rename(file)
    assert (done.error.code, workers()) == (code.value[0], set())
    assert said in done.error.message


def test_a_server_that_stops_takes_its_work_along(tmp_path: Path, model: str) -> None:
    with running(tmp_path, encoders={"work": True, "models": [model]}) as server:
        operation = server.encoders.TrainEncoder(train("orphan", model, ENDLESS))
        for _ in range(300):
            if workers():
                break
            time.sleep(0.1)
        assert len(workers()) == 1
    assert workers() == set()
    with running(tmp_path) as server:
        found = server.operations.GetOperation(operations_pb2.GetOperationRequest(name=operation.name))
        assert found.error.code == grpc.StatusCode.ABORTED.value[0]
