"""Making a namespace's index anew from SQL while facts go on changing, and comparing the two."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence, Set
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import Protocol

from kb_store.contract import FactReader, NamespaceStore, Vectors
from kb_store.index import KeptIndex
from kb_store.index.contract import Filling
from kb_store.keys import KeyEmbedder
from kb_store.model import Fact

_READ_BATCH = 10_000
_SHOWN = 5


class RebuiltStore(FactReader, NamespaceStore, Protocol):
    """The part of a store that a rebuild reads."""


class Rebuild:
    """Fills a partition beside the present one, batch by batch, and puts it in its place at the end.

    What the outbox says meanwhile goes into both (`overtake`): it is newer than what this reads.
    """

    def __init__(
        self, namespace: str, progress: Callable[[int, int], None] = lambda done, total: None
    ) -> None:
        self.namespace = namespace
        self.done: Future[int] = Future()
        self._progress = progress
        self._partition: Filling | None = None
        self._batches: Iterator[list[tuple[int, Fact]]] = iter(())
        self._overtaken: set[int] = set()
        self._total = 0

    def step(self, store: RebuiltStore, index: KeptIndex, keys: KeyEmbedder, batch: int) -> bool:
        """One batch; False when the rebuilt partition is in its place. After an error it begins again."""
        if self._partition is None:
            self._total = store.get_namespace(self.namespace).fact_count
            self._partition = index.new_partition()
            self._overtaken.clear()
            self._batches = store.all_rows(self.namespace, batch=batch)
        try:
            found = next(self._batches, None)
            if found is not None:
                self._take(found, self._partition, keys)
                return True
        except BaseException:
            self._partition = None
            raise
        index.install(self.namespace, self._partition)
        self.finish()
        return False

    def begin_again(self) -> None:
        """At the next step: others kept the index meanwhile, or part of what changed was not heard of."""
        self._partition = None

    def _take(self, found: list[tuple[int, Fact]], partition: Filling, keys: KeyEmbedder) -> None:
        fresh = [(row, fact.content) for row, fact in found if row not in self._overtaken]
        vectors = keys.embed([content for _, content in fresh])
        partition.apply([], [row for row, _ in fresh], vectors)
        self._progress(min(len(partition), self._total), self._total)

    def overtake(self, gone: Sequence[int], live: Sequence[int], vectors: Vectors) -> None:
        """Takes in what changed since the rebuild began."""
        if self._partition is not None:
            self._overtaken.update(gone, live)
            self._partition.apply(gone, live, vectors)

    def finish(self, count: int | None = None) -> None:
        """Tells whoever waits; `count` where another process did the work."""
        if count is None:
            count = len(self._partition) if self._partition is not None else 0
        with suppress(InvalidStateError):  # cancelled
            self.done.set_result(count)


def differences(
    store: RebuiltStore, index: KeptIndex, namespace: str, waiting: Set[int] = frozenset()
) -> list[str]:
    """What SQL and index do not have in common, in sentences; not of rows that wait to be taken in."""
    stored: set[int] = set()
    for batch in store.all_rows(namespace, batch=_READ_BATCH):
        stored.update(row for row, _ in batch)
    indexed = index.rows(namespace)
    found: list[str] = []
    for title, rows in (
        ("facts that the index does not have", stored - indexed - waiting),
        ("rows of the index without a live fact", indexed - stored - waiting),
    ):
        if rows:
            some = ", ".join(map(str, sorted(rows)[:_SHOWN]))
            found.append(f"{len(rows)} {title} (rows {some}{', ...' if len(rows) > _SHOWN else ''})")
    return found
