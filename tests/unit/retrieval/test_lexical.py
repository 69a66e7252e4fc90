"""Names found in texts by SQL."""

from __future__ import annotations

from threading import get_ident
from time import process_time
from typing import Any

import pytest
from sqlalchemy import Engine, event

from kb_store.sql import SqlStore


def subjects(keeper: Any, text: str, *, limit: int = 64, namespace: str = "a") -> list[str]:
    store: SqlStore = keeper.store
    hits = store.search_lexical(namespace, text, limit=limit)
    facts = store.facts_by_row(namespace, [hit.row for hit in hits])
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    return [facts[hit.row].content.subject for hit in hits]


@pytest.fixture(autouse=True)
def _namespaces(keeper: Any) -> None:
    keeper.namespace("a")
    keeper.namespace("b")


def test_whole_names_come_first_the_longest_before_the_rest(keeper: Any) -> None:
    names = ["Norwind Foods", "Norwind Shipping", "Norwind Shipping Asia", "Calder Optics", "Norwind"]
    keeper.add("a", *((name, "founder", "x") for name in names))
    found = subjects(keeper, "Who founded Norwind Shipping Asia?")
    assert found[:3] == ["Norwind Shipping Asia", "Norwind Shipping", "Norwind"]
    assert found[3:] == ["Norwind Foods"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Zoë Müller", "where does ZOE MULLER live"),
        ("Anna Keller", "Anna Keller's mother"),
        ("Falcon", "two Falcons"),
        ("東京", "東京の人口は"),
        ("🙂", "what does 🙂 mean"),
        ("\u2764\ufe0f", "what does \u2764 mean"),
        ("\u2764", "what does \u2764\ufe0f mean"),
        ("東京 大学", "東京大学はどこ"),
        ("東京大学", "東京 大学 はどこ"),
        ("Nord\u00adlicht", "the Nord\u200blicht"),
        ("The Who", "who are the who"),
        (" ".join(f"word{i}" for i in range(30)), "so " + " ".join(f"Word{i}" for i in range(30)) + " it is"),
    ],
)
def test_names_are_found_in_any_dress(keeper: Any, name: str, text: str) -> None:
    keeper.add("a", (name, "r", "o"), ("Somebody Else", "r", "o"))
    assert subjects(keeper, text) == [name]


def test_aliases_are_names(keeper: Any) -> None:
    keeper.add("a", ("New York City", "mayor", "o"), aliases=("Big Apple", "NYC"))
    assert subjects(keeper, "Who runs the big apple?") == ["New York City"]


def test_words_out_of_order_are_found(keeper: Any) -> None:
    keeper.add("a", ("Anna Keller", "r", "o"), ("Paul Weber", "r", "o"))
    assert subjects(keeper, "Keller, A.") == ["Anna Keller"]


def test_every_fact_of_a_name_within_the_limit(keeper: Any) -> None:
    keeper.add("a", *(("France", f"relation {i}", "o") for i in range(40)), ("Ghana", "r", "o"))
    assert len(subjects(keeper, "In France and Ghana", limit=64)) == 41


def test_a_name_of_many_facts_does_not_crowd_out_another(keeper: Any) -> None:
    keeper.add("a", *(("France", f"relation {i}", "o") for i in range(90)), ("Ghana", "r", "o"))
    assert "Ghana" in subjects(keeper, "In France and Ghana", limit=16)


def test_frequent_words_are_found_in_pairs(keeper: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kb_store.sql.lexical.MAX_FREQUENCY", 10)
    keeper.add("a", *((f"Anna {chr(97 + i) * 4}", "r", "o") for i in range(20)))
    keeper.add("a", *((f"{chr(97 + i) * 4} Keller", "r", "o") for i in range(20)))
    keeper.add("a", ("Anna Theresia Keller", "r", "o"))
    assert subjects(keeper, "Does Anna Keller sing?") == ["Anna Theresia Keller"]


def test_only_live_facts_of_the_namespace(keeper: Any) -> None:
    (kept,) = keeper.add("a", ("Anna Keller", "employer", "o"))
    (gone,) = keeper.add("a", ("Anna Keller", "spouse", "o"))
    keeper.add("b", ("Anna Keller", "employer", "canary"))
    keeper.delete(gone)
    hits = keeper.store.search_lexical("a", "Anna Keller", limit=64)
    facts = keeper.store.facts_by_row("a", [hit.row for hit in hits])
    assert [fact.fact_id for fact in facts.values()] == [kept.fact_id]
    assert len(hits) == 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        '"',
        'subject : "x" AND NOT (a OR *) NEAR/2 ^b -c',
        "facts_fts MATCH 'x'; DROP TABLE facts",
        "\x00\x01",
        "\ud800 lone",
        "%_\\",
        "[1, 2]",
        "a" * 32_000,
        "the of and " * 2000,
    ],
)
def test_no_text_is_refused(keeper: Any, text: str) -> None:
    keeper.add("a", ("Anna Keller", "r", "o"))
    keeper.store.search_lexical("a", text, limit=8)
    assert subjects(keeper, text + " Anna Keller")[:1] == ["Anna Keller"]


def test_what_others_store_of_a_word_makes_no_more_statements(
    keeper: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kb_store.sql.lexical.MAX_FREQUENCY", 10)
    keeper.add("b", *((f"Norwind {number}", "r", "o") for number in range(900)))
    keeper.add("a", ("Norwind Foods", "r", "o"))
    statements: list[str] = []
    searching = get_ident()

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if get_ident() == searching:  # the indexer asks for something, too
            statements.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        needed = []
        for _ in range(2):
            statements.clear()
            assert subjects(keeper, "Does Norwind ship?") == ["Norwind Foods"]
            needed.append(len(statements))
            keeper.add("b", *((f"Norwind {number}", "s", "o") for number in range(900)))
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    assert needed[0] == needed[1]


@pytest.mark.parametrize("unit", ["東", "a "])
def test_a_text_that_repeats_a_long_name_is_walked_in_bounded_time(keeper: Any, unit: str) -> None:
    keeper.add("a", (unit * (254 // len(unit)) + "b", "r", "o"), ("Anna Keller", "r", "o"))
    began = process_time()
    assert subjects(keeper, unit * (32_000 // len(unit)) + " Anna Keller") == ["Anna Keller"]
    assert process_time() - began < 1.5
