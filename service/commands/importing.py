"""ImportFacts: a file as a stream of bytes, committed in chunks of rows, resumable by its import_id.

The store counts the rows of an import in the transactions that write them. When the same file comes again
under the same import_id, that many rows are passed over. Rows that cannot be parsed never reach the store, so
they are not counted there, and are reported again. A dry run goes the same way, to a rehearsal of the store.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from ulid import ULID

from kb_store.contract import RowImporter, Store
from kb_store.errors import ImportRunning
from kb_store.formats import FileFormat, Row, reader
from kb_store.model import ConflictPolicy, Context, ImportProgress, ImportResult, ImportRow, RowFailure
from kb_store.reviews import Quarantine
from service.workers import Workers

MAX_FAILURES = 100


@dataclass(frozen=True, slots=True)
class ImportHeader:
    """What an import is told before its bytes."""

    namespace: str
    file_format: FileFormat
    policy: ConflictPolicy
    import_id: str
    source: str
    context: Context
    quarantine: Quarantine = Quarantine.OFF


@dataclass(slots=True)
class ImportReport:
    """How far an import has come. `failures` are those since the last report."""

    import_id: str
    rows_read: int = 0
    rows_written: int = 0
    rows_unchanged: int = 0
    rows_failed: int = 0
    rows_held: int = 0
    failures: list[RowFailure] = field(default_factory=list)
    namespace_revision: int = 0
    done: bool = False


class Importing:
    """Runs imports; the same import never twice at once."""

    def __init__(self, store: Store, workers: Workers, rows: int) -> None:
        self._store, self._workers, self._rows = store, workers, rows
        self._active: set[tuple[str, str]] = set()

    async def run(
        self, header: ImportHeader, data: AsyncIterator[bytes]
    ) -> AsyncGenerator[ImportReport, None]:
        """Reports at the start, after every chunk that is durable, and at the end."""
        header = replace(header, import_id=header.import_id or str(ULID()).lower())
        with self._alone(header):
            space = await self._workers.reads.run(self._store.get_namespace, header.namespace)
            importer: RowImporter = self._store
            if header.context.validate_only:
                importer = await self._workers.writes.run(self._store.rehearsal)
            # It waits for the writer, which the threads that read must not.
            earlier = await self._workers.waiting.run(
                importer.import_progress, header.namespace, header.import_id
            )
            run = _Run(header, importer, earlier, space.revision)
            yield run.report()
            parser = reader(header.file_format)
            waiting: list[ImportRow] = []
            async for piece in data:
                waiting += run.take(await self._workers.reads.run(parser.feed, piece))
                while len(waiting) >= self._rows:
                    await self._commit(run, waiting[: self._rows])
                    del waiting[: self._rows]
                    yield run.report()
            waiting += run.take(await self._workers.reads.run(parser.finish))
            if waiting:
                await self._commit(run, waiting)
            yield run.report(done=True)

    async def _commit(self, run: _Run, rows: Sequence[ImportRow]) -> None:
        future = await self._workers.writes.run(run.hand_in, rows)
        run.committed(len(rows), await asyncio.wrap_future(future))

    @contextmanager
    def _alone(self, header: ImportHeader) -> Iterator[None]:
        key = (header.namespace, header.import_id)
        if key in self._active:
            raise ImportRunning(header.import_id)
        self._active.add(key)
        try:
            yield
        finally:
            self._active.discard(key)


class _Run:
    """Where the rows of one stream go, and their counts."""

    def __init__(
        self, header: ImportHeader, importer: RowImporter, earlier: ImportProgress, namespace_revision: int
    ) -> None:
        self._header = header
        self._importer = importer
        self._progress = earlier
        self._namespace_revision = namespace_revision
        self._counts = ImportReport(header.import_id)
        self._fresh: list[RowFailure] = []
        self._told = 0
        # Rows that an earlier run committed, and how many of them it refused.
        self._to_pass, self._to_pass_failed = earlier.rows, earlier.failed

    def take(self, rows: Sequence[Row]) -> list[ImportRow]:
        """Counts what was read and returns what is to be written."""
        fresh: list[ImportRow] = []
        for row in rows:
            self._counts.rows_read += 1
            if isinstance(row, RowFailure):
                self._fail(row)
            elif self._to_pass:
                self._pass_one()
            else:
                fresh.append(self._with_source(row))
        return fresh

    def _pass_one(self) -> None:
        self._to_pass -= 1
        # Which of them had been refused is not known any more, only how many.
        if self._to_pass_failed > self._to_pass:
            self._to_pass_failed -= 1
            self._counts.rows_failed += 1
        else:
            self._counts.rows_unchanged += 1

    def _with_source(self, row: ImportRow) -> ImportRow:
        if row.content.source or not self._header.source:
            return row
        return replace(row, content=replace(row.content, source=self._header.source))

    def hand_in(self, rows: Sequence[ImportRow]) -> Future[ImportResult]:
        """Gives the store a chunk, which it refuses when another stream has committed rows meanwhile."""
        header = self._header
        return self._importer.import_rows(
            header.namespace,
            header.import_id,
            rows,
            header.policy,
            header.context,
            quarantine=header.quarantine,
            after=self._progress.rows,
        )

    def committed(self, rows: int, result: ImportResult) -> None:
        """A chunk is durable; the result's progress counts all runs of the import."""
        written = result.progress.written - self._progress.written
        self._progress = result.progress
        self._counts.rows_written += written
        self._counts.rows_held += result.held
        self._counts.rows_unchanged += rows - written - result.held - len(result.failures)
        self._namespace_revision = result.namespace_revision
        for failure in result.failures:
            self._fail(failure)

    def _fail(self, failure: RowFailure) -> None:
        self._counts.rows_failed += 1
        if self._told < MAX_FAILURES:
            self._told += 1
            self._fresh.append(failure)

    def report(self, *, done: bool = False) -> ImportReport:
        """How it stands now."""
        failures, self._fresh = self._fresh, []
        return replace(
            self._counts, failures=failures, namespace_revision=self._namespace_revision, done=done
        )
