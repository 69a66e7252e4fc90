"""Calls of the Circuits service about one question. The docstrings are those of `client.circuits`'s methods."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from google.longrunning import operations_pb2

from interleaf import _decode_circuits as decode
from interleaf._calls import Call, Started, new_request_id, several
from interleaf._circuit_types import AnswerTrace, HallucinationReport, Probe, Study
from interleaf._inference_calls import Prompt, input_of, retrieval_of
from interleaf._session import FactRef, Session
from interleaf._work import unpacked
from interleaf.v1 import circuits_pb2

CIRCUITS = "/interleaf.v1.Circuits/"
STUDIES = {
    "StudyHeads": circuits_pb2.HeadStudy,
    "StudyKnockout": circuits_pb2.KnockoutStudy,
    "StudyRecall": circuits_pb2.RecallStudy,
    "ExplainFacts": circuits_pb2.FactExplanation,
    "DiscoverCircuit": circuits_pb2.CircuitStudy,
    "LocateHeads": circuits_pb2.LocatedHeads,
    "StudyEmergence": circuits_pb2.EmergenceStudy,
    "StudyGrafting": circuits_pb2.GraftingStudy,
}
RESULTS = dict.fromkeys(STUDIES.values(), decode.study)


def probe_message(probe: Probe) -> Any:
    """interleaf.v1.Probe."""
    return circuits_pb2.Probe(
        subject=probe.subject,
        object=probe.object,
        relation=probe.relation,
        alternatives=probe.alternatives,
        **input_of(probe.prompt, probe.complete),
    )


def study_call(rpc: str, request: Any) -> Started[Study]:
    """Begins a study."""
    call: Call[Any] = Call(CIRCUITS + rpc, request, operations_pb2.Operation, lambda message: message)
    return Started(call, unpacked({STUDIES[rpc]: decode.study}))


def check(
    session: Session,
    prompt: Prompt,
    answer: str = "",
    *,
    truth: str = "",
    subject: str = "",
    complete: bool = False,
    top_k: int = 0,
    facts: Iterable[FactRef] = (),
    use_facts: bool = True,
) -> Call[HallucinationReport]:
    """Whether an answer was made up, how, and what a right one would have needed. At most five passes.

        report = client.circuits.check("Who does Anna Keller work for?", "Rhein Reederei")
        print(report.verdict, report.explanation)
        report.picture.save("why.svg")

    Without `answer` the model's own, without facts, is checked; without `truth` the object of the stored fact that
    fits best is the right one. `prompt` and `complete` are those of `client.ask`.
    """
    request = circuits_pb2.CheckHallucinationRequest(
        parent=session.parent,
        answer=answer,
        truth=truth,
        subject=subject,
        retrieval=retrieval_of(session, top_k, use_facts, facts),
        **input_of(prompt, complete),
    )
    return Call(
        CIRCUITS + "CheckHallucination",
        request,
        circuits_pb2.HallucinationReport,
        decode.report,
        kind="generate",
    )


def trace(
    session: Session, prompt: Prompt, answers: Sequence[str], *, subject: str = "", complete: bool = False
) -> Call[AnswerTrace]:
    """What the model would answer at every depth (the logit lens), and how these answers stand there.

    client.circuits.trace("Anna Keller works for", ["Werft", "Rhein"], complete=True).picture.save("trace.svg")
    """
    if isinstance(answers, str):
        raise ValueError("trace: give a list of answers, such as ['Paris', 'Rome']")
    request = circuits_pb2.TraceAnswersRequest(subject=subject, answers=answers, **input_of(prompt, complete))
    return Call(CIRCUITS + "TraceAnswers", request, circuits_pb2.AnswerTrace, decode.trace, kind="generate")


def study_heads(
    session: Session,
    probe: Probe,
    *,
    direct_only: bool = False,
    request_id: str | None = None,
    validate_only: bool = False,
) -> Started[Study]:
    """What every head does for an answer: mover, relation or mixture heads. The data is a HeadStudy.

        probe = Probe("Anna Keller works for", "Anna Keller", "Nordlicht Werft", complete=True)
        client.circuits.study_heads(probe).result().picture.save("heads.svg")

    `direct_only` leaves the ablations out, and with them most of the passes.
    """
    request = circuits_pb2.StudyHeadsRequest(
        probe=probe_message(probe),
        direct_only=direct_only,
        request_id=new_request_id(request_id),
        validate_only=validate_only,
    )
    return study_call("StudyHeads", request)


def study_knockout(
    session: Session,
    probe: Probe,
    *,
    window: int = 0,
    request_id: str | None = None,
    validate_only: bool = False,
) -> Started[Study]:
    """What blocking attention edges, and silencing sub-layers, in windows of layers does: a KnockoutStudy.

    client.circuits.study_knockout(probe, window=5).result().save("knockout")
    """
    request = circuits_pb2.StudyKnockoutRequest(
        probe=probe_message(probe),
        window=window,
        request_id=new_request_id(request_id),
        validate_only=validate_only,
    )
    return study_call("StudyKnockout", request)


def study_recall(
    session: Session,
    probe: Probe,
    *,
    attributes: Sequence[str] = (),
    heads: Iterable[tuple[int, int]] = (),
    request_id: str | None = None,
    validate_only: bool = False,
) -> Started[Study]:
    """How the answer is recalled from the subject's representation: a RecallStudy.

        client.circuits.study_recall(probe, attributes=["Werft", "Kiel"], heads=[(20, 3)]).result()

    `attributes` are true of the subject; `heads` are pairs of layer and head whose circuits are read.
    """
    request = circuits_pb2.StudyRecallRequest(
        probe=probe_message(probe),
        attributes=several("attributes", attributes),
        heads=[circuits_pb2.HeadName(layer=layer, head=head) for layer, head in heads],
        request_id=new_request_id(request_id),
        validate_only=validate_only,
    )
    return study_call("StudyRecall", request)


def explain_facts(
    session: Session,
    prompt: Prompt,
    *,
    subject: str = "",
    answer: str = "",
    complete: bool = False,
    top_k: int = 0,
    facts: Iterable[FactRef] = (),
    request_id: str | None = None,
    validate_only: bool = False,
) -> Started[Study]:
    """Which layers, heads and tokens read the injected facts, and what is without them: a FactExplanation.

        client.circuits.explain_facts("Who does Anna Keller work for?").result().picture.save("facts.svg")

    Without `answer` it is the object of the fact that fits best.
    """
    request = circuits_pb2.ExplainFactsRequest(
        parent=session.parent,
        subject=subject,
        answer=answer,
        retrieval=retrieval_of(session, top_k, True, facts),
        request_id=new_request_id(request_id),
        validate_only=validate_only,
        **input_of(prompt, complete),
    )
    return study_call("ExplainFacts", request)


def study_emergence(
    session: Session,
    prompt: Prompt,
    *,
    answer: str = "",
    threshold: float = 0.0,
    complete: bool = False,
    top_k: int = 0,
    facts: Iterable[FactRef] = (),
    request_id: str | None = None,
    validate_only: bool = False,
) -> Started[Study]:
    """Which heads come in when a fact stands in the prompt, or is injected: an EmergenceStudy.

        client.circuits.study_emergence("Who does Anna Keller work for?").result().save("emergence")

    `threshold` is what a head must be worth to belong to the answer, in log-probability; 0 means the server's.
    """
    request = circuits_pb2.StudyEmergenceRequest(
        parent=session.parent,
        answer=answer,
        retrieval=retrieval_of(session, top_k, True, facts),
        threshold=threshold,
        request_id=new_request_id(request_id),
        validate_only=validate_only,
        **input_of(prompt, complete),
    )
    return study_call("StudyEmergence", request)
