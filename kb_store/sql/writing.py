"""Writing facts: mutations, imports and purges, each one unit on the writer."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from datetime import datetime

from sqlalchemy import Connection, delete, insert, select

from kb_store.errors import InvalidInput, LimitExceeded, StoreError
from kb_store.model import (
    ConflictPolicy,
    Context,
    FactMutation,
    ImportProgress,
    ImportResult,
    ImportRow,
    WriteResult,
)
from kb_store.reviews import Quarantine, ReviewState
from kb_store.sql.backend import REQUESTS_KEPT, Backend
from kb_store.sql.imports import (
    ImportChunk,
    check_chunk,
    check_import_id,
    check_rows,
    find_progress,
    import_chunk,
)
from kb_store.sql.lookups import chunks
from kb_store.sql.mutations import check_mutation
from kb_store.sql.rehearsal import Rehearsal
from kb_store.sql.requests import check_context, digest_of, earlier_answer, keep_answer, refer, replay
from kb_store.sql.rows import to_micros
from kb_store.sql.tables import counters, fact_revisions, facts, outbox, requests, reviews
from kb_store.sql.unit import Unit, write_audit
from kb_store.validation import is_id


class FactWriting(Backend):
    """The contract's FactWriter."""

    def submit(self, mutations: Sequence[FactMutation], context: Context) -> Future[WriteResult]:
        """All or none; the future resolves when the change is durable, or to the refusal."""
        mutations = tuple(mutations)
        try:
            self._check(mutations, context)
        except StoreError as error:
            refused: Future[WriteResult] = Future()
            refused.set_exception(error)
            return refused
        digest = digest_of(context, mutations) if context.request_id else ""

        def work(connection: Connection) -> WriteResult:
            answer = earlier_answer(connection, context, digest)
            if answer is not None:
                return replay(connection, answer)
            now = self._clock()
            unit = Unit(connection, self._dialect, mutations[0].namespace, context, now, quotas=self._quotas)
            stored = [self._mutator.apply(unit, mutation) for mutation in mutations]
            revision = unit.finish()
            keep_answer(connection, context, digest, unit.namespace, refer(stored, revision), now)
            return WriteResult(tuple(fact for _, fact in stored), revision)

        return self._writer.submit(work, keep=not context.validate_only, announces=True)

    def _check(self, mutations: Sequence[FactMutation], context: Context) -> None:
        check_context(context)
        if not mutations:
            raise InvalidInput("mutations", "must not be empty")
        if len(mutations) > self.limits.max_batch_facts:
            raise LimitExceeded("mutations", "max_batch_facts", self.limits.max_batch_facts, len(mutations))
        for index, mutation in enumerate(mutations):
            prefix = f"mutations[{index}]." if len(mutations) > 1 else ""
            check_mutation(mutation, self.limits, prefix)
            if mutation.namespace != mutations[0].namespace:
                raise InvalidInput(prefix + "namespace", "must be the same for the whole batch")

    def write(self, mutations: Sequence[FactMutation], context: Context) -> WriteResult:
        """`submit` and wait."""
        return self.submit(mutations, context).result()

    def import_rows(
        self,
        namespace: str,
        import_id: str,
        rows: Sequence[ImportRow],
        policy: ConflictPolicy,
        context: Context,
        *,
        quarantine: Quarantine = Quarantine.OFF,
        after: int | None = None,
    ) -> Future[ImportResult]:
        """One transaction for the rows and the progress. The import_id makes an import safe to repeat, not
        the context's request_id: rows that are stored already change nothing."""
        chunk = ImportChunk(namespace, import_id, rows, policy, quarantine, after)
        try:
            check_chunk(chunk, context)
        except StoreError as error:
            refused: Future[ImportResult] = Future()
            refused.set_exception(error)
            return refused
        good, failures = check_rows(rows, self.limits)

        def work(connection: Connection) -> ImportResult:
            unit = Unit(
                connection,
                self._dialect,
                namespace,
                context,
                self._clock(),
                audit_each=False,
                quotas=self._quotas,
            )
            return import_chunk(unit, chunk, good, failures)

        return self._writer.submit(work, keep=not context.validate_only, announces=True)

    def import_progress(self, namespace: str, import_id: str) -> ImportProgress:
        """Zeros for an import that is not known. Asked of the writer: a stream that broke off may have handed in a
        chunk that the writer has yet to commit, and readers do not see it."""
        check_import_id(import_id)
        if not is_id(namespace):
            return ImportProgress(import_id, namespace, 0, 0, 0, 0)
        return self._writer.submit(
            lambda connection: find_progress(connection, namespace, import_id), keep=False
        ).result()

    def rehearsal(self) -> Rehearsal:
        """Takes one import in without writing it."""
        return Rehearsal(self._dialect, self._reading, self.limits, self._quotas, self._clock)

    def purge(self, now: datetime) -> int:
        """Removes what is past its purge_time, reviews that were decided about as long ago as deleted facts are kept,
        and answers to requests that are too old to be repeated."""

        def work(connection: Connection) -> int:
            moment = to_micros(now)
            expired = connection.execute(
                select(facts.c.row, facts.c.namespace, facts.c.namespace_revision)
                .where(facts.c.purge_time <= moment)
                .order_by(facts.c.row)
            ).all()
            _forget(connection, [row for row, _, _ in expired])
            _tell_index(connection, [(namespace, row, revision) for row, namespace, revision in expired])
            connection.execute(
                delete(requests).where(requests.c.create_time < to_micros(now - REQUESTS_KEPT))
            )
            decided = reviews.c.state != ReviewState.HELD.value
            long_ago = reviews.c.decide_time <= to_micros(now - self._retention)
            connection.execute(delete(reviews).where(decided, long_ago))
            for namespace in sorted({namespace for _, namespace, _ in expired}):
                rows = sum(1 for _, other, _ in expired if other == namespace)
                write_audit(
                    connection, Context(principal="purge"), now, "purge", namespace, f"{rows} facts", 0
                )
            return len(expired)

        return self._writer.submit(work, announces=True).result()


def _forget(connection: Connection, rows: Sequence[int]) -> None:
    for chunk in chunks(rows):
        connection.execute(delete(fact_revisions).where(fact_revisions.c.row.in_(chunk)))
        connection.execute(delete(facts).where(facts.c.row.in_(chunk)))


def _tell_index(connection: Connection, gone: Sequence[tuple[str, int, int]]) -> None:
    """Outbox entries for rows that are no more."""
    if not gone:
        return
    last = connection.execute(select(counters.c.last_sequence)).scalar_one()
    entries = [
        {"sequence": last + number, "namespace": namespace, "row": row, "namespace_revision": revision}
        for number, (namespace, row, revision) in enumerate(gone, start=1)
    ]
    connection.execute(insert(outbox), entries)
    connection.execute(counters.update().values(last_sequence=last + len(entries)))
