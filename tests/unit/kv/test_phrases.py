"""The phrase bank keeps the promises that training relies on."""

from __future__ import annotations

import random
import re
from collections import Counter

import pytest

from editors.kv.phrases import (
    Grammar,
    GrammarError,
    PhraseBank,
    Phrasing,
    Relation,
    is_held_out,
    load,
    near_duplicate,
)

LEAST_RELATIONS = 100
LEAST_PHRASINGS = 20
LEAST_OF_BROAD = 14  # relations that come with other names: many of them, with fewer phrasings each
LEAST_OF_WIDE = 10  # relations that are only trained on
LARGEST_NAMING_SHARE = 0.35
UNAVOIDABLE = {"page count"}  # whoever asks how long a book is says "page"
EMPTY_WORDS = {"of", "the", "in", "to", "favourite", "largest", "number", "first", "main"}


@pytest.fixture(scope="module")
def bank() -> PhraseBank:
    return load()


def phrasings(relation: Relation) -> tuple[Phrasing, ...]:
    return relation.train_phrasings + relation.held_out_phrasings


def whole(phrasing: Phrasing) -> str:
    return f"{phrasing.user or ''}\n{phrasing.text}"


def stem(word: str) -> str:
    return word.lower().removesuffix("'s").removesuffix("s")


def names_relation(phrasing: Phrasing, relation: str) -> bool:
    wanted = {stem(word) for word in relation.split()} - EMPTY_WORDS
    return bool(wanted & {stem(word) for word in re.findall(r"[\w']+", whole(phrasing))})


def test_enough_relations_with_enough_phrasings(bank: PhraseBank) -> None:
    assert len(bank.relations) >= LEAST_RELATIONS
    assert len({relation.name for relation in bank.relations}) == len(bank.relations)
    for relation in bank.relations:
        if not relation.held_out_phrasings:
            assert relation.split == "train", relation.name
            assert len(relation.train_phrasings) >= LEAST_OF_WIDE, relation.name
            assert relation.also, relation.name
            assert sum(p.chat for p in relation.train_phrasings) >= 2, relation.name
            continue
        least = LEAST_OF_BROAD if relation.also else LEAST_PHRASINGS
        assert len(phrasings(relation)) >= least, relation.name
        assert len(relation.held_out_phrasings) == 4, relation.name
        assert sum(p.chat for p in phrasings(relation)) >= 3, relation.name
        assert relation.also or sum(p.chat for p in relation.train_phrasings) >= 2, relation.name
        assert any(p.chat for p in relation.held_out_phrasings), relation.name


def test_no_phrasing_occurs_twice(bank: PhraseBank) -> None:
    counts = Counter(whole(p) for relation in bank.relations for p in phrasings(relation))
    twice = {text for text, count in counts.items() if count > 1}
    # The same words may ask about different kinds of subject ("{s} weighs"), never twice within one kind.
    for relation in bank.relations:
        texts = [whole(p) for p in phrasings(relation)]
        assert len(set(texts)) == len(texts), relation.name
    for text in twice:
        kinds = [r.subject_kind for r in bank.relations if text in {whole(p) for p in phrasings(r)}]
        assert len(set(kinds)) == len(kinds), (text, kinds)


def test_phrasings_name_the_subject_and_end_where_the_object_begins(bank: PhraseBank) -> None:
    for relation in bank.relations:
        assert "{s}" in relation.question
        assert relation.question.endswith("?")
        for phrasing in phrasings(relation):
            text = whole(phrasing)
            assert "{s}" in text, (relation.name, text)
            assert set(re.findall(r"\{[^}]*\}?", text)) <= {"{s}", "{a}"}, text
            assert "{a}" not in text.removesuffix("{a}"), text
            assert phrasing.text == phrasing.text.rstrip(), text
            assert phrasing.chat or phrasing.text, relation.name
            assert phrasing.text.split()[-1:] not in (["a"], ["an"]), text  # {a} knows which


def test_most_phrasings_do_not_name_the_relation(bank: PhraseBank) -> None:
    naming = [names_relation(p, relation.name) for relation in bank.relations for p in phrasings(relation)]
    assert sum(naming) / len(naming) <= LARGEST_NAMING_SHARE
    for relation in bank.relations:
        if relation.name in UNAVOIDABLE:
            continue
        own = [names_relation(p, relation.name) for p in phrasings(relation)]
        assert sum(own) / len(own) <= 0.6, relation.name


def test_relations_are_split(bank: PhraseBank) -> None:
    train, held_out = bank.relations_of("train"), bank.relations_of("held_out")
    assert {r.name for r in train}.isdisjoint(r.name for r in held_out)
    assert len(train) + len(held_out) == len(bank.relations)
    assert len(held_out) >= 12


