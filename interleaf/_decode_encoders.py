"""From protobuf messages to the values of `client.encoders`."""

from __future__ import annotations

from typing import Any

from interleaf import _encoder_types as t
from interleaf._decode import named, seconds, time_of
from interleaf.v1 import encoders_pb2


def encoder(message: Any) -> t.Encoder:
    """interleaf.v1.Encoder."""
    return t.Encoder(
        name=message.name,
        state=named(t.EncoderState, encoders_pb2.EncoderState, message.state),
        shipped=message.shipped,
        digest=message.digest,
        model=message.model,
        model_digest=message.model_digest,
        layers=tuple(message.layers),
        steps=message.steps,
        train_seconds=seconds(message.train_time),
        figures=dict(message.figures),
        calibration=calibration(message.calibration) if message.HasField("calibration") else None,
        size_bytes=message.size_bytes,
        recipe=message.recipe,
    )


def calibration(message: Any) -> t.Calibration:
    """interleaf.v1.Calibration."""
    return t.Calibration(
        encoder=message.encoder,
        digest=message.digest,
        grounded_threshold=message.grounded_threshold,
        prior_scale=message.prior_scale,
        prior_offset=message.prior_offset,
        top_k=message.top_k,
        figures=dict(message.figures),
        namespace=message.namespace.removeprefix("namespaces/"),
        create_time=time_of(message, "create_time"),
    )


def evaluation(message: Any) -> t.Evaluation:
    """interleaf.v1.Evaluation."""
    return t.Evaluation(message.encoder, message.digest, dict(message.figures), message.questions)


def sweep(message: Any) -> t.LayerSweep:
    """interleaf.v1.LayerSweep."""
    return t.LayerSweep(
        model=message.model,
        layers=tuple(
            t.LayerScore(each.layer, each.correlation, each.same_relation, each.same_subject, each.fitted)
            for each in message.layers
        ),
        suggested=tuple(message.suggested),
        same_relation_facts=message.same_relation_facts,
        same_subject_facts=message.same_subject_facts,
    )
