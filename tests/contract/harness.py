"""What a backend brings to the contract suite.

A backend's test module defines a fixture `harness` and, for each class of rules, an empty subclass:

    class TestReading(ReadingRules): ...

Whoever writes a storage adapter can so be sure of the whole contract. A new obligation in
kb_store/contract.py comes with a test in one of the *_rules modules.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import pytest

from kb_store.contract import Store
from kb_store.model import Content, Context, CreateFact, Fact

NS = "people"
ANYONE = Context()


class Harness(Protocol):
    """Opens stores on the same data; what is left open is closed after the test."""

    def open(self, **options: Any) -> Store:
        """`options`: limits, retention, clock. A store opened before must be closed first."""
        ...


class Clock:
    """Time that the test moves."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **parts: float) -> datetime:
        self.now += timedelta(**parts)
        return self.now


class Rules:
    """A fresh store with one namespace for each test."""

    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest.fixture
    def store(self, harness: Harness, clock: Clock) -> Store:
        store = harness.open(clock=clock)
        store.create_namespace(NS, "", frozenset({"child"}), ANYONE)
        return store


def content(
    subject: str = "Anna Keller", relation: str = "employer", object_: str = "Acme", **rest: Any
) -> Content:
    return Content(subject, relation, object_, **rest)


def create(
    store: Store,
    subject: str = "Anna Keller",
    relation: str = "employer",
    object_: str = "Acme",
    *,
    fact_id: str = "",
    namespace: str = NS,
    **rest: Any,
) -> Fact:
    mutation = CreateFact(namespace, content(subject, relation, object_, **rest), fact_id)
    return store.write([mutation], ANYONE).facts[0]


def revision(store: Store, namespace: str = NS) -> int:
    return store.get_namespace(namespace).revision


def traces(store: Store) -> tuple[object, ...]:
    """Everything a refused write could have left behind."""
    page = store.list_facts(NS, limit=1000, show_deleted=True)
    return (
        page,
        store.get_namespace(NS),
        store.last_sequence(),
        store.read_outbox(after=0, limit=10_000),
        [store.list_revisions(NS, fact.fact_id, limit=100) for fact in page.facts],
    )
