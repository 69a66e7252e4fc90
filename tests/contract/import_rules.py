"""FactWriter: imports."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from kb_store.contract import RowImporter, Store
from kb_store.errors import ImportRunning, InvalidInput, NotFound
from kb_store.model import (
    Action,
    ConflictPolicy,
    Content,
    Context,
    DeleteFact,
    ImportProgress,
    ImportResult,
    ImportRow,
)
from kb_store.reviews import Quarantine
from tests.contract.harness import ANYONE, NS, Harness, Rules, content, create, revision, traces

FAIL, REPLACE, ADD = ConflictPolicy.FAIL, ConflictPolicy.REPLACE, ConflictPolicy.ADD


def bring(
    store: Store, *rows: ImportRow | Content, policy: ConflictPolicy = FAIL, context: Context = ANYONE
) -> ImportResult:
    whole = [row if isinstance(row, ImportRow) else ImportRow(n, row) for n, row in enumerate(rows, start=1)]
    return store.import_rows(NS, "imp", whole, policy, context).result()


def counts(progress: ImportProgress) -> tuple[int, int, int, int]:
    return progress.rows, progress.written, progress.unchanged, progress.failed


class ImportRules(Rules):
    def test_rows_become_facts_and_progress_is_kept(self, store: Store, harness: Harness) -> None:
        assert counts(store.import_progress(NS, "imp")) == (0, 0, 0, 0)
        result = bring(store, content("a"), content("b"), ImportRow(3, content("c"), "given"))
        assert counts(result.progress) == (3, 3, 0, 0)
        assert result.namespace_revision == revision(store) == 3
        assert [fact.content.subject for fact in store.list_facts(NS, limit=9).facts] == ["a", "b", "c"]
        assert store.get_fact(NS, "given").content.subject == "c"
        result = bring(store, content("d"))
        assert counts(result.progress) == (4, 4, 0, 0)
        store.close()
        assert store_progress(harness.open()) == (4, 4, 0, 0)

    def test_what_is_stored_is_unchanged(self, store: Store) -> None:
        rows = [content("a"), ImportRow(2, content("b", aliases=("x",)), "bee")]
        bring(store, *rows)
        facts = store.list_facts(NS, limit=9).facts
        for policy in (FAIL, REPLACE, ADD):
            result = bring(store, *rows, content("a"), policy=policy)
            assert result.failures == ()
        assert counts(result.progress) == (11, 2, 9, 0)
        assert store.list_facts(NS, limit=9).facts == facts
        assert revision(store) == 2

    def test_bad_rows_are_reported_with_their_line_and_hinder_nobody(self, store: Store) -> None:
        create(store, "taken", fact_id="taken")
        result = bring(
            store,
            ImportRow(10, content("a")),
            ImportRow(11, content("")),
            ImportRow(12, content("b"), "NO ID"),
            ImportRow(13, content("a", object_="Beta")),
            ImportRow(14, content("c"), "taken"),
            ImportRow(15, content("c" * 300)),
            ImportRow(16, content("d")),
        )
        assert [(failure.line, failure.reason) for failure in result.failures] == [
            (11, "INVALID_FIELD"),
            (12, "INVALID_FIELD"),
            (13, "CONFLICTING_FACT"),
            (14, "ALREADY_EXISTS"),
            (15, "LIMIT_EXCEEDED"),
        ]
        assert all(failure.message for failure in result.failures)
        assert counts(result.progress) == (7, 2, 0, 5)
        assert [fact.content.subject for fact in store.list_facts(NS, limit=9).facts] == ["taken", "a", "d"]

    def test_replace_corrects_stored_facts_and_rows_of_the_same_chunk(self, store: Store) -> None:
        stored = create(store, "a")
        given = create(store, "g", fact_id="given")
        result = bring(
            store,
            content("a", object_="Beta"),
            content("n", object_="one"),
            content("n", object_="two"),
            content("a", object_="Gamma"),
            ImportRow(5, content("h", object_="new"), "given"),
            content("h", object_="newer"),
            policy=REPLACE,
        )
        assert counts(result.progress) == (6, 6, 0, 0)
        assert store.get_fact(NS, stored.fact_id).content.object == "Gamma"
        assert store.get_fact(NS, given.fact_id).content == content("h", object_="newer")
        assert [entry.action for entry in store.list_revisions(NS, stored.fact_id, limit=9)] == [
            Action.REPLACE,
            Action.REPLACE,
            Action.CREATE,
        ]
        assert store.get_namespace(NS).fact_count == 3
        assert revision(store) == 8
        assert store.check() == []

    def test_replace_does_not_push_a_named_fact_into_a_conflict(self, store: Store) -> None:
        create(store, "a")
        create(store, "b", fact_id="bee")
        result = bring(store, ImportRow(1, content("a", object_="Beta"), "bee"), policy=REPLACE)
        assert [failure.reason for failure in result.failures] == ["CONFLICTING_FACT"]

    def test_what_is_stored_under_another_id_is_not_stored_twice(self, store: Store) -> None:
        create(store, "a", fact_id="ant", source="register")
        for policy in (FAIL, ADD, REPLACE):
            result = bring(store, ImportRow(1, content("a", source="register"), "bee"), policy=policy)
            assert result.failures == ()
        assert counts(result.progress) == (3, 0, 3, 0)
        for object_ in ("Beta", "Beta", "Gamma"):
            result = bring(store, ImportRow(1, content("a", object_=object_), "bee"), policy=REPLACE)
            assert result.failures == ()
        assert counts(result.progress) == (6, 2, 4, 0)
        (only,) = store.list_facts(NS, limit=9).facts
        assert (only.fact_id, only.content) == ("ant", content("a", object_="Gamma"))

    def test_two_times_of_one_file_are_two_facts(self, store: Store) -> None:
        terms = [content("a", valid_from=datetime(year, 3, 4, tzinfo=UTC)) for year in (1885, 1893)]
        assert [each.reason for each in bring(store, *terms).failures] == ["CONFLICTING_FACT"]
        for _ in range(2):
            result = bring(store, *terms, policy=ADD)
        assert counts(result.progress) == (6, 2, 3, 1)
        assert [fact.content for fact in store.list_facts(NS, limit=9).facts] == terms

    def test_facts_of_other_namespaces_are_nothing_to_an_import(self, store: Store) -> None:
        store.create_namespace("other", "", frozenset(), ANYONE)
        create(store, "a", object_="Beta", namespace="other", fact_id="one")
        result = bring(store, ImportRow(1, content("a"), "one"), content("a"))
        assert counts(result.progress) == (2, 1, 1, 0)
        assert counts(store.import_progress("other", "imp")) == (0, 0, 0, 0)

    def test_add_keeps_both(self, store: Store) -> None:
        create(store, "a")
        result = bring(store, content("a", object_="Beta"), content("a", object_="Gamma"), policy=ADD)
        assert counts(result.progress) == (2, 2, 0, 0)
        assert store.get_namespace(NS).fact_count == 3

    def test_multi_valued_relations_take_several_objects(self, store: Store) -> None:
        rows = [content("a", "child", f"c{n}") for n in range(5)]
        assert counts(bring(store, *rows).progress) == (5, 5, 0, 0)

    @pytest.mark.parametrize("fact_id", ["", "two"])
    def test_another_time_is_refused_or_replaces_with_and_without_an_id(
        self, store: Store, fact_id: str
    ) -> None:
        terms = [content("a", valid_from=datetime(year, 3, 4, tzinfo=UTC)) for year in (1885, 1893)]
        create(store, "a", fact_id="one", valid_from=terms[0].valid_from)
        (failure,) = bring(store, ImportRow(1, terms[1], fact_id)).failures
        assert failure.reason == "CONFLICTING_FACT"
        assert counts(bring(store, ImportRow(1, terms[1], fact_id), policy=REPLACE).progress)[1] == 1
        assert [(fact.fact_id, fact.content) for fact in store.list_facts(NS, limit=9).facts] == [
            ("one", terms[1])
        ]

    def test_terms_that_stand_together_are_each_replaced_by_their_ids(self, store: Store) -> None:
        terms = [content("a", valid_from=datetime(year, 3, 4, tzinfo=UTC)) for year in (1885, 1893)]
        bring(store, *(ImportRow(n, said, f"t{n}") for n, said in enumerate(terms)), policy=ADD)
        corrected = [replace(said, aliases=("A.",)) for said in terms]
        rows = [ImportRow(n, said, f"t{n}") for n, said in enumerate(corrected)]
        assert bring(store, *rows, policy=REPLACE).failures == ()
        assert [fact.content for fact in store.list_facts(NS, limit=9).facts] == corrected
        elsewhere = content("b", valid_from=datetime(1897, 3, 4, tzinfo=UTC))
        moved = replace(elsewhere, subject="a")
        bring(store, ImportRow(1, elsewhere, "b"))
        (failure,) = bring(store, ImportRow(1, moved, "b"), policy=REPLACE).failures
        assert failure.reason == "CONFLICTING_FACT"

    def test_ids_given_twice_and_ids_of_deleted_facts(self, store: Store) -> None:
        create(store, "gone", fact_id="gone")
        store.write([DeleteFact(NS, "gone")], ANYONE)
        result = bring(
            store,
            ImportRow(1, content("a"), "one"),
            ImportRow(2, content("b"), "one"),
            ImportRow(3, content("gone"), "gone"),
            policy=ADD,
        )
        assert [(each.line, each.reason) for each in result.failures] == [
            (2, "ALREADY_EXISTS"),
            (3, "ALREADY_EXISTS"),
        ]

    def test_many_rows_reach_index_and_names(self, store: Store) -> None:
        sequence = store.last_sequence()
        bring(store, *(content(f"Person Number{n}", f"relation {n % 3}", "x" * 500) for n in range(1500)))
        entries = store.read_outbox(after=sequence, limit=10_000)
        assert [entry.namespace_revision for entry in entries] == list(range(1, 1501))
        (hit, *_) = store.search_lexical(NS, "person number777", limit=3)
        assert store.facts_by_row(NS, [hit.row])[hit.row].content.subject == "Person Number777"
        assert store.check() == []

    def test_validate_only_tells_and_writes_nothing(self, store: Store) -> None:
        create(store, "a")
        before = traces(store)
        rows = [content("a"), content("a", object_="Beta"), content("b")]
        result = bring(store, *rows, context=Context(validate_only=True))
        assert counts(result.progress) == (3, 1, 1, 1)
        assert traces(store) == before
        assert counts(store.import_progress(NS, "imp")) == (0, 0, 0, 0)

    def test_a_chunk_that_another_has_overtaken_is_refused(self, store: Store) -> None:
        first, second = ([ImportRow(n, content(f"s{n}"))] for n in (1, 2))
        store.import_rows(NS, "imp", first, FAIL, ANYONE, after=0).result()
        before = traces(store)
        for after, rows in ((0, first), (0, second), (2, second)):
            with pytest.raises(ImportRunning, match="imp"):
                store.import_rows(NS, "imp", rows, FAIL, ANYONE, after=after).result()
        assert traces(store) == before
        assert counts(store.import_progress(NS, "imp")) == (1, 1, 0, 0)
        assert counts(store.import_rows(NS, "imp", second, FAIL, ANYONE, after=1).result().progress)[0] == 2

    def test_progress_counts_what_was_handed_in(self, store: Store) -> None:
        rows = [ImportRow(n, content(f"s{n}")) for n in range(500)]
        chunk = store.import_rows(NS, "imp", rows, FAIL, ANYONE)
        assert counts(store.import_progress(NS, "imp")) == (500, 500, 0, 0)
        assert chunk.result().progress.rows == 500

    @pytest.mark.parametrize("policy", [FAIL, REPLACE, ADD])
    @pytest.mark.parametrize("quarantine", [Quarantine.OFF, Quarantine.FLAGGED])
    def test_a_rehearsal_tells_what_the_import_will_do(
        self, store: Store, policy: ConflictPolicy, quarantine: Quarantine
    ) -> None:
        create(store, "a")
        create(store, "b", fact_id="bee")
        create(store, "gone", fact_id="gone")
        store.write([DeleteFact(NS, "gone")], ANYONE)
        waiting = [ImportRow(1, content("w", object_="a\u200bb"))]
        store.import_rows(NS, "earlier", waiting, FAIL, ANYONE, quarantine=Quarantine.FLAGGED).result()
        said = [
            (content("a"), content("a", object_="Beta")),
            (ImportRow(3, content("c", object_="Beta"), "bee"), content("b", object_="Beta")),
            (content("b", object_="Gamma"), content("a", object_="Beta")),
            (ImportRow(7, content("d"), "dee"), ImportRow(8, content("d", "child"), "gone")),
            (ImportRow(9, content("d", object_="Beta"), "dee"), ImportRow(10, content("d"), "other")),
            (content("w", object_="a\u200bb"), content("x", object_="c\u200bd")),
            (content("x", object_="c\u200bd"), ImportRow(14, content("\ud800"))),
            (content("a", aliases=("A.",)), content("d", valid_to=datetime(2030, 1, 1, tzinfo=UTC))),
            (ImportRow(17, content("b"), "bird"), ImportRow(18, content("a", source="x"), "bee")),
        ]
        chunks = [
            [
                row if isinstance(row, ImportRow) else ImportRow(2 * n + m, row)
                for m, row in enumerate(pair, 1)
            ]
            for n, pair in enumerate(said)
        ]

        def outcomes(importer: RowImporter, context: Context) -> list[tuple[object, ...]]:
            found: list[tuple[object, ...]] = []
            for n, rows in enumerate(chunks):
                given = importer.import_rows(
                    NS, "imp", rows, policy, context, quarantine=quarantine, after=2 * n
                ).result()
                failed = [(failure.line, failure.reason) for failure in given.failures]
                found.append((counts(given.progress), failed, given.held))
            return found

        before = traces(store), store.count_held(), store.read_audit(limit=100)
        rehearsed = outcomes(store.rehearsal(), Context(validate_only=True))
        assert (traces(store), store.count_held(), store.read_audit(limit=100)) == before
        assert counts(store.import_progress(NS, "imp")) == (0, 0, 0, 0)
        assert outcomes(store, ANYONE) == rehearsed

    def test_a_rehearsal_is_of_the_whole_import_and_hinders_no_writes(self, store: Store) -> None:
        bring(store, content("a"))
        rehearsal = store.rehearsal()
        assert counts(rehearsal.import_progress(NS, "imp")) == (0, 0, 0, 0)
        result = rehearsal.import_rows(
            NS, "imp", [ImportRow(1, content("b"))], FAIL, ANYONE, after=0
        ).result()
        assert counts(result.progress) == counts(rehearsal.import_progress(NS, "imp")) == (1, 1, 0, 0)
        create(store, "b", object_="Beta", fact_id="bee")
        create(store, "c", object_="Beta")
        rows = [ImportRow(2, content("b")), ImportRow(3, content("c")), ImportRow(4, content("d"), "bee")]
        result = rehearsal.import_rows(NS, "imp", rows, FAIL, ANYONE, after=1).result()
        assert counts(result.progress) == (4, 1, 1, 2)
        with pytest.raises(NotFound):
            rehearsal.import_rows("nowhere", "imp", rows, FAIL, ANYONE).result()
        with pytest.raises(InvalidInput, match="import_id"):
            rehearsal.import_rows(NS, "", rows, FAIL, ANYONE).result()

    def test_a_rehearsal_names_no_facts_that_nobody_will_find(self, store: Store) -> None:
        rows = [content("a"), content("b"), content("b", object_="Beta")]
        whole = [ImportRow(line, row) for line, row in enumerate(rows, start=1)]
        (failure,) = store.rehearsal().import_rows(NS, "imp", whole, FAIL, ANYONE).result().failures
        assert "(new fact 2 of this file)" in failure.message

    def test_unknown_namespace_and_bad_import_id(self, store: Store) -> None:
        with pytest.raises(NotFound):
            store.import_rows("nowhere", "imp", [ImportRow(1, content())], FAIL, ANYONE).result()
        with pytest.raises(InvalidInput, match="import_id"):
            store.import_rows(NS, "", [ImportRow(1, content())], FAIL, ANYONE).result()
        with pytest.raises(InvalidInput, match="import_id"):
            store.import_progress(NS, "a\0b")


def store_progress(store: Store) -> tuple[int, int, int, int]:
    return counts(store.import_progress(NS, "imp"))
