"""FactWriter: group commit, safe retries, validate_only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from kb_store.contract import Store
from kb_store.errors import AlreadyExists, ConflictingFact, RequestIdReused, StoreClosed, StoreError
from kb_store.model import Context, CreateFact, DeleteFact, UpdateFact, WriteResult
from tests.contract.harness import ANYONE, NS, Clock, Harness, Rules, content, create, revision, traces


class RequestRules(Rules):
    def test_a_retry_gets_the_first_answer(self, store: Store) -> None:
        context = Context(request_id="one", request_digest="d")
        mutations = [CreateFact(NS, content()), CreateFact(NS, content("Zoe"))]
        first = store.write(mutations, context)
        store.write([UpdateFact(NS, first.facts[0].fact_id, {"object": "Beta"})], ANYONE)
        store.write([DeleteFact(NS, first.facts[1].fact_id)], ANYONE)
        before = traces(store)
        again = store.write(mutations, context)
        assert (again.facts, again.namespace_revision) == (first.facts, first.namespace_revision)
        assert (first.replayed, again.replayed) == (False, True)
        assert traces(store) == before

    def test_a_retry_after_a_restart(self, store: Store, harness: Harness, clock: Clock) -> None:
        context = Context(request_id="one", request_digest="d")
        first = store.write([CreateFact(NS, content())], context)
        store.close()
        store = harness.open(clock=clock)
        again = store.write([CreateFact(NS, content())], context)
        assert (again.facts, again.replayed) == (first.facts, True)

    def test_another_request_under_the_same_id_is_refused(self, store: Store) -> None:
        store.write([CreateFact(NS, content())], Context(request_id="one", request_digest="d"))
        with pytest.raises(RequestIdReused):
            store.write([CreateFact(NS, content())], Context(request_id="one", request_digest="e"))
        store.write([CreateFact(NS, content("Zoe"))], Context(request_id="two"))
        with pytest.raises(RequestIdReused):
            store.write([CreateFact(NS, content("Zora"))], Context(request_id="two"))

    def test_a_refused_request_is_not_remembered(self, store: Store) -> None:
        fact = create(store)
        context = Context(request_id="one", request_digest="d")
        with pytest.raises(ConflictingFact):
            store.write([CreateFact(NS, content(object_="Beta"))], context)
        store.write([DeleteFact(NS, fact.fact_id)], ANYONE)
        assert not store.write([CreateFact(NS, content(object_="Beta"))], context).replayed

    def test_requests_are_kept_a_day(self, store: Store, clock: Clock) -> None:
        context = Context(request_id="one", request_digest="d")
        store.write([CreateFact(NS, content())], context)
        store.purge(clock.advance(hours=23, minutes=59))
        assert store.write([CreateFact(NS, content())], context).replayed
        store.purge(clock.advance(minutes=2))
        assert not store.write([CreateFact(NS, content())], context).replayed

    def test_concurrent_retries_have_one_effect(self, store: Store) -> None:
        context = Context(request_id="one", request_digest="d")
        results: list[WriteResult] = []

        def retry() -> None:
            results.extend(store.write([CreateFact(NS, content(), "only")], context) for _ in range(20))

        _run_all([retry] * 4)
        assert len({result.facts for result in results}) == 1
        assert sum(not result.replayed for result in results) == 1
        assert revision(store) == 1

    def test_validate_only_tells_and_writes_nothing(self, store: Store) -> None:
        fact = create(store)
        before = traces(store)
        context = Context(validate_only=True, request_id="one", request_digest="d")
        result = store.write(
            [UpdateFact(NS, fact.fact_id, {"object": "Beta"}), CreateFact(NS, content("Zoe"))], context
        )
        assert [each.content.object for each in result.facts] == ["Beta", "Acme"]
        assert result.namespace_revision == 3
        with pytest.raises(ConflictingFact):
            store.write([CreateFact(NS, content(object_="Beta"))], Context(validate_only=True))
        assert traces(store) == before
        assert not store.write(
            [UpdateFact(NS, fact.fact_id, {"object": "Beta"})], Context(request_id="one", request_digest="d")
        ).replayed

    def test_a_refused_write_does_not_disturb_its_group(self, store: Store) -> None:
        create(store, "taken", fact_id="taken")
        futures = []
        for number in range(60):
            bad = number % 3 == 1
            mutations = [CreateFact(NS, content(f"s{number}"), f"f{number}")]
            if bad:
                mutations.append(CreateFact(NS, content("again"), "taken"))
            futures.append((bad, number, store.submit(mutations, ANYONE)))
        for bad, number, future in futures:
            if bad:
                with pytest.raises(AlreadyExists):
                    future.result()
                with pytest.raises(StoreError):
                    store.get_fact(NS, f"f{number}")
            else:
                assert future.result().facts == (store.get_fact(NS, f"f{number}"),)
        assert revision(store) == 41
        assert store.check() == []

    def test_writers_from_many_threads_are_serialised(self, store: Store) -> None:
        seen: list[int] = []

        def work(number: int) -> None:
            seen.extend(create(store, f"t{number} s{step}").namespace_revision for step in range(25))

        _run_all([lambda number=number: work(number) for number in range(6)])
        assert sorted(seen) == list(range(1, 151))
        assert store.check() == []

    def test_an_acknowledged_write_is_seen_by_the_next_read(self, store: Store) -> None:
        def work(number: int) -> None:
            for step in range(25):
                fact = create(store, f"t{number} s{step}")
                assert store.get_fact(NS, fact.fact_id) == fact
                assert revision(store) >= fact.namespace_revision

        _run_all([lambda number=number: work(number) for number in range(4)])

    def test_close_finishes_then_refuses(self, store: Store, harness: Harness) -> None:
        futures = [store.submit([CreateFact(NS, content(f"s{n}"))], ANYONE) for n in range(50)]
        store.close()
        assert all(future.result(timeout=0).facts for future in futures)
        with pytest.raises(StoreClosed):
            store.get_namespace(NS)
        with pytest.raises(StoreClosed):
            store.write([CreateFact(NS, content())], ANYONE)
        assert harness.open().get_namespace(NS).fact_count == 50


def _run_all(targets: Sequence[Callable[[], None]]) -> None:
    """Runs them at once; the first failure is raised here."""
    with ThreadPoolExecutor(len(targets)) as pool:
        futures = [pool.submit(target) for target in targets]
    for future in futures:
        future.result()
