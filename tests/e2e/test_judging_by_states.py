"""A served encoder whose judge reads the model's states: on the engine's own thread, as it was read in training."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from editors.kv import trained
from editors.kv.contract import Evidence
from editors.kv.encoder import KVEncoder
from editors.kv.phrases import load as load_phrases
from editors.kv.states import StateMaps, bind_to_model, read_states, state_layers
from editors.kv.storage import load_weights, save_encoder
from editors.kv.trained import TrainedEncoder
from engines.models import load_model
from interleaf.v1 import inference_pb2 as pb
from kb_store.scoring import Candidate
from service.encoders.background import background
from service.serving.evidence import EvidenceReader
from service.serving.judging import JudgeVectors
from tests.e2e.test_inference_service import ANNA, save_tiny
from tests.serving import WORDS, Running, running

RELATIONS = 40
QUESTIONS = [f"{start} Anna Keller?" for start in ("Who pays", "Where works", "What is said of", "Who knows")]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A tiny model, and an encoder with maps of its states and a background judged by them."""
    folder: Path = tmp_path_factory.mktemp("reading")
    settings = save_tiny(folder)
    model, tokenizer = load_model(Path(settings["model"]), dtype=torch.float32)
    maps = StateMaps(model.config.hidden_size, state_layers(model), 8)
    generator = torch.Generator().manual_seed(2)
    for tensor in maps.buffers():
        tensor.copy_(torch.randn(tensor.shape, generator=generator).half())
    bind_to_model(maps, model, tokenizer)
    bank = load_phrases()
    few = replace(bank, relations=bank.relations_of("train")[:RELATIONS])
    meaning = background(few, JudgeVectors(WORDS, {}, maps))
    plain, manifest = load_weights(folder / "encoder")
    encoder = KVEncoder(
        replace(
            plain.config,
            background_relations=len(meaning.relations),
            background_texts=len(meaning.texts),
            embedder_width=meaning.relations.shape[1],
            state_layers=maps.layers,
            state_width=8,
        )
    )
    tensors = {f"meaning.{name}": value for name, value in meaning.state_dict().items()}
    encoder.load_state_dict({**plain.state_dict(), **tensors})
    kept = {name: value for name, value in manifest.items() if name not in ("format", "digest", "shape")}
    save_encoder(encoder, folder / "encoder", kept)
    return settings


@pytest.fixture(scope="module")
def server(engine: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("data")
    many = {**engine, "max_batch": 8, "max_queue": 32}
    waiting = {"retrieval": {"revision_wait_seconds": 5}, "admission": {"generate_running": 32}}
    with running(folder, engine=many, **waiting) as made:
        yield made


def _ask(server: Running, parent: str, revision: int, question: str) -> Any:
    return server.inference.Generate(
        pb.GenerateRequest(
            parent=parent,
            prompt=question,
            sampling={"max_tokens": 2},
            retrieval={"min_revision": revision},
        )
    )


def test_questions_that_come_at_once_are_read_together(
    server: Running, parent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Few threads search; they must not be what readers wait for."""
    revision = server.add(*ANNA, parent=parent).namespace_revision
    _ask(server, parent, revision, "Anna Keller knows")  # the relation's name is read once, and kept
    lots: list[int] = []

    def slowly(model: Any, tokenizer: Any, texts: Sequence[str], layers: Sequence[int]) -> torch.Tensor:
        lots.append(len(texts))
        if len(lots) == 1:
            time.sleep(1.5)  # meanwhile the others come
        return read_states(model, tokenizer, texts, layers)

    monkeypatch.setattr(trained, "read_states", slowly)
    questions = [f"Anna Keller and {number}" for number in range(8)]
    with ThreadPoolExecutor(len(questions)) as callers:
        list(callers.map(lambda question: _ask(server, parent, revision, question), questions))
    assert sum(lots) == len(questions)
    assert len(lots) <= 3


def test_the_service_judges_as_training_does(
    engine: dict[str, Any], server: Running, parent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Evidence] = []
    own = TrainedEncoder.biases

    def noted(
        encoder: TrainedEncoder, evidence: Sequence[Evidence], wanted: bool = False
    ) -> list[float | None]:
        seen.extend(evidence)
        return own(encoder, evidence, wanted)

    monkeypatch.setattr(TrainedEncoder, "biases", noted)
    revision = server.add(*ANNA, parent=parent).namespace_revision
    with ThreadPoolExecutor(len(QUESTIONS)) as callers:  # read together where they wait
        answers = list(callers.map(lambda question: _ask(server, parent, revision, question), QUESTIONS))
    assert len(answers) == len(QUESTIONS)
    loaded, _ = load_weights(Path(engine["encoder"]))
    bind_to_model(loaded.meaning.states, *load_model(Path(engine["model"]), dtype=torch.float32))
    rows = EvidenceReader(WORDS).read(QUESTIONS, [Candidate(*ANNA[:2])], loaded.meaning)
    wanted = sorted(row[0].meaning for row in rows)
    assert sorted(item.meaning for item in seen) == pytest.approx(wanted, abs=1e-3)
    assert len({round(value, 3) for value in wanted}) > 1
