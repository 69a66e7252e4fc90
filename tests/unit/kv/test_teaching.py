"""The judge of a training run: made in stages that an interrupted run does not repeat."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from editors.kv.closer_teaching import CloserSettings
from editors.kv.matching import MatchSettings
from editors.kv.matching import taught as taught_relations
from editors.kv.meaning import Meaning
from editors.kv.phrases import PhraseBank, load
from editors.kv.state_matching import StateMatchSettings
from editors.kv.storage import load_changes, write_tensors
from engines.embedder import SentenceEmbedder
from service.encoders.teaching import closer_alike, taught_alike, teach_judge
from service.serving.judging import JudgeVectors

MATCHING = MatchSettings(reader="", steps=1, batch=8, recalled=2)
NOT_CLOSER = CloserSettings(steps=0)
STATES = StateMatchSettings(steps=2, phrasings=1, batch=16, width=8)


def teach(
    model: Any,
    tokenizer: Any,
    bank: PhraseBank,
    matching: MatchSettings,
    states: StateMatchSettings,
    folder: Path,
    taught: Path | None = None,
    closer: CloserSettings = NOT_CLOSER,
) -> tuple[Meaning, set[str]]:
    """The judge, and the stages that it went through."""
    stages: set[str] = set()

    def report(what: str, share: float) -> None:
        stages.add(what)

    embedder = SentenceEmbedder.load()
    return teach_judge(
        model, tokenizer, embedder, bank, matching, states, closer, folder, report, taught
    ), stages


def test_its_parts_are_made_once_and_states_may_be_left_out(
    model: Any, tokenizer: Any, tmp_path: Path
) -> None:
    bank, embedder = load(), SentenceEmbedder.load()
    few = replace(bank, relations=bank.relations_of("train")[:30])

    def taught(states: StateMatchSettings, folder: Path) -> tuple[Meaning, set[str]]:
        return teach(model, tokenizer, few, MATCHING, states, folder)

    first, stages = taught(STATES, tmp_path / "whole")
    assert stages == {"matching", "recalling", "states"}
    assert first.asked is not None
    assert first.asked.shape == (len(taught_relations(few)), embedder.dimension)
    assert first.relations.shape[1] == embedder.dimension + STATES.width
    again, stages = taught(STATES, tmp_path / "whole")
    assert stages == {"recalling"}
    assert torch.allclose(again.relations, first.relations, atol=1e-5)
    vectors = JudgeVectors(embedder, first.changes, first.states)
    assert vectors.texts(["it works for"]).shape[1] == first.relations.shape[1]
    alone, stages = taught(replace(STATES, steps=0), tmp_path / "alone")
    assert (stages, alone.states) == ({"matching", "recalling"}, None)
    assert alone.relations.shape[1] == embedder.dimension


def test_the_embedder_of_a_shipped_encoder_is_taken_where_it_was_taught_alike(
    model: Any, tokenizer: Any, tmp_path: Path
) -> None:
    bank, embedder, usual = load(), SentenceEmbedder.load(), MatchSettings()
    shipped = taught_alike(embedder, bank, usual)
    assert shipped is not None
    assert closer_alike(shipped, CloserSettings())
    assert (
        taught_alike(embedder, bank, replace(usual, recalled=0)) == shipped
    )  # recalled with it, not taught to it
    assert taught_alike(embedder, bank, replace(usual, afresh=True)) is None
    assert taught_alike(embedder, bank, replace(usual, rank=8)) is None
    assert taught_alike(embedder, bank, replace(usual, steps=0)) is None
    few = replace(bank, relations=bank.relations_of("train")[:30])
    assert taught_alike(embedder, replace(few, digest="another"), usual) is None
    assert taught_alike(embedder, bank, usual, shipped=tmp_path) is None
    alone = replace(STATES, steps=0)
    meaning, stages = teach(model, tokenizer, few, replace(usual, recalled=0), alone, tmp_path, shipped)
    assert stages == set()
    assert meaning.reader == usual.reader
    known = load_changes(shipped)
    assert known.keys() == meaning.changes.keys()
    assert all(torch.equal(known[name], meaning.changes[name]) for name in known)


def test_what_looks_closer_is_taught_once_and_taken_where_it_was_taught_alike(
    model: Any, tokenizer: Any, tmp_path: Path
) -> None:
    few = replace(load(), relations=load().relations_of("train")[:30])
    alone, closer = replace(STATES, steps=0), CloserSettings(steps=1, batch=4, rank=2)
    first, stages = teach(model, tokenizer, few, MATCHING, alone, tmp_path, closer=closer)
    assert "looking closer" in stages
    assert "reader.encoder.layer.0.output.dense.up" in first.closer
    again, stages = teach(model, tokenizer, few, MATCHING, alone, tmp_path, closer=closer)
    assert stages == {"recalling"}
    assert again.closer.keys() == first.closer.keys()

    other = tmp_path / "other"
    other.mkdir()
    write_tensors(dict(first.changes), other / "embedder.safetensors")
    write_tensors(dict(first.closer), other / "closer.safetensors")
    (other / "manifest.json").write_text(json.dumps({"recipe": {"closer": asdict(closer)}}))
    assert closer_alike(other, closer)
    assert not closer_alike(other, replace(closer, steps=2))
    assert not closer_alike(other, NOT_CLOSER)
    taken, stages = teach(model, tokenizer, few, MATCHING, alone, tmp_path / "mine", other, closer)
    assert stages == {"recalling"}
    assert all(torch.equal(taken.closer[name], value) for name, value in first.closer.items())
