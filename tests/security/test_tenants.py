"""No tenant's fact reaches another's answer, through the whole service; and the test would see it if one did."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from engines import decoding
from engines.contract import InjectedFact
from engines.kv_batch import KVBatch
from tests.security.tenants import Tenants, tenants

TENANTS, GENERATIONS = 8, 64


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tenants]:
    folder: Path = tmp_path_factory.mktemp("tenants")
    (folder / "engine").mkdir()
    with tenants(folder, TENANTS) as made:
        yield made


def test_answers_are_those_of_a_tenant_who_is_alone(there: Tenants) -> None:
    # Each tenant's facts decide about its answers.
    said = list(there.alone.values())
    assert not any(one.equals(other) for number, one in enumerate(said) for other in said[:number])
    leaks = there.look(GENERATIONS)
    assert leaks.all() == []
    assert leaks.generations == GENERATIONS


def test_power_without_the_re_read_by_namespace(there: Tenants, monkeypatch: pytest.MonkeyPatch) -> None:
    """An index that claims others' rows, and a store that reads whatever rows it is told."""
    store, index = there.parts.store, there.parts.retriever._index
    read, search = store.facts_by_row, index.search
    everybody = [f"tenant-{number}" for number in range(TENANTS)]

    def read_anybodys(namespace: str, rows: Any) -> Any:
        return {row: fact for space in everybody for row, fact in read(space, rows).items()}

    def search_everywhere(namespace: str, vector: Any, *, limit: int) -> Any:
        return [pair for space in everybody for pair in search(space, vector, limit=limit)]

    monkeypatch.setattr(index, "search", search_everywhere)
    assert there.look(8).all() == []  # the index may lie: the re-read protects
    monkeypatch.setattr(store, "facts_by_row", read_anybodys)
    leaks = there.look(8)
    assert leaks.citations
    assert leaks.objects


def test_power_without_rows_of_ones_own(there: Tenants, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each request of a batch sees the facts of the one before it."""
    pack = KVBatch.pack

    def pack_askew(facts: Sequence[Sequence[InjectedFact]], *more: Any, **named: Any) -> KVBatch:
        return pack([*facts[-1:], *facts[:-1]], *more, **named)

    monkeypatch.setattr(decoding.KVBatch, "pack", pack_askew)
    assert there.look(GENERATIONS).answers
