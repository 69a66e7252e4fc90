"""interleaf doctor --deep: each kind of disagreement is found, named, and comes with what helps."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from editors.kv.contract import Evidence, FactText
from engines.contract import KVAdapter, KVTokens
from engines.embedder import SentenceEmbedder
from kb_store.index import FaissIndex
from kb_store.model import Content, Context, CreateFact
from kb_store.sql import open_store
from service.config import Settings, load
from service.doctor.deep import compare
from service.doctor.findings import Finding
from service.serving import model as served
from tests.serving import WORDS, running, searchable

ANYONE = Context()


def settings(folder: Path) -> Settings:
    return load(None, {"store": {"data_dir": folder}, "engine": {"kind": "none"}})


@pytest.fixture
def data(tmp_path: Path) -> Path:
    with running(tmp_path) as server:
        for number in range(5):
            made = server.add(f"Subject {number}", "colour", "green")
        searchable(server, "namespaces/default", made.namespace_revision)
    return tmp_path


def look(folder: Path) -> dict[str, Finding]:
    return {finding.name: finding for finding in compare(settings(folder), WORDS, None)}


def change(folder: Path, *statements: str) -> None:
    connection = sqlite3.connect(folder / "facts.db")
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def test_sound_data(data: Path) -> None:
    found = look(data)
    assert {finding.problem for finding in found.values()} == {""}
    assert found["index files"].value.startswith("1 files")
    assert found["namespace default"].value == "5 facts, 5 of them embedded and searched for"


def test_a_damaged_index_file_is_reported_although_it_is_made_again(data: Path) -> None:
    (path,) = (data / "index").glob("*.faiss")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    found = look(data)
    assert "fails its checksum" in found["index files"].problem
    assert "made again from SQL" in found["index files"].hint
    assert found["namespace default"].problem == ""
    assert look(data)["index files"].problem == ""


def test_a_damaged_index_manifest_is_reported(data: Path) -> None:
    (data / "index" / "manifest.json").write_text("{")
    assert "damaged" in look(data)["index files"].problem
    assert look(data)["index files"].problem == ""


def test_vectors_of_other_texts_are_found(data: Path) -> None:
    index = FaissIndex(data / "index", dimension=WORDS.dimension, embedder=WORDS.digest)
    rows = sorted(index.rows("default"))[:2]
    index.apply(
        "default",
        remove=rows,
        rows=rows,
        vectors=WORDS.embed(["tree", "house"]),
        sequence=index.applied_sequence(),
    )
    index.save()
    found = look(data)["namespace default"]
    assert found.problem == f"2 of 5 vectors are not those of their facts (rows {rows[0]}, {rows[1]})"
    assert found.hint.endswith("interleaf namespaces reindex default")


def test_names_that_are_gone_are_found_by_both_looks(data: Path) -> None:
    change(
        data, "DELETE FROM fact_names WHERE row = 1", "INSERT INTO facts_fts(facts_fts) VALUES ('delete-all')"
    )
    found = look(data)
    assert "live facts without a name: rows 1" in found["database"].problem
    assert "full-text index disagrees" in found["database"].problem
    assert "interleaf backup" in found["database"].hint
    assert "1 of 5 facts are not found by their subject (rows 1)" in found["namespace default"].problem


def test_counts_that_are_wrong_are_found(data: Path) -> None:
    change(data, "UPDATE namespaces SET live_count = 7")
    found = look(data)
    assert "counts 7 live facts and has 5" in found["database"].problem
    assert "it counts 7 live facts and has 5" in found["namespace default"].problem


class Encoder:
    """Compiles badly: to what is no number, or to what depends on the neighbours."""

    digest = "bad"
    grounded_threshold = 0.5
    meaning = None

    def __init__(self, how: str) -> None:
        self._how = how

    @property
    def adapter(self) -> KVAdapter:
        raise AssertionError("not needed here")

    def compile(self, facts: Sequence[FactText]) -> list[KVTokens]:
        number = float("nan") if self._how == "nan" else float(len(facts))
        tensor = torch.full((1, 1, 2, 4), number)
        return [KVTokens(fact.key, self.digest, tensor, tensor) for fact in facts]

    def biases(self, evidence: Sequence[Evidence]) -> list[float | None]:
        return [0.0 for _ in evidence]


@pytest.mark.parametrize(
    ("how", "said"), [("nan", "are not finite"), ("many", "depend on the facts beside it")]
)
def test_facts_that_compile_badly_are_found(data: Path, how: str, said: str) -> None:
    found = {finding.name: finding for finding in compare(settings(data), WORDS, Encoder(how))}
    problem = found["namespace default"].problem
    assert problem.count(said) == 10  # keys and values of five facts


@pytest.mark.model
def test_the_shipped_encoder_compiles_facts_alone_as_among_others(tmp_path: Path) -> None:
    store = open_store(tmp_path / "facts.db")
    store.create_namespace("people", "", frozenset(), ANYONE)
    for number in range(12):
        said = Content(
            f"Anna {number}",
            "employer" if number % 2 else "birthplace of the father",
            "Werft " * (number % 3 + 1),
        )
        store.write([CreateFact("people", said)], ANYONE)
    store.close()
    chosen = load(None, {"store": {"data_dir": tmp_path}})
    embedder = SentenceEmbedder.load(None)
    model = served.load(chosen.engine, tmp_path, embedder.digest)
    assert model is not None
    assert model.encoder is not None
    try:
        found = {finding.name: finding for finding in compare(chosen, embedder, model.encoder)}
    finally:
        model.close()
    assert found["namespace people"].problem == ""
    assert found["namespace people"].value == "12 facts, 12 of them embedded and searched for, 8 compiled"
