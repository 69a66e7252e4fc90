"""The vectors of one namespace: exact while it is small, an inverted file when it has grown."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from kb_store.contract import Vectors
from kb_store.errors import IndexCorrupt
from kb_store.index.inverted import Ids, build_inverted
from kb_store.index.library import faiss, use_one_thread
from kb_store.index.locks import ReadWriteLock

_READ_BATCH = 16_384


@dataclass(frozen=True, slots=True)
class IndexSettings:
    """flat_limit: vectors up to which search is exhaustive and exact. storage: how larger ones keep vectors,
    "Flat" (4 bytes a number) or "SQ8" (1 byte, slightly lossy). growth: an inverted file is made anew when it
    has grown by this factor. compact_at: removed vectors of an exact index are only marked until so many."""

    flat_limit: int = 100_000
    storage: Literal["Flat", "SQ8"] = "Flat"
    growth: float = 4.0
    min_recall: float = 0.99
    compact_at: int = 256


@dataclass(frozen=True, slots=True)
class Figures:
    """What a partition is: kind in FAISS's words, vectors, cells visited (0: exhaustive and exact), the share
    of exact neighbours found when that was chosen, and the number of vectors at that time."""

    kind: str
    count: int
    probes: int
    recall: float
    built_for: int


class Partition:
    """Thread-safe: searches run side by side, changes one after another, and growing beside the searches."""

    def __init__(
        self,
        dimension: int,
        settings: IndexSettings,
        *,
        index: Any = None,
        figures: Figures | None = None,
    ) -> None:
        self.dimension = dimension
        self.settings = settings
        self._probes = figures.probes if figures else 0
        self._recall = figures.recall if figures else 1.0
        self._built_for = figures.built_for if figures else 0
        self._index: Any = faiss.IndexIDMap2(faiss.IndexFlatIP(dimension)) if index is None else index
        self._rows: set[int] = set(self._stored_ids().tolist())
        self._marked: set[int] = set()  # removed from an exact index, but still in it
        self._lock = ReadWriteLock()
        self._changing = threading.Lock()

    @property
    def exact(self) -> bool:
        """Whether search is exhaustive."""
        return self._probes == 0

    def figures(self) -> Figures:
        """What this partition is now."""
        with self._lock.read():
            return self._figures()

    def _figures(self) -> Figures:
        kind = "IDMap2,Flat"
        if not self.exact:
            storage = "Flat" if isinstance(self._index, faiss.IndexIVFFlat) else "SQ8"
            kind = f"IVF{self._index.nlist},{storage}"
        return Figures(kind, len(self._rows), self._probes, self._recall, self._built_for)

    def __len__(self) -> int:
        return len(self._rows)

    def rows(self) -> frozenset[int]:
        """Every row that can be found."""
        with self._lock.read():
            return frozenset(self._rows)

    def search(self, vector: Vectors, limit: int) -> list[tuple[int, float]]:
        """(row, cosine), best first, ties by row."""
        use_one_thread()
        question = np.ascontiguousarray(vector, dtype=np.float32).reshape(1, self.dimension)
        with self._lock.read():
            count = min(limit, len(self._rows))
            if count <= 0:
                return []
            scores, ids = self._index.search(question, count, params=self._parameters())
        found = zip(ids[0].tolist(), scores[0].tolist(), strict=True)
        return sorted(((row, score) for row, score in found if row >= 0), key=lambda hit: (-hit[1], hit[0]))

    def similarities(self, vector: Vectors, rows: Sequence[int]) -> dict[int, float]:
        """The cosine of each of these rows that is here."""
        with self._lock.read():
            present = [row for row in rows if row in self._rows]
            if not present:
                return {}
            stored = self._index.reconstruct_batch(np.array(present, dtype=np.int64))
        return dict(zip(present, (stored @ vector.reshape(self.dimension)).tolist(), strict=True))

    def apply(self, remove: Sequence[int], rows: Sequence[int], vectors: Vectors) -> bool:
        """Removes, then adds or replaces; whether that changed anything. Grows when it is time."""
        if vectors.shape != (len(rows), self.dimension):
            raise ValueError(f"{len(rows)} rows of {self.dimension} numbers expected, got {vectors.shape}")
        use_one_thread()
        with self._changing:
            wanted = {row: place for place, row in enumerate(rows)}  # of a row given twice the last counts
            added = self._new_or_changed(wanted, vectors)
            gone = self._rows.intersection(remove).difference(wanted)
            if not added and not gone:
                return False
            with self._lock.write():
                self._take_out(gone, added)
                if added:
                    places = [wanted[row] for row in added]
                    ids = np.array(added, dtype=np.int64)
                    self._index.add_with_ids(np.ascontiguousarray(vectors[places], dtype=np.float32), ids)
                    self._rows.update(added)
            if self._has_outgrown():
                self._grow()
            return True

    def write(self, path: str) -> Figures:
        """Writes the index to a file, without what was removed, and says what was written."""
        with self._changing:
            with self._lock.write():
                self._compact()
            faiss.write_index(self._index, path)
            return self._figures()

    @classmethod
    def read(cls, path: str, dimension: int, settings: IndexSettings, figures: Figures) -> Partition:
        """The opposite of `write`; IndexCorrupt when the file is not what it should be."""
        try:
            index = faiss.read_index(path)
        except RuntimeError as error:
            raise IndexCorrupt(f"the index file cannot be read: {error}") from error
        fits = index.d == dimension and index.ntotal == figures.count
        if not fits or isinstance(index, faiss.IndexIDMap2) != (figures.probes == 0):
            raise IndexCorrupt("the index file is not the one that its manifest describes")
        found = cls(dimension, settings, index=index, figures=figures)
        if len(found) != figures.count:
            raise IndexCorrupt("the index file holds a row twice")
        return found

    def _parameters(self) -> Any:
        if not self.exact:
            return faiss.SearchParametersIVF(nprobe=self._probes)
        if not self._marked:
            return None
        marked = np.array(sorted(self._marked), dtype=np.int64)
        return faiss.SearchParameters(sel=faiss.IDSelectorNot(faiss.IDSelectorBatch(marked)))

    def _new_or_changed(self, wanted: dict[int, int], vectors: Vectors) -> list[int]:
        """A correction of a fact's object leaves its key as it was: such a vector is not touched."""
        known = [row for row in wanted if row in self._rows]
        if not known or not self.exact:
            return list(wanted)
        stored = self._index.reconstruct_batch(np.array(known, dtype=np.int64))
        given = vectors[[wanted[row] for row in known]]
        same = np.abs(stored - given).max(axis=1) < 1e-6
        unchanged = {row for row, equal in zip(known, same.tolist(), strict=True) if equal}
        return [row for row in wanted if row not in unchanged]

    def _take_out(self, gone: set[int], added: Sequence[int]) -> None:
        """Removing from an exact index moves everything behind it: marks gather until it is worth it."""
        replaced = self._rows.intersection(added)
        self._rows -= gone
        if not self.exact:
            self._remove(gone | replaced)
            return
        self._marked |= gone
        if replaced or len(self._marked) >= self.settings.compact_at or self._marked.intersection(added):
            self._marked |= replaced
            self._compact()

    def _compact(self) -> None:
        if self._marked:
            self._remove(self._marked)
            self._marked = set()

    def _remove(self, rows: set[int]) -> None:
        if rows:
            self._index.remove_ids(np.array(sorted(rows), dtype=np.int64))

    def _stored_ids(self) -> Ids:
        if self.exact:
            return np.asarray(faiss.vector_to_array(self._index.id_map), dtype=np.int64)
        lists = self._index.invlists
        parts = [
            faiss.rev_swig_ptr(lists.get_ids(cell), lists.list_size(cell)).copy()
            for cell in range(self._index.nlist)
            if lists.list_size(cell)
        ]
        return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)

    def _has_outgrown(self) -> bool:
        settings = self.settings
        bound = settings.flat_limit if self.exact else self._built_for * settings.growth
        return len(self._rows) > bound

    def _grow(self) -> None:
        """Builds the next index beside the present one, which goes on answering, and puts it in its place."""
        with self._lock.write():
            self._compact()
        ids = self._stored_ids()
        vectors = np.empty((len(ids), self.dimension), dtype=np.float32)
        for start in range(0, len(ids), _READ_BATCH):
            part = slice(start, start + _READ_BATCH)
            vectors[part] = self._index.reconstruct_batch(ids[part])
        built = build_inverted(
            ids, vectors, storage=self.settings.storage, min_recall=self.settings.min_recall
        )
        with self._lock.write():
            self._index, self._probes, self._recall = built.index, built.probes, built.recall
            self._built_for = len(ids)
