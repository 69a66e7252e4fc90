"""The Circuits service on a tiny random model with an untrained encoder: small, but every part is real."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.longrunning import operations_pb2

from interleaf.v1 import circuits_pb2 as pb
from interleaf.v1 import facts_pb2, inference_pb2
from tests.e2e.test_inference_service import ANNA, QUESTION, save_tiny
from tests.serving import PARENT, Running, refusal, running

PATIENCE = 280.0
LAYERS, HEADS = 4, 4
CHAT = inference_pb2.Chat(messages=[inference_pb2.ChatMessage(role="user", content=QUESTION)])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    engine = save_tiny(tmp_path_factory.mktemp("tiny"))
    sections: dict[str, Any] = {"engine": engine, "circuits": {"work": True}}
    with running(tmp_path_factory.mktemp("data"), retrieval={"revision_wait_seconds": 5}, **sections) as made:
        yield made


def probe(**more: Any) -> Any:
    chosen: dict[str, Any] = {
        "prompt": QUESTION,
        "subject": "Anna Keller",
        "object": "Werft",
        "alternatives": ["Hafen"],
        **more,
    }
    return pb.Probe(**chosen)


def check(server: Running, parent: str, **more: Any) -> Any:
    chosen = {"parent": parent, "answer": "Rhein", **more}
    if "chat" not in chosen:
        chosen.setdefault("prompt", QUESTION)
    return server.circuits.CheckHallucination(pb.CheckHallucinationRequest(**chosen))


def ended(server: Running, operation: Any, result: Any) -> Any:
    done = server.operations.WaitOperation(
        operations_pb2.WaitOperationRequest(name=operation.name, timeout={"seconds": int(PATIENCE)}),
        timeout=PATIENCE,
    )
    assert done.error.message == ""
    done.response.Unpack(result)
    return metadata_of(done), result


def metadata_of(operation: Any) -> Any:
    metadata = pb.CircuitWorkMetadata()
    operation.metadata.Unpack(metadata)
    return metadata


def said(server: Running) -> str:
    request = inference_pb2.GenerateRequest(
        parent=PARENT, prompt=QUESTION, sampling={"max_tokens": 6}, retrieval={"disabled": True}
    )
    return str(server.inference.Generate(request).text)


def is_picture(svg: str) -> bool:
    return ET.fromstring(svg).tag.endswith("svg")  # noqa: S314 - our own


def test_a_wrong_answer_is_checked_against_the_store(server: Running, parent: str) -> None:
    before = said(server)
    made = server.add(*ANNA, parent=parent)
    report = check(server, parent, retrieval={"min_revision": made.namespace_revision})
    assert (report.truth, report.truth_source, report.fact) == ("Werft", pb.TRUTH_SOURCE_STORE, made.name)
    assert report.subject == "Anna Keller"
    assert "".join(token.text for token in report.tokens if token.subject) == "Anna Keller"
    assert report.verdict not in (pb.VERDICT_UNSPECIFIED, pb.VERDICT_OK)
    assert len(report.answer_trajectory.log_probability) == 2 * LAYERS
    assert report.answer_trajectory.log_probability[-1] == pytest.approx(report.repair.answer_before)
    assert report.truth_trajectory.log_probability[-1] == pytest.approx(report.repair.truth_before)
    assert report.repair.repaired == (report.repair.truth_after > report.repair.answer_after)
    assert {reader.head.layer for reader in report.repair.readers} <= {1, 3}
    assert report.passes.forward == (5 if report.needed.nodes else 4)
    assert bool(report.needed.nodes) == (report.needed.gap > 0)
    strongest = [driver.towards_answer for driver in report.drivers]
    assert strongest == sorted(strongest, reverse=True)
    assert not report.HasField("chance_wrong")  # nobody calibrated a random model
    assert is_picture(report.svg)
    assert report.explanation
    assert said(server) == before


def test_the_truth_may_come_from_the_caller_or_from_nobody(server: Running, parent: str) -> None:
    report = check(server, parent, truth="Hafen", subject="Anna Keller", chat=CHAT)
    assert (report.truth, report.truth_source, report.fact) == ("Hafen", pb.TRUTH_SOURCE_CALLER, "")
    assert not report.HasField("repair")
    assert report.passes.forward == (3 if report.needed.nodes else 2)
    right = check(server, parent, truth="rhein")
    assert (right.verdict, right.passes.forward) == (pb.VERDICT_OK, 1)
    for answer, truth in (("17.2.20", "17.2.21"), ("St. Louis", "St. Paul"), ("Rhein", "Rhein Reederei")):
        wrong = check(server, parent, answer=answer, truth=truth)
        assert (wrong.answer, wrong.verdict == pb.VERDICT_OK) == (answer, False)
        assert wrong.drivers
    initials = check(server, parent, answer=" J. K. Rowling. ", truth="J. K. Rowling")
    assert (initials.answer, initials.verdict) == ("J. K. Rowling.", pb.VERDICT_OK)
    unknown = check(server, parent, answer="")
    assert (unknown.truth_source, unknown.verdict) == (pb.TRUTH_SOURCE_NONE, pb.VERDICT_OK)
    assert unknown.subject == "Anna Keller"  # the last name in the prompt
    assert unknown.answer
    nameless = refusal(lambda: check(server, parent, prompt="who was it?"))
    assert (nameless.code, nameless.fields) == ("INVALID_ARGUMENT", ("subject",))
    elsewhere = refusal(lambda: check(server, parent, subject="Eva"))
    assert (elsewhere.code, elsewhere.fields) == ("INVALID_ARGUMENT", ("subject",))


def test_answers_are_traced_through_the_layers(server: Running) -> None:
    trace = server.circuits.TraceAnswers(
        pb.TraceAnswersRequest(prompt=QUESTION, subject="anna keller", answers=["Werft", "Rhein"])
    )
    assert [len(each.rank) for each in trace.answers] == [2 * LAYERS] * 2
    assert len(trace.top) == 2 * LAYERS
    assert trace.passes == pb.Passes(forward=2)
    assert is_picture(trace.svg)


def test_heads_are_studied_with_the_cost_said_beforehand(server: Running) -> None:
    request = pb.StudyHeadsRequest(probe=probe(), request_id="6f1f0e0c-5b6a-4f0e-9c7e-0d8a4b1f2a3c")
    dry = server.circuits.StudyHeads(pb.StudyHeadsRequest(probe=probe(), validate_only=True))
    assert (dry.name, dry.done, metadata_of(dry).planned.forward) == ("", True, 3)
    metadata, study = ended(server, server.circuits.StudyHeads(request), pb.HeadStudy())
    assert (metadata.kind, metadata.share) == ("heads", 1.0)
    assert study.passes == metadata.planned == pb.Passes(forward=3)
    assert len(study.heads) == LAYERS * HEADS
    assert all(head.HasField("delta") and head.says for head in study.heads)
    assert is_picture(study.svg)
    assert server.circuits.StudyHeads(request).done  # the same operation
    _, direct = ended(
        server,
        server.circuits.StudyHeads(pb.StudyHeadsRequest(probe=probe(), direct_only=True)),
        pb.HeadStudy(),
    )
    assert direct.passes == pb.Passes(forward=1)
    assert not any(head.HasField("delta") for head in direct.heads)


def test_knockout_and_recall_come_with_their_curves(server: Running) -> None:
    metadata, study = ended(
        server,
        server.circuits.StudyKnockout(pb.StudyKnockoutRequest(probe=probe(), window=2)),
        pb.KnockoutStudy(),
    )
    assert study.passes == metadata.planned
    assert {curve.what for curve in study.edges} == {"subject", "relation", "last", "others"}
    assert {curve.what for curve in study.sublayers} == {"attention", "mlp"}
    assert all(len(curve.relative) == LAYERS for curve in (*study.edges, *study.sublayers))
    assert is_picture(study.edges_svg)
    assert is_picture(study.sublayers_svg)
    metadata, recall = ended(
        server,
        server.circuits.StudyRecall(
            pb.StudyRecallRequest(probe=probe(), heads=[pb.HeadName(layer=2, head=1)])
        ),
        pb.RecallStudy(),
    )
    assert recall.passes == metadata.planned == pb.Passes(forward=2, backward=1)
    assert len(recall.attributes_rate) == len(recall.mlp_extracts) == LAYERS
    assert [len(layer.scores) for layer in recall.gradient_input] == [len(QUESTION)] * (LAYERS + 1)
    assert [mapping.head for mapping in recall.mappings] == [pb.HeadName(layer=2, head=1)]
    assert is_picture(recall.svg)
    assert is_picture(recall.gradient_svg)


def test_injected_facts_are_explained_by_layer_head_and_token(server: Running, parent: str) -> None:
    none = refusal(
        lambda: server.circuits.ExplainFacts(pb.ExplainFactsRequest(parent=parent, prompt=QUESTION))
    )
    assert (none.code, none.reason) == ("FAILED_PRECONDITION", "NO_FACT_FITS")
    made = server.add(*ANNA, parent=parent)
    request = pb.ExplainFactsRequest(
        parent=parent, prompt=QUESTION, retrieval={"min_revision": made.namespace_revision}
    )
    metadata, found = ended(server, server.circuits.ExplainFacts(request), pb.FactExplanation())
    assert found.passes == metadata.planned
    assert (found.answer, [fact.fact for fact in found.facts]) == ("Werft", [made.name])
    assert len(found.facts[0].token_deltas) == len(" Werft") + 1
    assert found.facts[0].delta == pytest.approx(found.plain - found.with_facts, abs=1e-4)
    assert [layer.layer for layer in found.layers] == [1, 3]
    assert len(found.heads) == 2 * HEADS
    assert is_picture(found.svg)


def probes() -> list[Any]:
    return [probe(), probe(prompt="Eva Holm works for", subject="", object="Hafen", alternatives=[])]


def test_a_circuit_is_found_judged_and_drawn(server: Running) -> None:
    request = pb.DiscoverCircuitRequest(
        probes=probes(), held_out=probes()[:1], nodes=0.4, ablation=pb.ABLATION_RESAMPLE, others=["Who?"]
    )
    metadata, study = ended(server, server.circuits.DiscoverCircuit(request), pb.CircuitStudy())
    assert (metadata.kind, study.passes) == ("circuit", metadata.planned)
    assert study.all_nodes == 2 + LAYERS * (HEADS + 1)
    assert 0 < study.nodes <= 0.4 * study.all_nodes + 1
    assert len(study.kept_nodes) == study.nodes
    assert len(study.kept_edges) == study.edges <= study.all_edges
    assert {edge.source for edge in study.kept_edges} < {node.name for node in study.kept_nodes}
    strengths = [abs(edge.score) for edge in study.kept_edges]
    assert strengths == sorted(strengths, reverse=True)
    assert (study.ablation, study.judged, study.held_out) == (pb.ABLATION_RESAMPLE, 1, True)
    for behaviour in (study.model, study.circuit, study.rest, study.nothing, study.random):
        assert behaviour.log_probability < 0
        assert 0 <= behaviour.whole_hit10 <= behaviour.hit10 <= 1
    assert is_picture(study.svg)
    assert study.dot.startswith("digraph")
    assert "input" in study.dot
    too_short = pb.DiscoverCircuitRequest(probes=probes(), others=["x", "y"], validate_only=True)
    assert refusal(lambda: server.circuits.DiscoverCircuit(too_short)).fields == ("others",)
    simplest = pb.DiscoverCircuitRequest(probes=probes(), validate_only=True)
    assert metadata_of(server.circuits.DiscoverCircuit(simplest)).planned.backward > 0


def test_heads_are_located_beside_random_ones(server: Running) -> None:
    request = pb.LocateHeadsRequest(probes=probes(), per_layer=2)
    metadata, found = ended(server, server.circuits.LocateHeads(request), pb.LocatedHeads())
    assert (metadata.kind, found.passes) == ("located", metadata.planned)
    assert len(found.heads) == LAYERS * HEADS
    for layer in range(LAYERS):
        chosen = [head.loss for head in found.heads if head.head.layer == layer and head.chosen]
        rest = [head.loss for head in found.heads if head.head.layer == layer and not head.chosen]
        assert len(chosen) == found.per_layer == 2
        assert min(chosen) >= max(rest)
    assert found.located.loss > found.none.loss
    assert (found.judged, found.held_out) == (2, False)
    assert is_picture(found.svg)
    negative = pb.DiscoverCircuitRequest(probes=probes(), nodes=-0.1, validate_only=True)
    refused = refusal(lambda: server.circuits.DiscoverCircuit(negative))
    assert (refused.fields, "more than 0" in refused.message) == (("nodes",), True)
    too_many = pb.LocateHeadsRequest(probes=probes(), per_layer=9, validate_only=True)
    assert refusal(lambda: server.circuits.LocateHeads(too_many)).fields == ("per_layer",)


def test_heads_come_in_with_a_fact(server: Running, parent: str) -> None:
    nothing = pb.StudyEmergenceRequest(parent=parent, prompt=QUESTION)
    assert refusal(lambda: server.circuits.StudyEmergence(nothing)).reason == "NO_FACT_FITS"
    made = server.add(*ANNA, parent=parent)
    for question in ({"prompt": QUESTION}, {"chat": CHAT}):
        request = pb.StudyEmergenceRequest(
            parent=parent,
            threshold=0.001,
            retrieval={"min_revision": made.namespace_revision},
            **question,
        )
        metadata, found = ended(server, server.circuits.StudyEmergence(request), pb.EmergenceStudy())
        assert (metadata.kind, found.passes) == ("emergence", metadata.planned)
        assert (found.answer, found.fact, found.threshold) == ("Werft", made.name, 0.001)
        assert len({found.nowhere, found.in_prompt, found.injected}) == 3
        assert found.heads
        for head in found.heads:
            assert max(head.nowhere, head.in_prompt, head.injected) >= found.threshold
            assert head.enters_in_prompt == (head.in_prompt >= 0.001 > head.nowhere)
            assert head.enters_injected == (head.injected >= 0.001 > head.nowhere)
        assert is_picture(found.prompt_svg)
        assert is_picture(found.injected_svg)


def test_facts_are_tuned_into_a_copy_and_grafted_while_answers_stay(server: Running, parent: str) -> None:
    before = said(server)
    made = server.add(*ANNA, parent=parent)
    server.facts.DeleteFact(facts_pb2.DeleteFactRequest(name=made.name))
    empty = pb.StudyGraftingRequest(parent=parent)
    assert refusal(lambda: server.circuits.StudyGrafting(empty)).reason == "NO_FACT_FITS"
    server.add("Eva Holm", "employer", "Werft", parent=parent)
    server.add("Tom {relation} Berg", "employer", "Hafen", parent=parent)
    request = pb.StudyGraftingRequest(
        parent=parent,
        templates=["{subject} has the {relation}", "of {relation}: {subject} has"],
        epochs=3,
        learning_rate=0.01,
        components=True,
    )
    metadata, found = ended(server, server.circuits.StudyGrafting(request), pb.GraftingStudy())
    assert (metadata.kind, found.passes) == ("grafting", metadata.planned)
    assert (found.facts, found.cases, found.left_out) == (2, 4, 0)
    assert len(found.losses) == 3
    assert found.losses[-1] < found.losses[0]
    by_scheme = {outcome.scheme: outcome for outcome in found.outcomes}
    assert set(by_scheme) == {"pre", "sft", "fe", "lt", "fe_lt", "not_fe", "not_lt", "complement"}
    assert by_scheme["sft"].log_probability > by_scheme["pre"].log_probability
    assert len(found.components) == 13
    assert is_picture(found.svg)
    assert is_picture(found.components_svg)
    assert said(server) == before
    bare = pb.StudyGraftingRequest(parent=parent, templates=["the {relation}"])
    assert refusal(lambda: server.circuits.StudyGrafting(bare)).fields == ("templates[0]",)
    ending = pb.StudyGraftingRequest(parent=parent, templates=["{subject}"], validate_only=True)
    assert refusal(lambda: server.circuits.StudyGrafting(ending)).fields == ("templates",)


def test_a_cancelled_study_ends_and_the_next_one_runs(server: Running) -> None:
    operation = server.circuits.StudyKnockout(pb.StudyKnockoutRequest(probe=probe()))
    server.operations.CancelOperation(operations_pb2.CancelOperationRequest(name=operation.name))
    done = server.operations.WaitOperation(operations_pb2.WaitOperationRequest(name=operation.name))
    assert done.done
    assert done.error.code in (0, grpc.StatusCode.CANCELLED.value[0])  # it may have been quicker
    again = pb.StudyHeadsRequest(probe=probe(), direct_only=True)
    ended(server, server.circuits.StudyHeads(again), pb.HeadStudy())


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"subject": "Eva"}, "subject"),
        ({"subject": ""}, "probe.subject"),
        ({"object": ""}, "probe.object"),
        ({"relation": "boss"}, "relation"),
        ({"alternatives": ["a"] * 65}, "probe.alternatives"),
        ({"prompt": "x" * 40_000}, "prompt"),
    ],
)
def test_bad_probes_name_the_field(server: Running, changes: dict[str, Any], field: str) -> None:
    request = pb.StudyHeadsRequest(probe=probe(**changes), validate_only=True)
    refused = refusal(lambda: server.circuits.StudyHeads(request))
    assert (refused.code, refused.fields) == ("INVALID_ARGUMENT", (field,))


def test_heads_that_are_not_there_are_refused(server: Running) -> None:
    request = pb.StudyRecallRequest(probe=probe(), heads=[pb.HeadName(layer=9)], validate_only=True)
    assert refusal(lambda: server.circuits.StudyRecall(request)).fields == ("heads[0]",)


def test_without_work_nothing_is_studied_and_without_a_model_nothing_checked(tmp_path: Path) -> None:
    calls = {
        "StudyHeads": pb.StudyHeadsRequest(probe=probe()),
        "StudyKnockout": pb.StudyKnockoutRequest(probe=probe()),
        "StudyRecall": pb.StudyRecallRequest(probe=probe()),
        "ExplainFacts": pb.ExplainFactsRequest(parent=PARENT, prompt=QUESTION),
        "DiscoverCircuit": pb.DiscoverCircuitRequest(probes=[probe()]),
        "LocateHeads": pb.LocateHeadsRequest(probes=[probe()]),
        "StudyEmergence": pb.StudyEmergenceRequest(parent=PARENT, prompt=QUESTION),
        "StudyGrafting": pb.StudyGraftingRequest(parent=PARENT),
    }
    with running(tmp_path) as plain:
        for method, request in calls.items():
            refused = refusal(lambda m=method, r=request: getattr(plain.circuits, m)(r))
            assert (refused.code, refused.reason) == ("FAILED_PRECONDITION", "STUDIES_OFF"), method
        missing = refusal(lambda: check(plain, PARENT))
        assert (missing.code, missing.reason) == ("FAILED_PRECONDITION", "ENGINE_NOT_STUDIED")
