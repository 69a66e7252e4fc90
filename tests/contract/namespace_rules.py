"""NamespaceStore."""

from __future__ import annotations

import pytest

from kb_store.contract import Store
from kb_store.errors import (
    AlreadyExists,
    EtagMismatch,
    InvalidInput,
    LimitExceeded,
    NotFound,
    RequestIdReused,
    WrongState,
)
from kb_store.model import ConflictPolicy, Context, CreateFact, ImportRow, RelationExamples, UpdateFact
from tests.contract.harness import ANYONE, NS, Clock, Harness, Rules, content, create, revision


class NamespaceRules(Rules):
    def test_created_namespace_is_complete(self, store: Store, clock: Clock) -> None:
        made = store.create_namespace("staff", "Our staff", frozenset({"speaks", "child"}), ANYONE)
        assert (made.namespace_id, made.display_name) == ("staff", "Our staff")
        assert made.multi_valued_relations == {"speaks", "child"}
        assert (made.revision, made.fact_count) == (0, 0)
        assert made.create_time == made.update_time == clock.now
        assert store.get_namespace("staff") == made

    def test_refusals(self, store: Store) -> None:
        with pytest.raises(AlreadyExists):
            store.create_namespace(NS, "", frozenset(), ANYONE)
        with pytest.raises(InvalidInput, match="namespace_id"):
            store.create_namespace("No Good", "", frozenset(), ANYONE)
        with pytest.raises(LimitExceeded, match="max_display_name_length"):
            store.create_namespace("b", "x" * 129, frozenset(), ANYONE)
        with pytest.raises(LimitExceeded, match="max_multi_valued_relations"):
            store.create_namespace("b", "", frozenset(map(str, range(257))), ANYONE)
        with pytest.raises(InvalidInput, match="multi_valued_relations"):
            store.create_namespace("b", "", frozenset({"a\nb"}), ANYONE)
        for name in ("b", "", "\ud800"):
            with pytest.raises(NotFound):
                store.get_namespace(name)

    def test_listed_by_id(self, store: Store) -> None:
        for name in ("b", "a1", "a-1", "a"):
            store.create_namespace(name, "", frozenset(), ANYONE)
        first = store.list_namespaces(limit=3)
        rest = store.list_namespaces(limit=3, after=first[-1].namespace_id)
        assert [each.namespace_id for each in (*first, *rest)] == ["a", "a-1", "a1", "b", NS]

    def test_update_changes_what_is_given(self, store: Store, clock: Clock) -> None:
        before = store.get_namespace(NS)
        clock.advance(seconds=1)
        named = store.update_namespace(
            NS, display_name="New", multi_valued=None, etag=before.etag, context=ANYONE
        )
        assert (named.display_name, named.multi_valued_relations) == ("New", {"child"})
        assert (named.create_time, named.update_time) == (before.create_time, clock.now)
        with pytest.raises(EtagMismatch):
            store.update_namespace(NS, display_name="x", multi_valued=None, etag=before.etag, context=ANYONE)
        opened = store.update_namespace(
            NS, display_name=None, multi_valued=frozenset({"employer"}), etag=named.etag, context=ANYONE
        )
        assert store.get_namespace(NS) == opened
        create(store, object_="Acme")
        create(store, object_="Beta")
        with pytest.raises(NotFound):
            store.update_namespace("nowhere", display_name="x", multi_valued=None, etag="", context=ANYONE)

    def test_how_relations_are_asked_for(self, store: Store) -> None:
        said = [RelationExamples("speaks", ("{s} grew up with",)), RelationExamples("born", ("a?", "b"))]
        made = store.create_namespace("staff", "", frozenset(), ANYONE, said)
        assert made.relation_examples == tuple(reversed(said))
        assert store.get_namespace("staff") == made
        assert store.list_namespaces(limit=9)[-1].relation_examples == made.relation_examples
        assert store.get_namespace(NS).relation_examples == ()
        unchanged = {"display_name": None, "multi_valued": None, "context": ANYONE}
        named = store.update_namespace("staff", etag="", **{**unchanged, "display_name": "S"})
        assert named.relation_examples == made.relation_examples
        fewer = store.update_namespace("staff", etag=named.etag, relation_examples=said[:1], **unchanged)
        assert (fewer.relation_examples, fewer.display_name) == ((said[0],), "S")
        assert fewer.etag != named.etag
        same = store.update_namespace("staff", etag="", relation_examples=said[:1], **unchanged)
        assert same.etag == fewer.etag
        none = store.update_namespace("staff", etag="", relation_examples=[], **unchanged)
        assert none.relation_examples == ()

    @pytest.mark.parametrize(
        ("said", "problem"),
        [
            ([RelationExamples("r", ())], "no examples"),
            ([RelationExamples("r", ("a",)), RelationExamples("r", ("b",))], "twice"),
            ([RelationExamples("", ("a",))], "relation_examples"),
            ([RelationExamples("r", ("",))], "relation_examples"),
            ([RelationExamples("r", ("x" * 257,))], "max_example_length"),
            ([RelationExamples("r", ("x",) * 17)], "max_relation_examples"),
            ([RelationExamples(str(number), ("x",)) for number in range(257)], "max_described_relations"),
        ],
    )
    def test_examples_that_are_refused(
        self, store: Store, said: list[RelationExamples], problem: str
    ) -> None:
        with pytest.raises((InvalidInput, LimitExceeded), match=problem):
            store.create_namespace("staff", "", frozenset(), ANYONE, said)
        with pytest.raises((InvalidInput, LimitExceeded), match=problem):
            store.update_namespace(
                NS, display_name=None, multi_valued=None, etag="", context=ANYONE, relation_examples=said
            )

    def test_writing_facts_leaves_the_etag(self, store: Store) -> None:
        before = store.get_namespace(NS)
        create(store)
        after = store.get_namespace(NS)
        assert (after.etag, after.revision, after.fact_count) == (before.etag, 1, 1)

    def test_retries(self, store: Store) -> None:
        context = Context(request_id="one", request_digest="d")
        made = store.create_namespace("staff", "", frozenset(), context)
        create(store, namespace="staff")
        assert store.create_namespace("staff", "", frozenset(), context) == made
        with pytest.raises(RequestIdReused):
            store.create_namespace("staff", "", frozenset(), Context(request_id="one", request_digest="e"))
        change = Context(request_id="two", request_digest="d")
        changed = store.update_namespace(
            "staff", display_name="A", multi_valued=None, etag="", context=change
        )
        store.update_namespace("staff", display_name="B", multi_valued=None, etag="", context=ANYONE)
        again = store.update_namespace("staff", display_name="A", multi_valued=None, etag="", context=change)
        assert again == changed
        assert store.get_namespace("staff").display_name == "B"
        gone = Context(request_id="three", request_digest="d")
        for _ in range(2):
            store.delete_namespace("staff", force=True, etag="", context=gone)

    def test_retries_after_the_deletion(self, store: Store) -> None:
        made, gone = Context(request_id="one"), Context(request_id="two")
        first = store.create_namespace("staff", "", frozenset(), made)
        store.delete_namespace("staff", force=True, etag="", context=gone)
        assert store.create_namespace("staff", "", frozenset(), made) == first
        with pytest.raises(NotFound):
            store.get_namespace("staff")
        for _ in range(2):
            anew = store.create_namespace("staff", "", frozenset(), ANYONE)
            store.delete_namespace("staff", force=True, etag="", context=gone)
            assert store.get_namespace("staff") == anew
            store.delete_namespace("staff", force=True, etag="", context=ANYONE)

    def test_writes_from_before_the_deletion_are_not_made_again(self, store: Store, clock: Clock) -> None:
        request = Context(request_id="one")
        (fact,) = store.write([CreateFact(NS, content())], request).facts
        change = [UpdateFact(NS, fact.fact_id, {"object": "Beta"})]
        store.write(change, Context(request_id="two"))
        store.delete_namespace(NS, force=True, etag="", context=ANYONE)
        anew = store.create_namespace(NS, "", frozenset(), ANYONE)
        with pytest.raises(NotFound):
            store.write([CreateFact(NS, content())], request)
        create(store, fact_id=fact.fact_id)
        with pytest.raises(NotFound):
            store.write(change, Context(request_id="two"))
        assert store.get_fact(NS, fact.fact_id).content == content()
        assert store.get_namespace(NS).create_time == anew.create_time
        store.purge(clock.advance(days=2))
        assert not store.write([CreateFact(NS, content("Zoe"))], request).replayed

    def test_validate_only(self, store: Store) -> None:
        check = Context(validate_only=True)
        assert store.create_namespace("staff", "", frozenset(), check).namespace_id == "staff"
        with pytest.raises(NotFound):
            store.get_namespace("staff")
        before = store.get_namespace(NS)
        store.update_namespace(NS, display_name="x", multi_valued=None, etag="", context=check)
        store.delete_namespace(NS, force=True, etag="", context=check)
        assert store.get_namespace(NS) == before

    def test_deletion_needs_force_when_there_are_facts(self, store: Store) -> None:
        fact = create(store)
        with pytest.raises(WrongState):
            store.delete_namespace(NS, force=False, etag="", context=ANYONE)
        with pytest.raises(EtagMismatch):
            store.delete_namespace(NS, force=True, etag="stale", context=ANYONE)
        with pytest.raises(NotFound):
            store.delete_namespace("nowhere", force=True, etag="", context=ANYONE)
        assert store.get_fact(NS, fact.fact_id) == fact

    def test_deletion_removes_everything_and_tells_the_index(self, store: Store, harness: Harness) -> None:
        store.create_namespace("other", "", frozenset(), ANYONE)
        kept = create(store, namespace="other")
        (fact,) = store.write([CreateFact(NS, content(), "job")], ANYONE).facts
        create(store, "Ben")
        store.import_rows(NS, "imp", [ImportRow(1, content("c"))], ConflictPolicy.FAIL, ANYONE).result()
        rows = {row for batch in store.all_rows(NS, batch=9) for row, _ in batch}
        sequence = store.last_sequence()
        before = store.get_namespace(NS)
        store.delete_namespace(NS, force=True, etag=before.etag, context=ANYONE)
        with pytest.raises(NotFound):
            store.get_fact(NS, "job")
        with pytest.raises(NotFound):
            store.list_facts(NS, limit=1)
        assert {entry.row for entry in store.read_outbox(after=sequence, limit=99)} == rows
        assert store.facts_by_row(NS, list(rows)) == {}
        assert store.search_lexical(NS, "Anna Keller", limit=5) == []
        assert store.check() == []

        again = store.create_namespace(NS, "", frozenset(), ANYONE)
        assert again.etag != before.etag
        assert revision(store) == 0
        assert store.import_progress(NS, "imp").rows == 0
        assert create(store, fact_id="job").uid != fact.uid
        assert rows.isdisjoint(row for batch in store.all_rows(NS, batch=9) for row, _ in batch)
        assert store.get_fact("other", kept.fact_id) == kept
