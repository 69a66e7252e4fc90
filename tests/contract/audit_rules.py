"""AuditLog: an entry for each mutation, numbered and chained, and nothing for what was refused."""

from __future__ import annotations

import pytest

from kb_store.audit import AuditHead, chained
from kb_store.contract import Store
from kb_store.errors import ConflictingFact, InvalidInput
from kb_store.model import ConflictPolicy, Context, CreateFact, DeleteFact, ImportRow
from tests.contract.harness import ANYONE, NS, Harness, Rules, content, create


class AuditRules(Rules):
    def test_each_mutation_is_an_entry(self, store: Store) -> None:
        anna = Context(principal="anna")
        both = [CreateFact(NS, content(), "one"), CreateFact(NS, content("B"), "two")]
        store.write(both, Context(principal="anna", request_id="r-1"))
        store.write([DeleteFact(NS, "two")], ANYONE)
        rows = [ImportRow(2, content("C")), ImportRow(3, content("D"))]
        store.import_rows(NS, "import-1", rows, ConflictPolicy.FAIL, anna).result()
        store.create_namespace("other", "", frozenset(), anna)
        store.delete_namespace("other", force=True, etag="", context=anna)
        found = [(entry.action, entry.target, entry.principal) for entry in store.read_audit(limit=100)]
        assert list(reversed(found)) == [
            ("namespace.create", NS, "anonymous"),
            ("fact.create", "one", "anna"),
            ("fact.create", "two", "anna"),
            ("fact.delete", "two", "anonymous"),
            ("import", "import-1", "anna"),
            ("namespace.create", "other", "anna"),
            ("namespace.delete", "other", "anna"),
        ]
        numbers = [entry.entry_id for entry in store.read_audit(limit=100)]
        assert numbers == [7, 6, 5, 4, 3, 2, 1]
        assert store.read_audit(limit=1, before=3)[0].request_id == "r-1"

    def test_what_is_refused_repeated_or_only_checked_leaves_none(self, store: Store) -> None:
        once = Context(request_id="r-1")
        create(store, fact_id="one")
        before = store.verify_audit()
        with pytest.raises(ConflictingFact):
            create(store, object_="Other")
        store.write([CreateFact(NS, content("B"))], Context(validate_only=True))
        assert store.verify_audit() == before
        store.write([CreateFact(NS, content("C"))], once)
        store.write([CreateFact(NS, content("C"))], once)
        assert store.verify_audit().entries == before.entries + 1

    def test_entries_are_told_apart_by_namespace_and_caller(self, store: Store) -> None:
        store.create_namespace("other", "", frozenset(), Context(principal="eve"))
        create(store)
        assert {entry.namespace for entry in store.read_audit(limit=9, namespace="other")} == {"other"}
        assert [entry.action for entry in store.read_audit(limit=9, principal="eve")] == ["namespace.create"]
        with pytest.raises(InvalidInput):
            store.read_audit(limit=0)

    def test_the_chain_holds_and_goes_on_after_reopening(self, store: Store, harness: Harness) -> None:
        create(store, fact_id="one")
        first = store.verify_audit()
        assert (first.entries, first.problems) == (2, ())
        newest, oldest = store.read_audit(limit=9)
        assert chained(chained(AuditHead().digest, oldest), newest) == first.head.digest
        store.close()
        again = harness.open()
        create(again, "B")
        verdict = again.verify_audit(first.head)
        assert (verdict.entries, verdict.problems) == (3, ())
        assert again.verify_audit(AuditHead()).problems == ()
        foreign = again.verify_audit(AuditHead(2, "0" * 64))
        assert foreign.problems == ("entry 2 is not the one that was written down",)
