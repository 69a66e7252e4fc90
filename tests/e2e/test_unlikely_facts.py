"""Facts that a question does not ask for are not shown to the model, unless the caller names them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from editors.kv.contract import Evidence
from editors.kv.prior import MIN_SUBJECT_COVER
from editors.kv.storage import load_weights, save_encoder
from editors.kv.trained import TrainedEncoder
from interleaf.v1 import inference_pb2 as pb
from tests.e2e.test_inference_service import ANNA, QUESTION, save_tiny
from tests.serving import Running, running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder: Path = tmp_path_factory.mktemp("choosy")
    engine = save_tiny(folder)
    encoder, manifest = load_weights(folder / "encoder")
    encoder.prior.likely.fill_(0.5)  # this one has no background: it takes no relation for likelier than 0
    kept = {name: value for name, value in manifest.items() if name not in ("format", "digest", "shape")}
    save_encoder(encoder, folder / "encoder", kept)
    with running(folder / "data", engine=engine, retrieval={"revision_wait_seconds": 5}) as made:
        yield made


def _ask(server: Running, parent: str, messages: list[dict[str, str]], **retrieval: Any) -> Any:
    request = pb.GenerateRequest(
        parent=parent, chat={"messages": messages}, sampling={"max_tokens": 6}, retrieval=retrieval
    )
    return server.inference.Generate(request)


def test_an_answer_that_no_fact_belongs_in_is_the_plain_models(server: Running, parent: str) -> None:
    made = server.add(*ANNA, parent=parent)
    question = [{"role": "user", "content": QUESTION}]
    answer = _ask(server, parent, question, min_revision=made.namespace_revision)
    plain = _ask(server, parent, question, disabled=True)
    assert (answer.grounding, answer.injected_tokens) == (pb.GROUNDING_NO_FACTS, 0)
    assert answer.text == plain.text
    chosen = _ask(server, parent, question, facts=[made.name])
    assert [citation.fact for citation in chosen.citations] == [made.name]


def test_a_question_that_names_a_subject_is_not_looked_up_in_what_was_said_before(
    server: Running, parent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anna's only fact is unlikely: Tom's, of the turn before, is no answer to a question about her."""

    def only_in_company(
        encoder: TrainedEncoder, evidence: Sequence[Evidence], wanted: bool = False
    ) -> list[float | None]:
        named = [item.subject_cover >= MIN_SUBJECT_COVER for item in evidence]
        return [0.0 if each and sum(named) > 1 else None for each in named]

    monkeypatch.setattr(TrainedEncoder, "biases", only_in_company)
    server.add("Tom Berg", "employer", "Hafenwerk", parent=parent)
    made = server.add(*ANNA, parent=parent)
    before = [{"role": "user", "content": "Who is Tom Berg?"}, {"role": "assistant", "content": "A man."}]
    there = {"min_revision": made.namespace_revision}
    asked = _ask(server, parent, [*before, {"role": "user", "content": QUESTION}], **there)
    assert asked.grounding == pb.GROUNDING_NO_FACTS
    nobody = _ask(server, parent, [*before, {"role": "user", "content": f"And then? {ANNA[1]}"}], **there)
    assert nobody.grounding == pb.GROUNDING_NO_FACTS  # looked back: one fact again, of Tom
    both = [{"role": "user", "content": "Tom Berg and Anna Keller?"}, before[1]]
    back = _ask(server, parent, [*both, {"role": "user", "content": "Who is the employer?"}], **there)
    assert {citation.subject for citation in back.citations} == {"Tom Berg", "Anna Keller"}
