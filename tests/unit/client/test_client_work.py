"""Handles of long work, against a scripted server: how it stands, its end, and what went wrong."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from google.longrunning import operations_pb2
from google.protobuf import any_pb2, empty_pb2, timestamp_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2

import interleaf
from interleaf import AsyncClient, Client, Progress
from interleaf._encoder_calls import ENCODERS
from interleaf._namespace_calls import OPERATIONS
from interleaf.v1 import circuits_pb2, edits_pb2, encoders_pb2
from tests.unit.client.test_client_transport import DOWN, RETRY, Script, script, target

__all__ = ["script", "target"]
NAME = "operations/train-x"


def packed(message: Any) -> Any:
    found = any_pb2.Any()
    found.Pack(message)
    return found


def operation(stage: str = "", share: float = 0.0, **more: Any) -> Any:
    metadata = encoders_pb2.EncoderWorkMetadata(
        encoder="encoders/mine",
        stage=stage,
        share=share,
        step=7,
        losses={"said": 0.5},
        start_time=timestamp_pb2.Timestamp(seconds=1_700_000_000),
    )
    return operations_pb2.Operation(name=NAME, metadata=packed(metadata), **more)


DONE = operation(
    "training", 1.0, done=True, response=packed(encoders_pb2.Encoder(name="encoders/mine", steps=9))
)
FAILED = operation(
    done=True,
    error=status_pb2.Status(
        code=code_pb2.FAILED_PRECONDITION,
        message="no model at /x",
        details=[packed(error_details_pb2.ErrorInfo(reason="MODEL_MISSING"))],
    ),
)
CANCELLED = operation(done=True, error=status_pb2.Status(code=code_pb2.CANCELLED, message="it was cancelled"))


class Working:
    """One of the clients, called the same way: a coroutine is run to its end."""

    def __init__(self, waits: bool, target: str) -> None:
        self._loop = asyncio.new_event_loop() if waits else None
        self.client: Any = Client(target, retry=RETRY) if self._loop is None else self(self._made(target))

    async def _made(self, target: str) -> AsyncClient:
        return AsyncClient(target, retry=RETRY)

    def __call__(self, result: Any) -> Any:
        return result if self._loop is None else self._loop.run_until_complete(result)

    def close(self) -> None:
        self(self.client.close())
        if self._loop is not None:
            self._loop.close()


@pytest.fixture(params=[False, True], ids=["Client", "AsyncClient"])
def run(request: pytest.FixtureRequest, target: str) -> Any:
    made = Working(request.param, target)
    yield made
    made.close()


def test_the_result_is_waited_for_with_progress(script: Script, run: Working) -> None:
    script.answers[ENCODERS + "TrainEncoder"] = [DOWN, operation("loading")]
    script.answers[OPERATIONS + "GetOperation"] = [operation("training", 0.5), DOWN, DONE]
    work = run(run.client.encoders.train("mine", exclude_pairs=[("Anna", "Werft"), ("Bo", "Hafen")]))
    first, second = map(encoders_pb2.TrainEncoderRequest.FromString, script.seen[ENCODERS + "TrainEncoder"])
    assert first == second
    assert first.request_id
    assert first.exclude_pairs == "Anna\tWerft\nBo\tHafen\n"
    assert (work.name, work.done, work.metadata.stage) == (NAME, False, "loading")
    assert work.metadata.details == {"encoder": "encoders/mine", "step": 7, "losses": {"said": 0.5}}
    assert work.metadata.start_time.year == 2023
    seen: list[Progress] = []
    encoder = run(work.result(timeout=60, progress=seen.append))
    assert (encoder.id, encoder.steps, encoder.calibration) == ("mine", 9, None)
    assert [(each.stage, each.share) for each in seen] == [("training", 0.5), ("training", 1.0)]
    assert run(work.result()) == encoder, "nothing more is asked"
    assert "done" in repr(work)


@pytest.mark.parametrize(
    ("end", "error", "reason"),
    [(FAILED, interleaf.FailedPrecondition, "MODEL_MISSING"), (CANCELLED, interleaf.Cancelled, "")],
)
def test_what_it_ended_with_is_raised(
    script: Script, run: Working, end: Any, error: type[interleaf.InterleafError], reason: str
) -> None:
    script.answers[ENCODERS + "EvaluateEncoder"] = [operation("loading")]
    script.answers[OPERATIONS + "CancelOperation"] = [empty_pb2.Empty()]
    script.answers[OPERATIONS + "GetOperation"] = [end]
    work = run(run.client.encoders.evaluate("mine"))
    run(work.cancel())
    sent = operations_pb2.CancelOperationRequest.FromString(script.seen[OPERATIONS + "CancelOperation"][0])
    assert sent.name == NAME
    for _ in range(2):
        with pytest.raises(error) as raised:
            run(work.result())
        assert raised.value.reason == reason


def test_time_runs_out_and_the_work_goes_on(script: Script, run: Working) -> None:
    script.answers[ENCODERS + "SweepLayers"] = [operation("loading")]
    script.answers[OPERATIONS + "GetOperation"] = [operation("fitting", 0.3)] * 50
    work = run(run.client.encoders.sweep_layers())
    with pytest.raises(interleaf.DeadlineExceeded, match=NAME):
        run(work.result(timeout=0.1))
    assert (work.metadata.stage, work.metadata.share) == ("fitting", 0.3)
    assert OPERATIONS + "CancelOperation" not in script.seen
    assert run(work.refresh()) is work


def test_by_name_from_anywhere(script: Script, run: Working) -> None:
    script.answers[OPERATIONS + "GetOperation"] = [operation("training"), DONE, DONE, FAILED]
    seen: list[Progress] = []
    found = run(run.client.encoders.wait(NAME, progress=seen.append))
    assert (found.id, len(seen)) == ("mine", 2)
    with pytest.raises(ValueError, match=r"no interleaf\.v1\.Edit or .* but interleaf\.v1\.Encoder"):
        run(run.client.edits.wait("train-x"))
    asked = script.seen[OPERATIONS + "GetOperation"]
    assert {operations_pb2.GetOperationRequest.FromString(each).name for each in asked} == {NAME}
    with pytest.raises(interleaf.FailedPrecondition):
        run(run.client.circuits.wait(NAME))


def test_operations_tell_what_they_do(script: Script, run: Working) -> None:
    edit = edits_pb2.EditWorkMetadata(edit="edits/e", kind="create", methods=["memit"], share=0.5)
    study = circuits_pb2.CircuitWorkMetadata(kind="heads", planned=circuits_pb2.Passes(forward=3))
    script.answers[OPERATIONS + "GetOperation"] = [
        operations_pb2.Operation(name=NAME, metadata=packed(metadata))
        for metadata in (edit, study, encoders_pb2.Encoder())
    ]
    seen = [run(run.client.operation(NAME)).metadata for _ in range(3)]
    assert seen[0] == {"edit": "edits/e", "kind": "create", "methods": ["memit"], "share": 0.5}
    assert seen[1:] == [{"kind": "heads", "planned": {"forward": 3}}, {}]
