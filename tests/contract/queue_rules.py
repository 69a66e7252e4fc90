"""Outbox and OperationStore."""

from __future__ import annotations

import dataclasses
import threading

import pytest

from kb_store.contract import Store
from kb_store.errors import NotFound, StoreError
from kb_store.model import Context, CreateFact, DeleteFact, OperationRecord, UndeleteFact, UpdateFact
from tests.contract.harness import ANYONE, NS, Clock, Harness, Rules, content, create


class QueueRules(Rules):
    def test_every_change_is_in_the_outbox_in_commit_order(self, store: Store) -> None:
        assert (store.last_sequence(), store.read_outbox(after=0, limit=9)) == (0, [])
        fact = create(store)
        create(store)  # the same again: no change
        store.write([UpdateFact(NS, fact.fact_id, {"object": "x"}), DeleteFact(NS, fact.fact_id)], ANYONE)
        store.write([UndeleteFact(NS, fact.fact_id)], ANYONE)
        store.write([CreateFact(NS, content("Zoe"))], Context(validate_only=True))
        with pytest.raises(StoreError):
            store.write([CreateFact(NS, content("Zoe")), DeleteFact(NS, "none")], ANYONE)
        entries = store.read_outbox(after=0, limit=9)
        assert [entry.namespace_revision for entry in entries] == [1, 2, 3, 4]
        assert {(entry.namespace, entry.row) for entry in entries} == {(NS, entries[0].row)}
        sequences = [entry.sequence for entry in entries]
        assert sequences == sorted(set(sequences))
        assert store.last_sequence() == sequences[-1]
        assert store.read_outbox(after=sequences[0], limit=2) == entries[1:3]

    def test_purge_removes_what_is_past_its_time(self, store: Store, clock: Clock) -> None:
        keep, early, late = (create(store, f"s{n}") for n in range(3))
        store.write([DeleteFact(NS, early.fact_id)], ANYONE)
        clock.advance(days=1)
        store.write([DeleteFact(NS, late.fact_id)], ANYONE)
        assert store.purge(clock.advance(days=28)) == 0
        sequence = store.last_sequence()
        assert store.purge(clock.advance(days=1)) == 1
        with pytest.raises(NotFound):
            store.get_fact(NS, early.fact_id)
        with pytest.raises(NotFound):
            store.list_revisions(NS, early.fact_id, limit=10)
        assert store.list_facts(NS, limit=10, show_deleted=True).facts[0] == keep
        assert len(store.read_outbox(after=sequence, limit=10)) == 1
        assert store.check() == []
        assert create(store, "new", fact_id=early.fact_id).uid != early.uid

    def test_entries_tell_a_namespace_from_an_earlier_one(self, store: Store, clock: Clock) -> None:
        create(store, "earlier")
        (earlier,) = store.read_outbox(after=0, limit=9)
        assert earlier.namespace_create_time == store.get_namespace(NS).create_time
        store.delete_namespace(NS, force=True, etag="", context=ANYONE)
        clock.advance(seconds=1)
        store.create_namespace(NS, "", frozenset(), ANYONE)
        deleted = create(store, "later")
        store.write([DeleteFact(NS, deleted.fact_id)], ANYONE)
        made = [entry.namespace_create_time for entry in store.read_outbox(after=0, limit=9)]
        assert made == [None, None, *[store.get_namespace(NS).create_time] * 2]
        assert earlier.namespace_create_time != made[-1]

    def test_trimming_forgets_entries_but_not_the_count(
        self, store: Store, harness: Harness, clock: Clock
    ) -> None:
        for n in range(3):
            create(store, f"s{n}")
        entries = store.read_outbox(after=0, limit=9)
        store.trim_outbox(entries[1].sequence)
        assert store.read_outbox(after=0, limit=9) == entries[2:]
        store.trim_outbox(entries[2].sequence)
        assert store.read_outbox(after=0, limit=9) == []
        assert store.last_sequence() == entries[2].sequence
        store.close()
        store = harness.open(clock=clock)
        assert store.last_sequence() == entries[2].sequence
        create(store, "later")
        assert store.read_outbox(after=0, limit=9)[0].sequence > entries[2].sequence

    def test_listeners_hear_of_commits_and_may_fail(self, store: Store) -> None:
        heard = threading.Event()
        seen: list[int] = []

        def fails() -> None:
            raise RuntimeError("a listener's own trouble")

        def listens() -> None:
            seen.append(store.last_sequence())
            heard.set()

        store.on_commit(fails)
        store.on_commit(listens)
        create(store)
        assert heard.wait(60)
        assert seen[0] >= 1

    def test_operations_are_kept(self, store: Store, harness: Harness, clock: Clock) -> None:
        record = OperationRecord("b", "reindex", done=False, metadata=b"\x00m")
        store.save_operation(record)
        kept = store.get_operation("b")
        assert kept == dataclasses.replace(record, create_time=clock.now)
        clock.advance(seconds=5)
        finished = OperationRecord("b", "reindex", True, b"m2", b"r", 13, "broke")
        store.save_operation(finished)
        store.save_operation(OperationRecord("a", "import", False, b""))
        store.close()
        store = harness.open(clock=clock)
        assert store.get_operation("b") == dataclasses.replace(finished, create_time=kept.create_time)
        assert [each.operation_id for each in store.list_operations(limit=9)] == ["a", "b"]
        assert [each.operation_id for each in store.list_operations(limit=1, after="a")] == ["b"]
        store.delete_operation("b")
        for refuse in (store.get_operation, store.delete_operation):
            with pytest.raises(NotFound):
                refuse("b")

    def test_the_outbox_waits_for_replicas_that_read(self, store: Store, clock: Clock) -> None:
        create(store, "before")
        store.join("slow", reads_outbox=True)
        store.join("searcher", reads_outbox=False)
        store.join("me", reads_outbox=True)
        create(store, "after")
        newest = store.last_sequence()
        store.trim_outbox(newest)
        assert [entry.sequence for entry in store.read_outbox(after=0, limit=9)] == [newest]
        assert store.replicas() == {"slow", "searcher", "me"}
        clock.advance(days=2)
        store.join("slow", reads_outbox=True)  # a restart: it has still not read
        store.join("me", reads_outbox=True)
        store.trim_outbox(newest)
        assert len(store.read_outbox(after=0, limit=9)) == 1
        clock.advance(days=2)
        store.join("me", reads_outbox=True)
        clock.advance(days=2)
        store.join("me", reads_outbox=True)
        store.trim_outbox(newest)
        assert store.read_outbox(after=0, limit=9) == []
        assert store.replicas() == {"me"}

    def test_keys_are_shared(self, store: Store, harness: Harness) -> None:
        assert store.shared_key("pages", b"\x00first") == b"\x00first"
        assert store.shared_key("pages", b"second") == b"\x00first"
        assert store.shared_key("others", b"second") == b"second"
        store.close()
        assert harness.open().shared_key("pages", b"third") == b"\x00first"

    def test_operations_say_who_runs_them(self, store: Store) -> None:
        store.save_operation(OperationRecord("a", "import", False, b"", replica="me"))
        store.save_operation(OperationRecord("a", "import", True, b"", replica="another"))
        store.save_operation(OperationRecord("b", "import", False, b""))
        assert [record.replica for record in store.list_operations(limit=9)] == ["me", ""]
        assert store.get_operation("a").replica == "me"
        store.delete_operation("a")
        store.save_operation(OperationRecord("a", "import", False, b"", replica="later"))
        assert store.get_operation("a").replica == "later"
