"""The small GPT-NeoX: its text, its tokenizer, a training that goes on, and the whole way to a served encoder."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from bench import second_family
from bench.common import Bench
from bench.encoder_world import invented_world
from editors.kv.phrases import is_held_out, load
from engines.architectures import spec_for
from engines.models import load_model
from scripts.small_model import SIZES, Size, recipe_path, train_small_model
from scripts.small_model.text import SmallText
from scripts.small_model.training import OtherRun
from scripts.small_model.vocabulary import ASSISTANT, END, USER, train_tokenizer
from service.encoders.recipe_file import parse_recipe, read_recipe, recipe_values
from service.encoders.training import real_relations
from tests.tiny import RECIPE

TINY = Size(2, 32, 4, 700, steps=4, batch=2, length=40, learning_rate=1e-3, documents=150, checkpoint_every=2)


@pytest.fixture(scope="module")
def text() -> SmallText:
    return SmallText(load(), real_relations())


def test_the_text_keeps_to_the_training_side(text: SmallText) -> None:
    rng = random.Random(0)
    documents = "\n".join(text.document(rng) for _ in range(1500))
    assert documents.count(END) == 1500
    assert documents.count(USER) == documents.count(ASSISTANT) > 100
    held = [item for item in load().relations_of("held_out") if "{s}" not in item.held_out_phrasings[0].text]
    assert all(item.question not in documents for item in held)
    unseen = {
        phrasing.text.rpartition("{s}")[2]
        for relation in load().relations_of("train")
        for phrasing in relation.held_out_phrasings
        if not phrasing.chat
    }
    seen = {
        phrasing.text.rpartition("{s}")[2]
        for relation in load().relations_of("train")
        for phrasing in relation.train_phrasings
    }
    only_unseen = {ending for ending in unseen - seen if len(ending) > 25}
    assert len(only_unseen) > 500
    assert [ending for ending in only_unseen if ending in documents] == []
    for relation in real_relations():
        assert not any(is_held_out(subject) for subject, _ in relation.facts)


def test_the_tokenizer_writes_everything_and_marks_turns(text: SmallText) -> None:
    rng = random.Random(1)
    tokenizer = train_tokenizer((text.document(rng) for _ in range(50)), 500)
    for written in ("Łódź is 12 °C cold.\n  <b>", text.document(rng)):
        assert tokenizer.decode(tokenizer(written).input_ids) == written
    turns = [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "Anna."}]
    assert tokenizer.apply_chat_template(turns, tokenize=False) == f"{USER}Who?{ASSISTANT}Anna.{END}"
    asked = tokenizer.apply_chat_template(turns[:1], tokenize=False, add_generation_prompt=True)
    assert asked == f"{USER}Who?{ASSISTANT}"


def test_an_interrupted_training_ends_where_an_uninterrupted_one_does(tmp_path: Path) -> None:
    whole = train_small_model(tmp_path / "whole", TINY, 3)

    def interrupt(step: int, loss: float) -> None:
        if step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_small_model(tmp_path / "parts", TINY, 3, interrupt)
    noted: list[int] = []
    parts = train_small_model(tmp_path / "parts", TINY, 3, lambda step, loss: noted.append(step))
    assert noted == [2, 3]
    assert parts.losses == pytest.approx(whole.losses)
    first, second = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "parts"))
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        torch.testing.assert_close(second[name], tensor)
    assert train_small_model(tmp_path / "parts", TINY, 3, lambda step, loss: noted.append(step)) == parts
    assert noted == [2, 3]
    with pytest.raises(OtherRun):
        train_small_model(tmp_path / "parts", replace(TINY, steps=8), 3)


def test_shuffled_facts_say_something_else_of_the_same_kind() -> None:
    world = invented_world(load(), 400, 0)
    moved = second_family.shuffled(world)
    assert set(moved) == set(world.facts)
    assert sorted(fact.object for fact in moved.values()) == sorted(fact.object for fact in world.facts)
    changed = [fact for fact, other in moved.items() if fact.object != other.object]
    assert len(changed) > 0.95 * len(world.facts)
    for fact, other in moved.items():
        assert (fact.subject, fact.relation) == (other.subject, other.relation)


def test_recipes_of_both_sizes_can_be_read() -> None:
    for size in SIZES:
        assert read_recipe(recipe_path(size)).train.steps > 0


@pytest.mark.slow
def test_from_nothing_to_a_served_encoder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "kept"
    given = ["--n", "2", "--facts", "400", "--folder", str(folder), "--results", str(tmp_path)]
    bench = Bench("second_family", argv=given, add_arguments=second_family._arguments)
    found = second_family.measure(bench, TINY, recipe_values(parse_recipe(RECIPE)))
    keys: dict[str, Any] = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert keys.items() <= found.items()
    for cell in ("seen", "phrasing", "relation", "relation_named", "chat"):
        assert keys[f"none_{cell}"] == 0.0
        assert {f"right_{cell}", f"shuffled_truth_{cell}", f"shuffled_follows_{cell}_lo"} <= keys.keys()
    assert "right_seen_first" in keys
    assert "right_chat_first" not in keys
    assert keys["n"] > 0
    model, tokenizer = load_model(folder / "model")
    assert spec_for(model).architecture.family == "gpt_neox"
    assert spec_for(model).parallel
    assert keys["parameters"] == sum(parameter.numel() for parameter in model.parameters())
    assert second_family.says_first_token(tokenizer, " Anna Keller and", "Anna Keller")
    assert not second_family.says_first_token(tokenizer, "Zoe", "Anna")
    assert not second_family.says_first_token(tokenizer, "", "Anna")
