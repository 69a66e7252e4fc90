"""The whole contract, on every backend."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from kb_store.contract import Store
from kb_store.sql import open_store
from tests.contract.audit_rules import AuditRules
from tests.contract.import_rules import ImportRules
from tests.contract.namespace_rules import NamespaceRules
from tests.contract.queue_rules import QueueRules
from tests.contract.reading_rules import ReadingRules
from tests.contract.request_rules import RequestRules
from tests.contract.review_rules import QuotaRules, ReviewRules
from tests.contract.writing_rules import WritingRules
from tests.postgres_server import PostgresServer


class SqlHarness:
    """Stores on one database."""

    def __init__(self, database: str | Path) -> None:
        self._database = database
        self._opened: list[Store] = []

    def open(self, **options: Any) -> Store:
        store = open_store(self._database, **options)
        self._opened.append(store)
        return store

    def close(self) -> None:
        for store in self._opened:
            store.close()


@pytest.fixture(params=["sqlite", "postgres"])
def harness(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqlHarness]:
    with ExitStack() as undo:
        database: str | Path = tmp_path / "facts.db"
        if request.param == "postgres":
            server: PostgresServer = request.getfixturevalue("postgres_server")
            database = undo.enter_context(server.schema())
        harness = SqlHarness(database)
        undo.callback(harness.close)
        yield harness


class TestReading(ReadingRules): ...


class TestWriting(WritingRules): ...


class TestRequests(RequestRules): ...


class TestImports(ImportRules): ...


class TestNamespaces(NamespaceRules): ...


class TestQueues(QueueRules): ...


class TestAudit(AuditRules): ...


class TestReviews(ReviewRules): ...


class TestQuotas(QuotaRules): ...
