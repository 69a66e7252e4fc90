from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kb_store.contract import Store
from kb_store.sql import open_store
from tests.contract.import_rules import ImportRules
from tests.contract.namespace_rules import NamespaceRules
from tests.contract.queue_rules import QueueRules
from tests.contract.reading_rules import ReadingRules
from tests.contract.request_rules import RequestRules
from tests.contract.writing_rules import WritingRules


class SqliteHarness:
    def __init__(self, folder: Path) -> None:
        self._path = folder / "facts.db"
        self._opened: list[Store] = []

    def open(self, **options: Any) -> Store:
        store = open_store(self._path, **options)
        self._opened.append(store)
        return store

    def close(self) -> None:
        for store in self._opened:
            store.close()


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[SqliteHarness]:
    harness = SqliteHarness(tmp_path)
    yield harness
    harness.close()


class TestReading(ReadingRules): ...


class TestWriting(WritingRules): ...


class TestRequests(RequestRules): ...


class TestImports(ImportRules): ...


class TestNamespaces(NamespaceRules): ...


class TestQueues(QueueRules): ...
