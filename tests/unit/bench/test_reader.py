"""Questions that were read by hand: nothing is given away to the reader, and figures are what they say."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from bench.encoder_questions import Asker
from bench.encoder_world import invented_world
from bench.reader import figures, stored
from bench.reader_questions import Item, draw, join, load_items, save, to_be_read
from editors.kv.phrases import load


class _Letters:
    def __call__(self, text: str, **options: Any) -> Any:
        return type("Ids", (), {"input_ids": range(len(text))})


def _item(wanted: str, *relations: str, cell: str = "right_chat", picked: str | None = None) -> Item:
    facts = tuple((relation, f"its {relation}") for relation in relations)
    return Item(cell, "Who?", True, "Ana", facts, wanted, picked)


def _drawn() -> list[Item]:
    world = invented_world(load(), 600, seed=3)
    return draw(world, Asker(world, load(), _Letters(), 3), 20, random.Random(3))


def test_stored_questions_have_their_fact_and_absent_ones_have_not() -> None:
    items = _drawn()
    assert {item.stored for item in items if item.cell.startswith("right")} == {True}
    assert {item.stored for item in items if item.cell.startswith("absent")} == {False}
    assert {item.stored for item in items} == {True, False}


def test_the_reader_is_not_told_what_was_meant() -> None:
    items = [item for item in _drawn() if item.wanted not in item.prompt]
    shown = to_be_read(items)
    for item in items:
        # What is missing is in no list, and of what is stored all names are there, in the order that answers refer to.
        names = "; ".join(f"{place}={name}" for place, (name, _) in enumerate(item.facts, 1))
        assert f"TEXT: {item.prompt}\nSTORED: {names}\n" in shown
    assert "right_" not in shown
    assert "absent_" not in shown
    assert not any(told in shown for item in items for _, told in item.facts if len(told) > 12)


def test_answers_are_joined_by_number(tmp_path: Path) -> None:
    items = [_item("home", "job", "home"), _item("home", "job")]
    read = join(items, {"0": 2, "1": 0})
    assert [item.picked for item in read] == ["home", None]
    path = tmp_path / "items.jsonl.gz"
    save(read, path)
    assert load_items(path) == read


@pytest.mark.parametrize("answers", [{"0": 1}, {"0": 1, "1": 2}, {"0": 1, "1": -1}])
def test_an_answer_that_is_missing_or_names_nothing_is_refused(answers: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="question 1"):
        join([_item("home", "home"), _item("home", "job")], answers)


def test_figures() -> None:
    items = [
        _item("home", "home", "job"),
        _item("home", "home", "job", cell="right_phrasing"),
        _item("home", "home", "job"),
        _item("home", "job", cell="absent_same_subject"),
        _item("home", "job", cell="absent_same_subject"),
    ]
    found = figures(items, {"judge": ["home", "job", None, "job", None], "reader": ["home"] * 3 + [None] * 2})
    assert found["right_judge"] == pytest.approx(1 / 3)
    assert found["wrong_judge"] == pytest.approx(1 / 3)
    assert found["absent_wrong_judge"] == 0.5
    assert (found["right_chat_judge"], found["right_phrasing_judge"]) == (0.5, 0.0)
    assert (found["right_reader"], found["wrong_reader"], found["absent_wrong_reader"]) == (1.0, 0.0, 0.0)


def test_what_was_read() -> None:
    """The file that is shipped: a hundred of each kind, and what docs/encoder.md says of its reader."""
    items = load_items()
    assert len(items) == 400
    assert len(stored(items)) == sum(
        len(facts) for facts in {item.subject: item.facts for item in items}.values()
    )
    found = figures(items, {"reader": [item.picked for item in items]})
    assert found["right_reader"] > 0.95
    assert found["absent_wrong_reader"] < 0.03
