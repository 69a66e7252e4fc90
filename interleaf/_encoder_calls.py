"""Calls of the Encoders service. The docstrings are those of `client.encoders`'s methods."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from google.longrunning import operations_pb2

from interleaf import _decode_encoders as decode
from interleaf._calls import Call, Paged, Started, new_request_id
from interleaf._encoder_types import Calibration, Encoder, Evaluation, LayerSweep
from interleaf._session import Session, namespace_name
from interleaf._work import unpacked
from interleaf.v1 import encoders_pb2

ENCODERS = "/interleaf.v1.Encoders/"
RESULTS = {
    encoders_pb2.Encoder: decode.encoder,
    encoders_pb2.Evaluation: decode.evaluation,
    encoders_pb2.Calibration: decode.calibration,
    encoders_pb2.LayerSweep: decode.sweep,
}
EncoderRef = str | Encoder
"""An encoder: its id, its full name, or the `Encoder` itself."""


def _name(encoder: EncoderRef) -> str:
    if isinstance(encoder, Encoder):
        return encoder.name
    return encoder if "/" in encoder else f"encoders/{encoder}"


def _call(rpc: str, request: Any) -> Call[Any]:
    return Call(ENCODERS + rpc, request, operations_pb2.Operation, lambda message: message)


def list_encoders(session: Session, *, page_size: int = 0) -> Paged[Encoder]:
    """Goes over the encoders that are shipped and those of the server's data folder, ordered by name.

    print([encoder.id for encoder in client.encoders.list()])
    """

    def page(token: str) -> Call[tuple[list[Encoder], str]]:
        request = encoders_pb2.ListEncodersRequest(page_size=page_size, page_token=token)

        def items(message: Any) -> tuple[list[Encoder], str]:
            return [decode.encoder(entry) for entry in message.encoders], message.next_page_token

        return Call(ENCODERS + "ListEncoders", request, encoders_pb2.ListEncodersResponse, items)

    return Paged(page)


def get(session: Session, encoder: EncoderRef) -> Call[Encoder]:
    """Returns an encoder: its model, recipe, figures and calibration.

    client.encoders.get("smollm2-135m-instruct").figures
    """
    request = encoders_pb2.GetEncoderRequest(name=_name(encoder))
    return Call(ENCODERS + "GetEncoder", request, encoders_pb2.Encoder, decode.encoder)


def train(
    session: Session,
    encoder_id: str,
    *,
    model: str = "",
    recipe: str = "",
    steps: int = 0,
    exclude_pairs: Iterable[tuple[str, str]] = (),
    request_id: str | None = None,
    validate_only: bool = False,
) -> Started[Encoder]:
    """Trains an encoder, for the served model unless `model` names another of the server's.

        work = client.encoders.train("mine", steps=2000)
        encoder = work.result(progress=lambda seen: print(seen.stage, f"{seen.share:.0%}"))

    One that was interrupted or cancelled goes on when it is named again. `recipe` is TOML, as
    `interleaf encoder recipe` prints it; pairs of subject and object in `exclude_pairs` are never trained on.
    """
    request = encoders_pb2.TrainEncoderRequest(
        encoder_id=encoder_id,
        model=model,
        recipe=recipe,
        steps=steps,
        exclude_pairs="".join(f"{subject}\t{spoken}\n" for subject, spoken in exclude_pairs),
        request_id=new_request_id(request_id),
        validate_only=validate_only,
    )
    return Started(_call("TrainEncoder", request), unpacked({encoders_pb2.Encoder: decode.encoder}))


def evaluate(
    session: Session,
    encoder: EncoderRef,
    *,
    problems: int = 0,
    seed: int = 0,
    request_id: str | None = None,
    validate_only: bool = False,
) -> Started[Evaluation]:
    """Measures an encoder on subjects, objects, phrasings and relations that training never shows.

    print(client.encoders.evaluate("mine").result().figures)
    """
    request = encoders_pb2.EvaluateEncoderRequest(
        name=_name(encoder),
        problems=problems,
        seed=seed,
        request_id=new_request_id(request_id),
        validate_only=validate_only,
    )
    return Started(_call("EvaluateEncoder", request), unpacked({encoders_pb2.Evaluation: decode.evaluation}))


def calibrate(
    session: Session,
    encoder: EncoderRef,
    *,
    namespace: str = "",
    questions: int = 0,
    seed: int = 0,
    request_id: str | None = None,
    validate_only: bool = False,
) -> Started[Calibration]:
    """Fits what a server decides with, and keeps it for the next start of a server with this encoder.

        client.encoders.calibrate("mine", namespace=client.namespace).result()

    The facts of `namespace` are asked for; without one, those of the held-out world.
    """
    request = encoders_pb2.CalibrateEncoderRequest(
        name=_name(encoder),
        namespace=namespace_name(namespace) if namespace else "",
        questions=questions,
        seed=seed,
        request_id=new_request_id(request_id),
        validate_only=validate_only,
    )
    return Started(
        _call("CalibrateEncoder", request), unpacked({encoders_pb2.Calibration: decode.calibration})
    )


def sweep_layers(
    session: Session,
    *,
    model: str = "",
    pairs: int = 0,
    seed: int = 0,
    request_id: str | None = None,
    validate_only: bool = False,
) -> Started[LayerSweep]:
    """Measures at which layers of a model a question can find its fact: no training, some minutes.

    print(client.encoders.sweep_layers().result().suggested)
    """
    request = encoders_pb2.SweepLayersRequest(
        model=model,
        pairs=pairs,
        seed=seed,
        request_id=new_request_id(request_id),
        validate_only=validate_only,
    )
    return Started(_call("SweepLayers", request), unpacked({encoders_pb2.LayerSweep: decode.sweep}))
