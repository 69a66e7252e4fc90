"""Between messages and domain values: encoders and work on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from google.longrunning import operations_pb2
from google.protobuf import any_pb2, duration_pb2, empty_pb2

from interleaf.v1 import encoders_pb2
from kb_store.model import OperationRecord
from service.commands.encoding import Packing, Work
from service.convert.facts import namespace_name, operation_message, pack, stamp
from service.encoders.recipe_file import recipe_text
from service.encoders.shelf import EncoderState, Shelved

_STATES: Mapping[EncoderState, encoders_pb2.EncoderState] = {
    EncoderState.TRAINED: encoders_pb2.ENCODER_STATE_TRAINED,
    EncoderState.UNFINISHED: encoders_pb2.ENCODER_STATE_UNFINISHED,
    EncoderState.DAMAGED: encoders_pb2.ENCODER_STATE_DAMAGED,
}


def encoder_name(encoder_id: str) -> str:
    """The resource's name."""
    return f"encoders/{encoder_id}"


def encoder_message(found: Shelved) -> Any:
    """interleaf.v1.Encoder."""
    message = encoders_pb2.Encoder(
        name=encoder_name(found.encoder_id),
        state=_STATES[found.state],
        shipped=found.shipped,
        size_bytes=found.size_bytes,
        recipe=recipe_text(found.recipe) if found.recipe else "",
    )
    if not found.manifest:
        return message
    manifest = found.manifest
    message.digest = manifest["digest"]
    message.model, message.model_digest = manifest["model"], manifest["model_digest"]
    message.layers.extend(manifest["shape"]["layers"])
    message.steps = manifest["run"]["steps"]
    message.train_time.CopyFrom(_minutes(manifest["run"]["minutes"]))
    message.figures.update(manifest["figures"])
    if found.calibration is not None:
        message.calibration.CopyFrom(calibration_message(found.encoder_id, asdict(found.calibration)))
    return message


def calibration_message(encoder_id: str, values: Mapping[str, Any]) -> Any:
    """interleaf.v1.Calibration, of a calibration's fields."""
    return encoders_pb2.Calibration(
        encoder=encoder_name(encoder_id),
        digest=values["digest"],
        grounded_threshold=values["grounded_threshold"],
        prior_scale=values["prior_scale"],
        prior_offset=values["prior_offset"],
        top_k=values["top_k"],
        figures=values["figures"],
        namespace=namespace_name(values["namespace"]) if values["namespace"] else "",
        create_time=stamp(datetime.fromisoformat(values["created"])) if values["created"] else None,
    )


def work_message(work: Work) -> Any:
    """interleaf.v1.EncoderWorkMetadata."""
    progress = work.progress
    return encoders_pb2.EncoderWorkMetadata(
        encoder=encoder_name(work.encoder_id) if work.encoder_id else "",
        model=work.model,
        stage=progress.stage,
        share=progress.share,
        step=progress.step,
        steps=progress.steps,
        losses=progress.losses,
        start_time=stamp(work.start_time),
    )


def validated_message(record: OperationRecord) -> Any:
    """google.longrunning.Operation; for one that was only checked, done and without a name."""
    if record.operation_id:
        return operation_message(record)
    message = operations_pb2.Operation(done=True)
    message.metadata.ParseFromString(record.metadata)
    message.response.Pack(empty_pb2.Empty())
    return message


def _subject(metadata: bytes) -> tuple[str, str]:
    message = encoders_pb2.EncoderWorkMetadata()
    any_pb2.Any.FromString(metadata).Unpack(message)
    return message.encoder.removeprefix("encoders/"), message.model


def _evaluation(encoder_id: str, result: Mapping[str, Any]) -> Any:
    return encoders_pb2.Evaluation(encoder=encoder_name(encoder_id), **result)


def _sweep(result: Mapping[str, Any]) -> Any:
    layers = [encoders_pb2.LayerScore(**score) for score in result["layers"]]
    return encoders_pb2.LayerSweep(**{**result, "layers": layers})


def _minutes(minutes: float) -> duration_pb2.Duration:
    message = duration_pb2.Duration()
    message.FromMilliseconds(round(minutes * 60_000))
    return message


PACKING = Packing(
    work=lambda work: pack(work_message(work)),
    subject=_subject,
    encoder=lambda found: pack(encoder_message(found)),
    evaluation=lambda encoder_id, result: pack(_evaluation(encoder_id, result)),
    calibration=lambda encoder_id, values: pack(calibration_message(encoder_id, values)),
    sweep=lambda result: pack(_sweep(result)),
)
