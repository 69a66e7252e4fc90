"""The vector index: exact and grown, changed and searched."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from kb_store.contract import Vectors
from kb_store.index import FaissIndex, IndexSettings

DIMENSION = 32
Make = Callable[..., Vectors]


def open_index(folder: Path, **settings: object) -> FaissIndex:
    return FaissIndex(
        folder,
        dimension=DIMENSION,
        embedder="e",
        settings=IndexSettings(**settings),  # type: ignore[arg-type]
    )


def test_best_first_with_cosines(tmp_path: Path, unit_vectors: Make) -> None:
    index, vectors = open_index(tmp_path), unit_vectors(50, DIMENSION)
    index.apply("a", remove=[], rows=range(100, 150), vectors=vectors, sequence=1)
    hits = index.search("a", vectors[7], limit=5)
    exact = np.sort(vectors @ vectors[7])[::-1][:5]
    assert hits[0] == (107, pytest.approx(1.0, abs=1e-5))
    assert [score for _, score in hits] == pytest.approx(exact.tolist(), abs=1e-5)
    assert index.similarities("a", vectors[7], [107, 110, 9]) == pytest.approx(
        {107: 1.0, 110: float(vectors[10] @ vectors[7])}, abs=1e-5
    )


def test_unknown_namespace_is_empty(tmp_path: Path, unit_vectors: Make) -> None:
    index, vector = open_index(tmp_path), unit_vectors(1, DIMENSION)[0]
    assert index.search("nobody", vector, limit=5) == []
    assert index.similarities("nobody", vector, [1]) == {}
    assert index.rows("nobody") == frozenset()


def test_limit_beyond_the_size_and_zero(tmp_path: Path, unit_vectors: Make) -> None:
    index, vectors = open_index(tmp_path), unit_vectors(3, DIMENSION)
    index.apply("a", remove=[], rows=[1, 2, 3], vectors=vectors, sequence=1)
    assert len(index.search("a", vectors[0], limit=100)) == 3
    assert index.search("a", vectors[0], limit=0) == []


def test_wrong_shape_is_refused(tmp_path: Path, unit_vectors: Make) -> None:
    index = open_index(tmp_path)
    with pytest.raises(ValueError, match="2 rows of 32 numbers"):
        index.apply("a", remove=[], rows=[1, 2], vectors=unit_vectors(2, DIMENSION + 1), sequence=1)


def test_a_row_given_twice_is_there_once_with_its_last_vector(tmp_path: Path, unit_vectors: Make) -> None:
    index, vectors = open_index(tmp_path), unit_vectors(3, DIMENSION)
    index.apply("a", remove=[], rows=[1, 1], vectors=vectors[:2], sequence=1)
    index.apply("a", remove=[], rows=[1], vectors=vectors[2:], sequence=2)
    assert index.search("a", vectors[2], limit=5) == [(1, pytest.approx(1.0, abs=1e-5))]


@pytest.mark.parametrize("compact_at", [1, 4, 1000])
def test_removed_rows_never_come_back(tmp_path: Path, unit_vectors: Make, compact_at: int) -> None:
    index, vectors = open_index(tmp_path, compact_at=compact_at), unit_vectors(20, DIMENSION)
    index.apply("a", remove=[], rows=range(20), vectors=vectors, sequence=1)
    for row in range(0, 20, 2):
        index.apply("a", remove=[row], rows=[], vectors=vectors[:0], sequence=2 + row)
        assert row not in dict(index.search("a", vectors[row], limit=20))
        assert index.similarities("a", vectors[row], [row]) == {}
    assert index.rows("a") == frozenset(range(1, 20, 2))
    index.apply("a", remove=[], rows=[0], vectors=vectors[:1], sequence=50)
    assert index.search("a", vectors[0], limit=1)[0][0] == 0
    index.save()
    again = open_index(tmp_path)
    assert again.rows("a") == frozenset({0, *range(1, 20, 2)})


def test_an_emptied_namespace_is_forgotten(tmp_path: Path, unit_vectors: Make) -> None:
    index = open_index(tmp_path)
    index.apply("a", remove=[], rows=[1], vectors=unit_vectors(1, DIMENSION), sequence=1)
    index.save()
    index.apply("a", remove=[1], rows=[], vectors=unit_vectors(0, DIMENSION), sequence=2)
    assert index.namespaces() == frozenset()
    index.save()
    assert open_index(tmp_path).namespaces() == frozenset()
    assert not list(tmp_path.glob("*.faiss"))


@pytest.mark.parametrize("storage", ["Flat", "SQ8"])
def test_growth_keeps_everything_and_reaches_its_recall(
    tmp_path: Path, unit_vectors: Make, storage: Literal["Flat", "SQ8"]
) -> None:
    index = open_index(tmp_path, flat_limit=500, growth=2.0, storage=storage)
    vectors = unit_vectors(2000, DIMENSION)
    for start in range(0, 2000, 250):
        rows = range(start, start + 250)
        index.apply("a", remove=[], rows=rows, vectors=vectors[start : start + 250], sequence=start + 250)
    index.apply("a", remove=range(0, 2000, 5), rows=[], vectors=vectors[:0], sequence=2001)
    described = index.describe("a")
    assert str(described["kind"]).startswith("IVF")
    assert described["count"] == 1600
    # One byte a number cannot always tell the sixteenth neighbour from the seventeenth.
    assert float(described["recall"]) >= (0.99 if storage == "Flat" else 0.97)
    left = [row for row in range(2000) if row % 5]
    questions = unit_vectors(40, DIMENSION, seed=9)
    hits = 0
    for question in questions:
        exact = {left[place] for place in np.argsort(vectors[left] @ question)[::-1][:10].tolist()}
        found = {row for row, _ in index.search("a", question, limit=10)}
        assert found <= set(left)
        hits += len(exact & found)
    assert hits / 400 >= 0.95
    index.save()
    again = open_index(tmp_path, storage=storage)
    assert again.describe("a") == described
    assert again.search("a", vectors[1], limit=3) == index.search("a", vectors[1], limit=3)


def test_searches_go_on_while_rows_change_and_the_index_grows(tmp_path: Path, unit_vectors: Make) -> None:
    index = open_index(tmp_path, flat_limit=300, growth=2.0, compact_at=5)
    vectors = unit_vectors(1200, DIMENSION)
    index.apply("a", remove=[], rows=range(100), vectors=vectors[:100], sequence=1)
    stop, wrong = threading.Event(), []

    def search() -> None:
        while not stop.is_set():
            # Rows below 50 are never touched: each must always find itself.
            wrong.extend(row for row in range(50) if index.search("a", vectors[row], limit=1)[0][0] != row)

    threads = [threading.Thread(target=search) for _ in range(3)]
    for thread in threads:
        thread.start()
    for start in range(100, 1200, 50):
        index.apply(
            "a",
            remove=range(start - 50, start) if start > 100 else [],
            rows=range(start, start + 50),
            vectors=vectors[start : start + 50],
            sequence=start,
        )
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert index.rows("a") == frozenset({*range(100), *range(1150, 1200)})


def test_namespaces_do_not_see_each_other(tmp_path: Path, unit_vectors: Make) -> None:
    index, vectors = open_index(tmp_path), unit_vectors(2, DIMENSION)
    index.apply("a", remove=[], rows=[1], vectors=vectors[:1], sequence=1)
    index.apply("b", remove=[], rows=[2], vectors=vectors[1:], sequence=2)
    assert [row for row, _ in index.search("a", vectors[1], limit=9)] == [1]
    index.drop("b")
    assert index.namespaces() == {"a"}
    assert index.applied_sequence() == 2
