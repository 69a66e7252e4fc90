"""The encoder benchmark's world and questions: what is unseen is unseen, what is absent is absent."""

from __future__ import annotations

import functools
from collections import Counter
from typing import Any

import pytest

from bench.encoder_questions import Asker, Case, names_nothing
from bench.encoder_real import RealWorld
from bench.encoder_world import InventedWorld, invented_world
from editors.kv.phrases import Phrasing, is_held_out, load
from kb_store.scoring import Question

FACTS = 1500
PER_CELL = 40


class Letters:
    """Counts a token for every four characters: enough to tell long names."""

    def __call__(self, text: str, **options: Any) -> Any:
        return type("Ids", (), {"input_ids": range((len(text) + 3) // 4)})


@functools.cache
def world() -> InventedWorld:
    return invented_world(load(), FACTS, seed=3)


@functools.cache
def cells() -> dict[str, list[Case]]:
    asker = Asker(world(), load(), Letters(), seed=3)
    return asker.present(PER_CELL) | asker.absent(PER_CELL)


def stored() -> set[tuple[str, str]]:
    return {(fact.subject, fact.relation.name) for fact in world().facts}


def test_every_subject_and_object_is_held_out() -> None:
    assert len(world().facts) == FACTS
    assert all(is_held_out(fact.subject) and is_held_out(fact.object) for fact in world().facts)


def test_facts_are_single_valued_and_subjects_have_one_to_ten() -> None:
    assert len(stored()) == FACTS
    sizes = Counter(fact.subject for fact in world().facts)
    assert set(sizes.values()) == set(range(1, 11))


def test_a_larger_world_begins_with_the_smaller_one() -> None:
    assert invented_world(load(), FACTS + 500, seed=3).facts[:FACTS] == world().facts


def test_another_seed_makes_another_world() -> None:
    other = {fact.subject for fact in invented_world(load(), 200, seed=4).facts}
    assert len(other & {fact.subject for fact in world().facts}) < len(other) / 10


@pytest.mark.parametrize("cell", sorted(cells()))
def test_cells_are_full_and_ask_nothing_twice(cell: str) -> None:
    cases = cells()[cell]
    assert len(cases) == PER_CELL
    assert len({(case.prompt, case.facts) for case in cases}) >= PER_CELL - 1
    assert all(case.subject in case.prompt for case in cases)


def test_what_is_asked_is_stored_or_absent_as_the_cell_says() -> None:
    for cell, cases in cells().items():
        for case in cases:
            for fact in case.facts:
                known = (fact.subject, fact.relation.name) in stored()
                assert known is not cell.startswith("absent"), (cell, fact)


def test_rivals_of_absent_facts_are_stored() -> None:
    subjects = {fact.subject for fact in world().facts}
    relations = {fact.relation.name for fact in world().facts}
    assert all(case.subject in subjects for case in cells()["absent_same_subject"])
    for case in cells()["absent_same_relation"]:
        assert case.subject not in subjects
        assert case.facts[0].relation.name in relations


def test_sides_of_phrasings_and_relations() -> None:
    trained = {relation.name: relation for relation in load().relations_of("train")}
    for case in cells()["right_phrasing"]:
        fact = case.facts[0]
        seen = trained[fact.relation.name].train_phrasings
        assert case.prompt not in {
            phrasing.filled(fact.subject, fact.relation.name, fact.object)[1] for phrasing in seen
        }
    for cell in ("right_relation", "right_relation_named"):
        assert all(case.facts[0].relation.split == "held_out" for case in cells()[cell])
    assert all(case.chat for case in cells()["right_chat"])
    assert any("\n" in case.prompt or case.chat for case in cells()["two_facts"])


def test_no_relation_words_means_none() -> None:
    for case in cells()["right_no_relation_words"]:
        relation = case.facts[0].relation.name
        assert Question(case.prompt.replace(case.subject, " ")).relation_cover(relation) == 0
    employer = load().relation("employer")
    assert names_nothing(Phrasing("{s} has a desk at"), employer)
    assert not names_nothing(Phrasing("{s} is employed by"), employer)
    assert not names_nothing(Phrasing("At", "Who are the employers of {s}?"), employer)
    assert not names_nothing(Phrasing("The {r} of {s} is"), employer)


def test_values_are_what_their_cells_say() -> None:
    assert all(any(letter.isdigit() for letter in case.objects[0]) for case in cells()["numbers"])
    assert all(case.facts[0].relation.object_kind == "date" for case in cells()["dates"])
    assert all(len(set(case.objects)) == 2 for case in cells()["two_facts"])
    large = Counter(fact.subject for fact in world().facts)
    assert all(large[case.subject] == 10 for case in cells()["same_subject"])


def test_shuffled_objects_are_the_same_objects_of_other_subjects() -> None:
    real = RealWorld(2000, 100, seed=1)
    shuffled = real.shuffled()
    for before, after in zip(real.facts, shuffled, strict=True):
        assert (before.content.subject, before.content.relation) == (
            after.content.subject,
            after.content.relation,
        )
    told = [
        Counter((f.info.relation_id, f.content.object) for f in facts) for facts in (real.facts, shuffled)
    ]
    assert told[0] == told[1]
    moved = [a.content.object != b.content.object for a, b in zip(real.facts, shuffled, strict=True)]
    assert sum(moved) > 0.8 * len(moved)


def test_real_questions_are_about_held_out_subjects() -> None:
    real = RealWorld(500, 60, seed=1)
    assert len(real.asked) == 60
    assert all(is_held_out(fact.content.subject) for fact in real.asked)
    assert all(fact.content.subject in real.prompt(fact) for fact in real.asked)
    changed = real.changed(real.asked)
    assert sum(a.content.object != b.content.object for a, b in zip(real.asked, changed, strict=True)) > 55
    for fact, other in real.other_relations(30):
        assert fact.content.subject == other.content.subject
        assert fact.content.relation != other.content.relation
