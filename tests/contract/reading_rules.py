"""FactReader and LexicalSearch: what reads must find and must leave out."""

from __future__ import annotations

import random
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from kb_store.contract import Store
from kb_store.errors import InvalidInput, NotFound
from kb_store.model import (
    Condition,
    Content,
    CreateFact,
    DeleteFact,
    Fact,
    FilterOp,
    UndeleteFact,
    UpdateFact,
)
from tests.contract.harness import ANYONE, NS, Rules, content, create


def equal(field: str, value: str) -> Condition:
    return Condition(field, FilterOp.EQUAL, value)


def row_of(store: Store, fact: Fact) -> int:
    for batch in store.all_rows(fact.namespace, batch=100):
        for row, found in batch:
            if found.fact_id == fact.fact_id:
                return row
    raise AssertionError(fact.fact_id)


class ReadingRules(Rules):
    def test_unknown_facts_are_not_found(self, store: Store) -> None:
        create(store, fact_id="one")
        for namespace, fact_id in ((NS, "two"), ("other", "one"), ("", ""), (NS, "\ud800"), ("\0", "one")):
            with pytest.raises(NotFound):
                store.get_fact(namespace, fact_id)
            with pytest.raises(NotFound):
                store.list_revisions(namespace, fact_id, limit=1)

    def test_several_in_the_order_asked(self, store: Store) -> None:
        facts = [create(store, f"s{n}", fact_id=f"f{n}") for n in range(3)]
        assert store.get_facts(NS, ["f2", "f0", "f2"]) == (facts[2], facts[0], facts[2])
        assert store.get_facts(NS, []) == ()
        with pytest.raises(NotFound) as refusal:
            store.get_facts(NS, ["f1", "f8", "f9"])
        assert refusal.value.details["name"].endswith("/f8")

    def test_pages_hold_each_fact_once_whatever_is_written_between(self, store: Store) -> None:
        facts = [create(store, f"s{n}", fact_id=f"f{n}") for n in range(10)]
        seen: list[str] = []
        after: int | None = 0
        pages = 0
        while after is not None:
            page = store.list_facts(NS, limit=3, after=after)
            seen += [fact.fact_id for fact in page.facts]
            after = page.next_after
            pages += 1
            if pages == 1:
                store.write([UpdateFact(NS, "f0", {"object": "x"}), DeleteFact(NS, "f8")], ANYONE)
                create(store, "late", fact_id="late")
        assert seen == [fact.fact_id for fact in facts if fact.fact_id != "f8"] + ["late"]

    def test_a_last_full_page_has_no_next(self, store: Store) -> None:
        for n in range(4):
            create(store, f"s{n}")
        page = store.list_facts(NS, limit=4)
        assert (len(page.facts), page.next_after, page.namespace_revision) == (4, None, 4)

    def test_deleted_facts_are_listed_only_when_asked(self, store: Store) -> None:
        fact = create(store)
        (gone,) = store.write([DeleteFact(NS, fact.fact_id)], ANYONE).facts
        assert store.list_facts(NS, limit=10).facts == ()
        assert store.list_facts(NS, limit=10, show_deleted=True).facts == (gone,)

    def test_filters(self, store: Store) -> None:
        one = create(store, "Anna", "employer", "Acme", source="a.csv", fact_id="one")
        two = create(store, "anna", "employer", "acme 100%", source="b.csv", fact_id="two")
        three = create(store, "Anna", "home", "Älmhult_1", source="b.csv", fact_id="three")

        def listed(*conditions: Condition) -> list[Fact]:
            return list(store.list_facts(NS, conditions, limit=10).facts)

        assert listed(equal("subject", "Anna")) == [one, three]
        assert listed(equal("subject", "Anna"), equal("relation", "employer")) == [one]
        assert listed(Condition("subject", FilterOp.NOT_EQUAL, "Anna")) == [two]
        assert listed(Condition("object", FilterOp.CONTAINS, "Ac")) == [one]
        assert listed(Condition("object", FilterOp.CONTAINS, "0%")) == [two]
        assert listed(Condition("object", FilterOp.CONTAINS, "t_1")) == [three]
        assert listed(Condition("object", FilterOp.CONTAINS, "a_1")) == []
        assert listed(Condition("object", FilterOp.CONTAINS, "älm")) == []
        assert listed(equal("source", "b.csv"), equal("fact_id", "three")) == [three]
        assert listed(equal("subject", "' OR 1=1 --")) == []

    def test_filters_with_deleted_facts(self, store: Store) -> None:
        fact = create(store, "Anna")
        create(store, "Ben")
        (gone,) = store.write([DeleteFact(NS, fact.fact_id)], ANYONE).facts
        page = store.list_facts(NS, [equal("subject", "Anna")], limit=10, show_deleted=True)
        assert page.facts == (gone,)

    def test_bad_arguments_are_refused_by_name(self, store: Store) -> None:
        with pytest.raises(InvalidInput, match="filter"):
            store.list_facts(NS, [equal("uid", "x")], limit=1)
        with pytest.raises(InvalidInput, match="filter"):
            store.list_facts(NS, [equal("subject", "\ud800")], limit=1)
        with pytest.raises(InvalidInput, match="after"):
            store.list_facts(NS, limit=1, after=2**70)
        with pytest.raises(InvalidInput, match="limit"):
            store.list_facts(NS, limit=0)
        with pytest.raises(NotFound):
            store.list_facts("nowhere", limit=1)

    def test_revisions_newest_first_in_pages(self, store: Store) -> None:
        states = [create(store)]
        for n in range(4):
            change = UpdateFact(NS, states[0].fact_id, {"object": f"o{n}"})
            states += store.write([change], ANYONE).facts
        entries = store.list_revisions(NS, states[0].fact_id, limit=3)
        entries += store.list_revisions(NS, states[0].fact_id, limit=3, before=entries[-1].fact.revision)
        assert [entry.fact for entry in entries] == states[::-1]
        assert [entry.create_time for entry in entries] == [fact.update_time for fact in states[::-1]]

    def test_rows_of_others_and_of_the_dead_are_left_out(self, store: Store) -> None:
        store.create_namespace("other", "", frozenset(), ANYONE)
        mine, gone, foreign = create(store, "a"), create(store, "b"), create(store, "c", namespace="other")
        rows = [row_of(store, fact) for fact in (mine, gone, foreign)]
        store.write([DeleteFact(NS, gone.fact_id)], ANYONE)
        assert store.facts_by_row(NS, [*rows, 987_654_321, rows[0]]) == {rows[0]: mine}
        assert store.facts_by_row("other", rows) == {rows[2]: foreign}
        assert store.facts_by_row(NS, []) == {}
        store.write([UndeleteFact(NS, gone.fact_id)], ANYONE)
        assert set(store.facts_by_row(NS, rows)) == set(rows[:2])

    def test_many_rows_at_once(self, store: Store) -> None:
        facts = store.write([CreateFact(NS, content(f"s{n}")) for n in range(1000)], ANYONE).facts
        rows = [row for batch in store.all_rows(NS, batch=300) for row, _ in batch]
        assert tuple(store.facts_by_row(NS, rows).values()) == facts
        assert store.get_facts(NS, [fact.fact_id for fact in facts]) == facts

    def test_all_rows_once_each(self, store: Store) -> None:
        store.create_namespace("other", "", frozenset(), ANYONE)
        create(store, "x", namespace="other")
        facts = [create(store, f"s{n}") for n in range(7)]
        store.write([DeleteFact(NS, facts[3].fact_id)], ANYONE)
        batches = list(store.all_rows(NS, batch=2))
        assert max(map(len, batches)) <= 2
        assert [fact for batch in batches for _, fact in batch] == facts[:3] + facts[4:]
        assert list(store.all_rows("nowhere", batch=2)) == []

    def test_whole_names_come_before_words(self, store: Store) -> None:
        full = create(store, "Zoë Marlowe-Finch")
        alias = create(store, "Somebody Else", object_="x", aliases=("the Duke",))
        words = create(store, "Zoë Tanaka")
        create(store, "Unrelated Person")
        hits = store.search_lexical(NS, 'Did ZOE MARLOWE FINCH meet "The Duke"? zoe', limit=10)
        rows = [hit.row for hit in hits]
        assert set(rows[:2]) == {row_of(store, full), row_of(store, alias)}
        assert rows[2:] == [row_of(store, words)]

    def test_names_follow_the_facts(self, store: Store) -> None:
        fact = create(store, "Old Name")
        row = row_of(store, fact)

        def found(text: str) -> list[int]:
            return [hit.row for hit in store.search_lexical(NS, text, limit=5)]

        assert found("old name") == [row]
        store.write([UpdateFact(NS, fact.fact_id, {"subject": "Fresh Title"})], ANYONE)
        assert (found("old name"), found("fresh title")) == ([], [row])
        store.write([DeleteFact(NS, fact.fact_id)], ANYONE)
        assert found("fresh title") == []
        store.write([UndeleteFact(NS, fact.fact_id)], ANYONE)
        assert found("fresh title") == [row]
        store.create_namespace("other", "", frozenset(), ANYONE)
        assert store.search_lexical("other", "fresh title", limit=5) == []

    def test_what_does_not_hold_takes_nobody_s_place(self, store: Store) -> None:
        """A history of old values is older than the valid one, and would fill every limit."""
        now = datetime.now(UTC)
        days = [timedelta(days=number) for number in range(9, -1, -1)]
        for start, end in pairwise([*(now - ago for ago in days), now + timedelta(days=1)]):
            create(store, "Gold", f"price of {start}", valid_from=start, valid_to=end)
        create(store, "Gold rush")
        for text in ("the price of gold", "gold rush", "a rush for gold"):
            assert len(store.search_lexical(NS, text, limit=4, now=now)) == 2
        assert len(store.search_lexical(NS, "the price of gold", limit=20)) == 11

    def test_a_history_makes_no_word_frequent(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("kb_store.sql.lexical.MAX_FREQUENCY", 10)
        now = datetime.now(UTC)
        for day in range(20):
            create(store, "Mirela Vantongeren", f"work on day {day}", valid_to=now - timedelta(days=30 - day))
        held = create(store, "Mirela Vantongeren", "work")
        hits = store.search_lexical(NS, "What does Vantongeren, Mirela do?", limit=5, now=now)
        assert [hit.row for hit in hits] == [row_of(store, held)]
        for day in range(20):
            create(store, "Mirela Vantongeren", f"wish of day {day}")
        assert store.search_lexical(NS, "What does Vantongeren do?", limit=5, now=now) == []

    @pytest.mark.parametrize("seed", range(6))
    def test_a_word_is_as_frequent_as_what_holds_here(
        self, store: Store, monkeypatch: pytest.MonkeyPatch, seed: int
    ) -> None:
        """What others store of it, or what held before, keeps no fact from being found by it."""
        monkeypatch.setattr("kb_store.sql.lexical.MAX_FREQUENCY", 10)
        chance, now = random.Random(seed), datetime.now(UTC)
        words = [f"word{number}" for number in range(8)]
        holding: defaultdict[str, set[int]] = defaultdict(set)
        store.create_namespace("other", "", frozenset(), ANYONE)
        for number in range(120):
            said = chance.sample(words, chance.choice([1, 2, 4]))
            here, ended, gone = chance.random() < 0.3, chance.random() < 0.3, chance.random() < 0.2
            fact = create(
                store,
                f"{' '.join(said)} unlike{number}",
                namespace=NS if here else "other",
                valid_to=now - timedelta(days=1) if ended else None,
            )
            if gone:
                store.write([DeleteFact(fact.namespace, fact.fact_id)], ANYONE)
            elif here and not ended:
                for word in said:
                    holding[word].add(row_of(store, fact))
        for word in words:
            hits = store.search_lexical(NS, f"What of {word}?", limit=99, now=now)
            assert {hit.row for hit in hits} == (holding[word] if len(holding[word]) <= 10 else set())

    def test_a_word_of_very_many_rows_is_frequent_whose_ever_they_are(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("kb_store.sql.lexical.MAX_FREQUENCY", 3)
        monkeypatch.setattr("kb_store.sql.lexical._MOST_LOOKED_AT", 20)
        now = datetime.now(UTC)
        held = create(store, "Mirela Vantongeren", "work")
        for day in range(19):
            create(store, "Mirela Vantongeren", f"work on day {day}", valid_to=now - timedelta(days=1))
        found = store.search_lexical(NS, "What does Vantongeren do?", limit=5, now=now)
        assert [hit.row for hit in found] == [row_of(store, held)]
        create(store, "Mirela Vantongeren", "work on another day", valid_to=now - timedelta(days=1))
        assert store.search_lexical(NS, "What does Vantongeren do?", limit=5, now=now) == []

    def test_names_of_symbols_are_found_beside_many(self, store: Store) -> None:
        symbols = [chr(code) for code in range(0x1F300, 0x1F500)]
        store.write([CreateFact(NS, Content(symbol, "means", "o")) for symbol in symbols], ANYONE)
        for symbol in (symbols[0], symbols[-1]):
            (hit,) = store.search_lexical(NS, f"What does {symbol} mean?", limit=5)
            assert store.facts_by_row(NS, [hit.row])[hit.row].content.subject == symbol

    @pytest.mark.parametrize(
        "text", ["", '"', "AND OR NOT", "a* NEAR(b, c)", "subject:x", "()", "\0", "\ud800 x", "😀" * 50]
    )
    def test_no_text_is_too_strange_to_search(self, store: Store, text: str) -> None:
        create(store, "x")
        assert len(store.search_lexical(NS, text, limit=5)) <= 1
