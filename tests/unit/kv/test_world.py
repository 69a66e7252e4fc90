"""The training world shows what the encoder has to tell apart."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from editors.kv.phrases import Phrasing, load
from editors.kv.world import Mix, RealRelation, Slice, World


class Template:
    """A tokenizer's chat template, without a tokenizer."""

    chat_template = "yes"

    def apply_chat_template(
        self, turns: list[dict[str, str]], tokenize: bool = False, add_generation_prompt: bool = False
    ) -> str:
        text = "".join(f"<{turn['role']}>{turn['content']}</>" for turn in turns)
        return text + "<assistant>" if add_generation_prompt else text


REAL = [
    RealRelation("capital", (Phrasing("The capital of {s} is"),), (("France", "Paris"), ("Peru", "Lima"))),
    RealRelation("continent", (Phrasing("{s} lies in"),), (("France", "Europe"), ("Peru", "South America"))),
]


@pytest.fixture
def world() -> World:
    return World(load(), Template(), REAL)


def test_subjects_have_one_fact_or_many(world: World) -> None:
    sizes: Counter[int] = Counter()
    for seed in range(20):
        facts = world.problem(random.Random(seed)).facts
        sizes.update(Counter(fact.subject for fact in facts).values())
        assert len({(fact.subject, fact.relation) for fact in facts}) == len(facts)
    assert sizes[1]
    assert sum(count for size, count in sizes.items() if size >= 8) >= 10


def test_near_duplicates_hold_the_same_relations() -> None:
    def shared(near_duplicate: float) -> int:
        world = World(load(), Template(), mix=Mix(near_duplicate=near_duplicate, other_names=0.0, real=0.0))
        drawn = [world.problem(random.Random(seed)).facts for seed in range(10)]
        counts = [Counter(fact.relation for fact in facts).values() for facts in drawn]
        return sum(count - 1 for part in counts for count in part)

    assert shared(1.0) > shared(0.0)


def test_one_subject_with_a_question_for_every_fact(world: World) -> None:
    for seed in range(20):
        problem = world.subject(random.Random(seed), 10)
        assert len({fact.subject for fact in problem.facts}) == 1
        assert [question.asked for question in problem.questions] == list(range(len(problem.facts)))
        assert all(set(q.candidates) == set(range(len(problem.facts))) for q in problem.questions)


def test_facts_go_by_other_names_and_phrasings_by_the_first(world: World) -> None:
    bank = load()
    other = {name for relation in bank.relations for name in relation.also}
    own = {relation.name for relation in bank.relations}
    renamed = 0
    for seed in range(20):
        problem = world.problem(random.Random(seed), Slice(frames=1.0, chat=False, real=0.0))
        for question in problem.questions:
            stored = problem.facts[question.asked].relation
            if stored in other - own:
                renamed += 1
                assert "_" not in question.prompt
    assert renamed
