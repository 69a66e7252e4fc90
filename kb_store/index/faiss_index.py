"""`contract.VectorIndex` on FAISS: one partition per namespace, saved with a manifest that is checked."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from kb_store.contract import Vectors
from kb_store.errors import IndexCorrupt
from kb_store.index.contract import Filling
from kb_store.index.files import (
    FileEntry,
    Manifest,
    check_file,
    file_name,
    read_manifest,
    remove_others,
    write_file,
    write_manifest,
)
from kb_store.index.partition import Figures, IndexSettings, Partition

_log = logging.getLogger(__name__)


class FaissIndex:
    """Loads what can be believed. What cannot is named in `damaged` and must be rebuilt from SQL; when not
    even the manifest can be believed, everything is missing and `applied_sequence` is 0 (`lost`)."""

    def __init__(
        self, folder: Path, *, dimension: int, embedder: str, settings: IndexSettings | None = None
    ) -> None:
        self.folder = folder
        self.dimension = dimension
        self.embedder = embedder
        self.settings = settings or IndexSettings()
        self.damaged: frozenset[str] = frozenset()
        self.lost = False
        self._partitions: dict[str, Partition] = {}
        self._saved: dict[str, FileEntry] = {}
        self._changed: set[str] = set()
        self._sequence = 0
        self._saved_sequence = 0
        self._generation = 0
        self._lock = threading.Lock()
        self._saving = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True)
        self._load()

    def _load(self) -> None:
        try:
            manifest = read_manifest(self.folder)
            if manifest is None:
                return
            if (manifest.embedder, manifest.dimension) != (self.embedder, self.dimension):
                raise IndexCorrupt("the index was made with another embedder")
        except IndexCorrupt as error:
            _log.warning("%s: the index is made again", error.message)
            self.lost = True
            return
        self._sequence = self._saved_sequence = manifest.sequence
        self._generation = manifest.generation
        damaged = set(manifest.damaged)
        for namespace, entry in manifest.namespaces.items():
            try:
                self._partitions[namespace] = self._read(entry)
                self._saved[namespace] = entry
            except IndexCorrupt as error:
                _log.warning("%s: the index of a namespace is made again", error.message)
                damaged.add(namespace)
        self.damaged = frozenset(damaged)

    def _read(self, entry: FileEntry) -> Partition:
        return Partition.read(
            check_file(self.folder, entry),
            self.dimension,
            self.settings,
            Figures(entry.kind, entry.count, entry.probes, entry.recall, entry.built_for),
        )

    def apply(
        self, namespace: str, *, remove: Sequence[int], rows: Sequence[int], vectors: Vectors, sequence: int
    ) -> None:
        """Removes, then adds or replaces, then notes the sequence. A namespace without rows is forgotten."""
        with self._lock:
            partition = self._partitions.get(namespace)
            if partition is None and rows:
                partition = self._partitions[namespace] = self.new_partition()
        if partition is not None and partition.apply(remove, rows, vectors):
            self._changed.add(namespace)
            if not len(partition):
                self.drop(namespace)
        self.note(sequence)

    def note(self, sequence: int) -> None:
        """Everything up to this outbox entry is in the index."""
        with self._lock:
            self._sequence = max(self._sequence, sequence)

    def search(self, namespace: str, vector: Vectors, *, limit: int) -> list[tuple[int, float]]:
        """(row, cosine), best first; an unknown namespace is empty."""
        partition = self._partitions.get(namespace)
        return [] if partition is None else partition.search(vector, limit)

    def similarities(self, namespace: str, vector: Vectors, rows: Sequence[int]) -> dict[int, float]:
        """The cosines of rows found by other means; rows that are not in the index are left out."""
        partition = self._partitions.get(namespace)
        return {} if partition is None else partition.similarities(vector, rows)

    def lead(self) -> bool:
        """Each process has its own index."""
        return True

    def applied_sequence(self) -> int:
        """The outbox sequence up to which the index is complete."""
        with self._lock:
            return self._sequence

    def rows(self, namespace: str) -> frozenset[int]:
        """Every row in the index."""
        partition = self._partitions.get(namespace)
        return frozenset() if partition is None else partition.rows()

    def total(self) -> int:
        """Rows of all namespaces."""
        return sum(self.count(namespace) for namespace in self.namespaces())

    def count(self, namespace: str) -> int:
        """Number of rows."""
        partition = self._partitions.get(namespace)
        return 0 if partition is None else len(partition)

    def namespaces(self) -> frozenset[str]:
        """Every namespace with a row."""
        with self._lock:
            return frozenset(self._partitions)

    def describe(self, namespace: str) -> dict[str, str | int | float]:
        """Kind, count, cells visited, and recall measured against exact search; empty for an unknown one."""
        partition = self._partitions.get(namespace)
        if partition is None:
            return {}
        return asdict(partition.figures())

    def drop(self, namespace: str) -> None:
        """Forgets the namespace."""
        with self._lock:
            if self._partitions.pop(namespace, None) is not None:
                self._changed.add(namespace)

    def new_partition(self) -> Partition:
        """An empty one, to be filled beside the present one and then given to `install`."""
        return Partition(self.dimension, self.settings)

    def install(self, namespace: str, partition: Filling) -> None:
        """Puts a rebuilt partition in the place of the present one."""
        if not isinstance(partition, Partition):
            raise TypeError("a partition of another index")
        with self._lock:
            if len(partition):
                self._partitions[namespace] = partition
            else:
                self._partitions.pop(namespace, None)
            self._changed.add(namespace)
            self.damaged -= {namespace}

    def distrust(self, namespace: str) -> None:
        """Notes that the namespace must be rebuilt; until then it is searched as it is."""
        with self._lock:
            self.damaged |= {namespace}

    def restart_at(self, sequence: int, namespaces: Iterable[str]) -> None:
        """Forgets everything. These namespaces, as they are in SQL after this sequence, are to be rebuilt; until
        they are, a saved manifest says so."""
        with self._lock:
            self._changed |= set(self._partitions)
            self._partitions.clear()
            self._sequence = sequence
            self.lost = False
            self.damaged = frozenset(namespaces)

    @property
    def saved_sequence(self) -> int:
        """The outbox sequence that the manifest on disk covers."""
        with self._lock:
            return self._saved_sequence

    def save(self) -> None:
        """Atomic. Writes only namespaces that have changed; the manifest's sequence is never ahead of them."""
        with self._saving:
            with self._lock:
                sequence, partitions, damaged = self._sequence, dict(self._partitions), self.damaged
                changed, self._changed = self._changed, set()
            try:
                self._save(sequence, partitions, changed, damaged)
            except BaseException:
                with self._lock:
                    self._changed |= changed
                raise

    def _save(
        self, sequence: int, partitions: dict[str, Partition], changed: set[str], damaged: frozenset[str]
    ) -> None:
        generation = self._generation + 1
        entries: dict[str, FileEntry] = {}
        for namespace, partition in partitions.items():
            saved = self._saved.get(namespace)
            if saved is not None and namespace not in changed:
                entries[namespace] = saved
            else:
                entries[namespace] = self._write(namespace, partition, generation)
        manifest = Manifest(
            self.embedder, self.dimension, sequence, generation, tuple(sorted(damaged)), entries
        )
        write_manifest(self.folder, manifest)
        self._saved, self._generation = entries, generation
        with self._lock:
            self._saved_sequence = sequence
        remove_others(self.folder, (entry.file for entry in entries.values()))

    def _write(self, namespace: str, partition: Partition, generation: int) -> FileEntry:
        name = file_name(namespace, generation)
        figures: list[Figures] = []
        digest = write_file(self.folder, name, lambda path: figures.append(partition.write(path)))
        return FileEntry(file=name, sha256=digest, **asdict(figures[0]))