def test_nothing_that_is_trained_on_goes_by_the_name_of_what_is_held_out(bank: PhraseBank) -> None:
    def names(relation: Relation) -> set[tuple[str, str]]:
        spelled = (name.lower().replace("_", " ") for name in (relation.name, *relation.also))
        return {(relation.subject_kind, name) for name in spelled}

    held_out = set().union(*map(names, bank.relations_of("held_out")))
    for relation in bank.relations_of("train"):
        assert not names(relation) & held_out, relation.name


def test_frames_are_generic(bank: PhraseBank) -> None:
    assert len(bank.frames) >= 30
    assert len(set(bank.frames)) == len(bank.frames)
    assert {p.chat for p in bank.frames} == {True, False}
    for frame in bank.frames:
        assert "{s}" in whole(frame)
        assert "{r}" in whole(frame) or "{R}" in whole(frame)


def test_sentences_and_continuations(bank: PhraseBank) -> None:
    assert len(bank.sentences) >= 300
    assert len(set(bank.sentences)) == len(bank.sentences)
    assert len(bank.continuations) >= 200
    assert len(set(bank.continuations)) == len(bank.continuations)
    assert all(sentence[-1] in ".!?" for sentence in bank.sentences)
    assert all(not text[0].isalnum() for text in bank.continuations)


def test_every_kind_has_both_sides_and_the_split_is_respected(bank: PhraseBank) -> None:
    rng = random.Random(5)
    for relation in bank.relations:
        for held_out in (False, True):
            for _ in range(3):
                subject = bank.subject(relation.subject_kind, rng, held_out=held_out)
                value = bank.object(relation.object_kind, rng, held_out=held_out)
                for text in (subject, value):
                    assert is_held_out(text) is held_out
                    assert text == text.strip()
                    assert not set(text) & set("{}\n"), text


def test_object_kinds_are_rich(bank: PhraseBank) -> None:
    rng = random.Random(6)
    few = {"blood_type", "weekday", "rank"}  # the world has no more of them
    shared = {r.object_kind for r in bank.relations if not r.object_kind.startswith("object of ")}
    for kind in shared - few:
        assert len({bank.grammar.draw(kind, rng) for _ in range(700)}) >= 60, kind


def test_nothing_is_written_in_vain(bank: PhraseBank) -> None:
    used = {kind for r in bank.relations for kind in (r.subject_kind, r.object_kind)}
    used |= {slot for slots in bank.grammar.slots().values() for slot in slots}
    assert set(bank.grammar.groups) | set(bank.grammar.lists) <= used


def test_drawing_is_deterministic(bank: PhraseBank) -> None:
    kinds = sorted({r.object_kind for r in bank.relations} | {r.subject_kind for r in bank.relations})
    first, second = random.Random(11), random.Random(11)
    assert [bank.object(kind, first) for kind in kinds] == [bank.object(kind, second) for kind in kinds]
    names = {bank.subject("person", first) for _ in range(2000)}
    assert len(names) > 1800


@pytest.mark.parametrize("name", ["Anna Keller", "Falcon 7", "Øle", "X", "the Gulf of Tulmar", "李", "K2"])
def test_near_duplicates_differ_a_little(bank: PhraseBank, name: str) -> None:
    rng = random.Random(3)
    for _ in range(50):
        changed = near_duplicate(name, rng)
        assert changed != name
        assert abs(len(changed) - len(name)) <= 8
        assert is_held_out(bank.near_duplicate(name, rng)) is is_held_out(name)


def test_filling() -> None:
    chat = Phrasing("{s} is {a}", "What does {s} do?")
    assert chat.filled("Bo {r}", "job", "actor") == ("What does Bo {r} do?", "Bo {r} is an")
    assert chat.filled("Bo", "job", "baker")[1] == "Bo is a"
    assert Phrasing("{R} of {s}:").filled("{a", "home town", "Oslo") == ("", "Home town of {a:")


def test_grammar_slots() -> None:
    grammar = Grammar(
        {"city": ("Oslo",), "word": ("oak",)},
        {"city": {"{city} am {word}": 1.0}, "price": {"{5-5} {~100-100:,} {7-7:03}": 1.0}},
    )
    rng = random.Random(0)
    assert grammar.draw("city", rng) == "Oslo am oak"
    assert grammar.draw("price", rng) == "5 100 007"
    assert not grammar.knows("colour")
    with pytest.raises(GrammarError, match="colour"):
        grammar.draw("colour", rng)


def test_digest_names_the_data(bank: PhraseBank) -> None:
    assert re.fullmatch(r"[0-9a-f]{64}", bank.digest)
    assert load() is bank


def test_a_name_whose_neighbours_are_all_on_the_other_side_has_a_near_duplicate(bank: PhraseBank) -> None:
    rng = random.Random(0)
    for number in range(5200, 5400):
        name = f"XF-{number}"
        twin = bank.near_duplicate(name, rng)
        assert twin != name
        assert is_held_out(twin) == is_held_out(name)
