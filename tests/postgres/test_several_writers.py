"""Several stores at one database, as if each were in a process of its own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import make_url
from sqlalchemy.exc import DBAPIError

from kb_store.model import Content, Context, CreateFact
from kb_store.sql import SqlStore, open_store
from kb_store.sql.postgres import PostgresDialect

NS = "ns"
EACH = 12


@pytest.fixture
def stores(url: str) -> Iterator[list[SqlStore]]:
    with ThreadPoolExecutor(3) as pool:  # all at once: one makes the schema, the others wait for it
        stores = list(pool.map(open_store, [url] * 3))
    stores[0].create_namespace(NS, "", frozenset(), Context())
    yield stores
    for store in stores:
        store.close()


def create(subject: str) -> list[CreateFact]:
    return [CreateFact(NS, Content(subject, "relation", "o"))]


def test_commits_have_one_order(stores: list[SqlStore]) -> None:
    def work(number: int) -> list[int]:
        store = stores[number % len(stores)]
        return [store.write(create(f"{number} {turn}"), Context()).namespace_revision for turn in range(EACH)]

    with ThreadPoolExecutor(6) as pool:
        revisions = [revision for found in pool.map(work, range(6)) for revision in found]
    assert sorted(revisions) == list(range(1, 6 * EACH + 1))
    entries = stores[0].read_outbox(after=0, limit=1000)
    assert [entry.sequence for entry in entries] == list(range(1, 6 * EACH + 1))
    assert [entry.namespace_revision for entry in entries] == list(range(1, 6 * EACH + 1))
    assert stores[1].check() == []


def test_what_one_acknowledges_another_reads(stores: list[SqlStore]) -> None:
    one, other, _ = stores
    for turn in range(EACH):
        made = one.write(create(f"s{turn}"), Context()).facts[0]
        assert other.get_fact(NS, made.fact_id) == made
        one, other = other, one


def test_a_request_is_answered_once_wherever_it_is_repeated(stores: list[SqlStore]) -> None:
    context = Context(request_id="again")
    with ThreadPoolExecutor(3) as pool:
        results = list(pool.map(lambda store: store.write(create("Anna"), context), stores))
    assert sorted(result.replayed for result in results) == [False, True, True]
    assert len({result.facts for result in results}) == 1
    assert len(stores[0].list_facts(NS, limit=9).facts) == 1


def test_listeners_hear_of_other_processes(stores: list[SqlStore]) -> None:
    heard = threading.Event()
    stores[1].on_commit(heard.set)
    heard.wait(2)  # of what was written before
    heard.clear()
    stores[0].write(create("Anna"), Context())
    assert heard.wait(60)


def test_one_that_stops_in_the_middle_is_thrown_out(stores: list[SqlStore], url: str) -> None:
    """It had the write lock; others go on, and what it was about to commit is gone."""
    engine = PostgresDialect(make_url(url), stalled_seconds=0.5).open_writer()
    with engine.connect() as stalled:
        transaction = stalled.begin()
        stalled.exec_driver_sql("UPDATE namespaces SET display_name = 'from the dead'")
        stores[0].write(create("Anna"), Context())
        with pytest.raises(DBAPIError):
            transaction.commit()
    engine.dispose()
    assert stores[0].get_namespace(NS).display_name == ""
