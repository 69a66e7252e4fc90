"""What the indexer needs of an index beside looking things up: that it can be kept, doubted and made again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from kb_store.contract import VectorIndex, Vectors


class Filling(Protocol):
    """A namespace's vectors while they are made again, beside the present ones."""

    def apply(self, remove: Sequence[int], rows: Sequence[int], vectors: Vectors) -> object:
        """Must remove, then add; a row that is there is replaced."""
        ...

    def __len__(self) -> int: ...


class KeptIndex(VectorIndex, Protocol):
    """An index that an `Indexer` keeps up with SQL."""

    @property
    def lost(self) -> bool:
        """Whether nothing of what was kept can be believed, so that all of it must be made again."""
        ...

    @property
    def damaged(self) -> frozenset[str]:
        """Namespaces that must be made again."""
        ...

    @property
    def saved_sequence(self) -> int:
        """Outbox entries up to here will not be asked for again, whatever happens."""
        ...

    def lead(self) -> bool:
        """Whether this process is the one that changes the index; to be asked before each round of changes. Must
        be true for one process at most, and soon for another when that one ends."""
        ...

    def note(self, sequence: int) -> None:
        """Everything up to this outbox entry is in the index."""
        ...

    def total(self) -> int:
        """Roughly how much a `save` has to write, in rows: the more, the less often it is called."""
        ...

    def count(self, namespace: str) -> int:
        """Number of rows."""
        ...

    def namespaces(self) -> frozenset[str]:
        """Every namespace that the index knows."""
        ...

    def describe(self, namespace: str) -> dict[str, str | int | float]:
        """Kind, count, and figures of a namespace's part; empty for an unknown one."""
        ...

    def distrust(self, namespace: str) -> None:
        """Notes that the namespace must be made again; until then it is searched as it is."""
        ...

    def restart_at(self, sequence: int, namespaces: Iterable[str]) -> None:
        """Forgets everything; these namespaces, as they are in SQL after this sequence, are damaged."""
        ...

    def new_partition(self) -> Filling:
        """An empty one, for `install`. The one before, where it was not installed, is given up."""
        ...

    def install(self, namespace: str, partition: Filling) -> None:
        """Puts it in the place of the present one; the namespace is not damaged any more."""
        ...
