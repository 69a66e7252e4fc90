"""A namespace says how its relations are asked for: from the next question on other words for them are recognised."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from editors.kv.encoder import KVEncoder
from editors.kv.meaning import Meaning
from editors.kv.phrases import load as load_phrases
from editors.kv.storage import load_weights, save_encoder
from engines.embedder import SentenceEmbedder
from interleaf import Client, Weight
from interleaf.cli._app import build
from interleaf.v1 import inference_pb2 as pb
from interleaf.v1 import namespaces_pb2
from kb_store.model import RelationExamples
from kb_store.scoring import Candidate
from service.encoders.background import background
from service.serving.evidence import EvidenceReader
from service.serving.examples import asking
from service.serving.judging import JudgeVectors
from tests.e2e.test_inference_service import save_tiny
from tests.serving import Running, refusal, running

FACT = ("Anna Keller", "employer", "Werft")
QUESTION = "Whose wages does Anna Keller live on?"
SAID = ["{s} draws a salary from", "Who pays {s}?", "Every month {s} gets money from"]
RELATIONS = 60


@pytest.fixture(scope="module")
def meaning() -> Meaning:
    bank = load_phrases()
    few = replace(bank, relations=bank.relations_of("train")[:RELATIONS])
    return background(few, JudgeVectors(SentenceEmbedder.load(), {}, None))


def fit(meaning: Meaning, *said: RelationExamples) -> float:
    reader = EvidenceReader(SentenceEmbedder.load())
    candidate = Candidate(*FACT[:2])
    return reader.read([QUESTION], [candidate], meaning, asking=asking(said))[0][0].meaning


@pytest.fixture(scope="module")
def server(meaning: Meaning, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One whose threshold lies between how well the question fits without examples and with them."""
    folder: Path = tmp_path_factory.mktemp("described")
    engine = save_tiny(folder)
    plain, manifest = load_weights(folder / "encoder")
    shape = replace(
        plain.config,
        background_relations=len(meaning.relations),
        background_texts=len(meaning.texts),
        embedder_width=meaning.relations.shape[1],
    )
    encoder = KVEncoder(shape)
    encoder.load_state_dict(
        {**plain.state_dict(), **{f"meaning.{k}": v for k, v in meaning.state_dict().items()}}
    )
    encoder.prior.likely.fill_((fit(meaning) + fit(meaning, RelationExamples("employer", tuple(SAID)))) / 2)
    kept = {name: value for name, value in manifest.items() if name not in ("format", "digest", "shape")}
    save_encoder(encoder, folder / "encoder", kept)
    with running(
        folder / "data", embedder=None, engine=engine, retrieval={"revision_wait_seconds": 60}
    ) as made:
        yield made


def ask(server: Running, parent: str, revision: int) -> Any:
    return server.inference.Generate(
        pb.GenerateRequest(
            parent=parent, prompt=QUESTION, sampling={"max_tokens": 2}, retrieval={"min_revision": revision}
        )
    )


def test_what_was_said_counts_from_the_next_question_on(server: Running, parent: str) -> None:
    made = server.add(*FACT, parent=parent)
    other = server.add(*FACT)

    def say(*said: Any) -> None:
        server.namespaces.UpdateNamespace(
            namespaces_pb2.UpdateNamespaceRequest(
                namespace=namespaces_pb2.Namespace(name=parent, relation_examples=said),
                update_mask={"paths": ["relation_examples"]},
            )
        )

    assert list(ask(server, parent, made.namespace_revision).citations) == []
    say(namespaces_pb2.RelationExamples(relation="Employer", examples=SAID))
    assert [item.object for item in ask(server, parent, made.namespace_revision).citations] == ["Werft"]
    assert list(ask(server, "namespaces/default", other.namespace_revision).citations) == []
    say()
    assert list(ask(server, parent, made.namespace_revision).citations) == []


def test_why_a_fact_is_shown_or_not(server: Running, parent: str) -> None:
    namespace = parent.removeprefix("namespaces/")
    with Client(server.address, namespace=namespace) as client:
        client.add(*FACT)
        client.add("Bert Ahn", "employer", "Kontor")
        before = client.weigh(QUESTION)
        assert {item.object: item.weight for item in before.facts} == {
            "Werft": Weight.NOT_ASKED_FOR,
            "Kontor": Weight.SUBJECT_NOT_NAMED,
        }
        client.update_namespace(namespace, relation_examples={"employer": SAID})
        after = client.weigh(QUESTION)
        cited = [item.fact for item in client.ask(QUESTION, max_tokens=1).citations]
    shown = [item for item in after.facts if item.weight is Weight.SHOWN]
    assert [item.fact for item in shown] == cited == [after.facts[0].fact]
    (werft,) = (item for item in before.facts if item.object == "Werft")
    assert werft.fit < before.fit_needed == after.fit_needed <= shown[0].fit
    assert (shown[0].subject_cover, shown[0].relation) == (1.0, "employer")
    told = CliRunner().invoke(
        build(plugins=False),
        ["why", QUESTION],
        env={"INTERLEAF_SERVER": server.address, "INTERLEAF_NAMESPACE": namespace, "COLUMNS": "200"},
    )
    assert told.exit_code == 0, told.output
    assert "shown to the model" in told.stdout
    assert "not named in full" in told.stdout


@pytest.mark.parametrize("retrieval", [{"disabled": True}, {"facts": ["namespaces/default/facts/a"]}])
def test_only_what_retrieval_finds_is_weighed(server: Running, retrieval: Any) -> None:
    request = pb.WeighFactsRequest(parent="namespaces/default", prompt=QUESTION, retrieval=retrieval)
    refused = refusal(lambda: server.inference.WeighFacts(request))
    assert refused.code == "INVALID_ARGUMENT"


def test_what_is_stored_of_others_counts_as_what_may_be_asked_for(server: Running, parent: str) -> None:
    server.add(*FACT, parent=parent)
    examples = [namespaces_pb2.RelationExamples(relation="employer", examples=SAID)]
    made = server.namespaces.UpdateNamespace(
        namespaces_pb2.UpdateNamespaceRequest(
            namespace=namespaces_pb2.Namespace(name=parent, relation_examples=examples),
            update_mask={"paths": ["relation_examples"]},
        )
    )
    assert [item.object for item in ask(server, parent, made.revision).citations] == ["Werft"]
    other = server.add("Bert Ahn", "wages one lives on", "Kontor", parent=parent)
    assert list(ask(server, parent, other.namespace_revision).citations) == []


def test_examples_raise_what_they_speak_of(meaning: Meaning) -> None:
    described = RelationExamples("employer", tuple(SAID))
    assert fit(meaning, described) > fit(meaning)
    assert fit(meaning, replace(described, relation="favourite dish")) == fit(meaning)


def test_an_example_is_read_as_questions_are() -> None:
    said = asking(
        (RelationExamples("worksFor", ("{s}'s boss is", "Who pays {s}?", "Who pays {s}?", "wages")),)
    )
    assert said == {"works for": ("its boss is", "Who pays it?", "wages")}
