"""Imports: many rows at once, with look-ups and inserts by the set, and progress in the same transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection, bindparam, insert, select, update

from kb_store import failpoints
from kb_store.errors import (
    AlreadyExists,
    ImportRunning,
    InvalidInput,
    QuotaExceeded,
    StoreError,
)
from kb_store.model import (
    Action,
    ConflictPolicy,
    Content,
    Context,
    ImportProgress,
    ImportResult,
    ImportRow,
    Limits,
    RowFailure,
)
from kb_store.reviews import Quarantine
from kb_store.sql.holding import split_off
from kb_store.sql.lookups import many_by_id, many_live_of_relation
from kb_store.sql.mutations import fact_name, place, require_room, said_by
from kb_store.sql.prepared import Prepared
from kb_store.sql.requests import check_context
from kb_store.sql.rows import Stored, to_micros
from kb_store.sql.tables import imports
from kb_store.sql.unit import Unit, write_audit
from kb_store.validation import check_content, check_id, check_text

MAX_IMPORT_ID_LENGTH = 128

IN_IMPORT = failpoints.register("store.in_import")

_FIND = Prepared(
    select(imports.c.rows, imports.c.written, imports.c.unchanged, imports.c.failed).where(
        imports.c.namespace == bindparam("namespace"), imports.c.import_id == bindparam("import_id")
    )
)
_INSERT = Prepared(insert(imports), [column.name for column in imports.c])
_COUNTS = ("rows", "written", "unchanged", "failed", "update_time")
_UPDATE = Prepared(
    update(imports)
    .where(imports.c.namespace == bindparam("which"), imports.c.import_id == bindparam("which_import"))
    .values({name: bindparam(name) for name in _COUNTS})
)


@dataclass(frozen=True, slots=True)
class ImportChunk:
    """Rows to be committed together; where it is said, those that follow the first `after` of the import."""

    namespace: str
    import_id: str
    rows: Sequence[ImportRow]
    policy: ConflictPolicy
    quarantine: Quarantine = Quarantine.OFF
    after: int | None = None


def check_import_id(import_id: str) -> None:
    """Any text that names an import."""
    check_text("import_id", import_id, "max_import_id_length", MAX_IMPORT_ID_LENGTH, required=True)


def check_chunk(chunk: ImportChunk, context: Context) -> None:
    """What can be refused without looking at the rows."""
    check_context(context)
    check_id("namespace", chunk.namespace)
    check_import_id(chunk.import_id)


def find_progress(connection: Connection, namespace: str, import_id: str) -> ImportProgress:
    """Zeros for an import that is not known."""
    found = _FIND.run(connection, {"namespace": namespace, "import_id": import_id}).one_or_none()
    return ImportProgress(namespace=namespace, import_id=import_id, **_counts(found or (0, 0, 0, 0)))


def _counts(row: Sequence[int]) -> dict[str, int]:
    return dict(zip(_COUNTS, row, strict=False))


class _Known:
    """The facts that rows of this chunk may meet, kept in step while the chunk is worked through."""

    def __init__(self, unit: Unit, rows: Sequence[ImportRow]) -> None:
        self._by_id = many_by_id(
            unit.connection, unit.namespace, (row.fact_id for row in rows if row.fact_id)
        )
        self._groups = many_live_of_relation(
            unit.connection, unit.dialect, unit.namespace, [row.content for row in rows]
        )

    def by_id(self, fact_id: str) -> Stored | None:
        return self._by_id.get(fact_id) if fact_id else None

    def group(self, content: Content) -> list[Stored]:
        return self._groups.setdefault((content.subject, content.relation), [])

    def note(self, old: Stored | None, new: Stored) -> None:
        """A fact was made, or has changed."""
        if old is not None:
            group = self.group(old.fact.content)
            group[:] = [stored for stored in group if stored.row != old.row]
        group = self.group(new.fact.content)
        group.append(new)
        group.sort(key=lambda stored: stored.row)
        self._by_id[new.fact.fact_id] = new


def check_rows(rows: Sequence[ImportRow], limits: Limits) -> tuple[list[ImportRow], list[RowFailure]]:
    """Rows that say something a fact can say, and refusals for the others."""
    good: list[ImportRow] = []
    failures: list[RowFailure] = []
    for row in rows:
        try:
            if row.fact_id:
                check_id("fact_id", row.fact_id)
            check_content(row.content, limits)
        except InvalidInput as error:
            failures.append(_failure(row, error))
        else:
            good.append(row)
    return good, failures


def _failure(row: ImportRow, error: StoreError) -> RowFailure:
    return RowFailure(row.line, error.reason, error.message)


def import_chunk(
    unit: Unit, chunk: ImportChunk, good: Sequence[ImportRow], refused: Sequence[RowFailure]
) -> ImportResult:
    """Writes the good rows and the progress; `good` and `refused` come from `check_rows`."""
    before = find_progress(unit.connection, chunk.namespace, chunk.import_id)
    # Rows that are counted twice are rows that a resumed import passes over unsent.
    if chunk.after is not None and chunk.after != before.rows:
        raise ImportRunning(chunk.import_id)
    failures = list(refused)
    known = _Known(unit, good)
    held, written = 0, 0
    if chunk.quarantine is not Quarantine.OFF:
        good, held, without_room = split_off(
            unit,
            good,
            known,
            chunk.quarantine,
            import_id=chunk.import_id,
            policy=chunk.policy,
        )
        failures += without_room
    for row in good:
        try:
            written += _import_row(unit, known, row, chunk.policy)[0]
        except (AlreadyExists, QuotaExceeded) as error:
            failures.append(_failure(row, error))
    unit.flush()
    failpoints.hit(IN_IMPORT)
    progress = replace(
        before,
        rows=before.rows + len(chunk.rows),
        written=before.written + written,
        unchanged=before.unchanged + len(chunk.rows) - written - len(failures) - held,
        failed=before.failed + len(failures),
    )
    _save_progress(unit, progress, known=before.rows > 0)
    revision = unit.finish()
    write_audit(unit.connection, unit.context, unit.now, "import", chunk.namespace, chunk.import_id, revision)
    failures.sort(key=lambda failure: failure.line)
    return ImportResult(progress, tuple(failures), revision, held)


def write_one(unit: Unit, row: ImportRow, policy: ConflictPolicy) -> Stored:
    """One row as an import would write it; AlreadyExists and its children as there."""
    return _import_row(unit, _Known(unit, [row]), row, policy)[1]


def _import_row(unit: Unit, known: _Known, row: ImportRow, policy: ConflictPolicy) -> tuple[bool, Stored]:
    """Whether the row changed something, and the fact that says it now."""
    group = known.group(row.content)
    same_id = known.by_id(row.fact_id)
    if same_id is None:
        # Said under another id already: the same again under this one would contradict every correction of either.
        fact_id = "" if said_by(group, row.content) else row.fact_id
        stored = place(unit, row.content, fact_id, group, policy)
        old = next((other for other in group if other.row == stored.row), None)
        if old is stored:
            return False, stored
    else:
        if not same_id.fact.deleted and same_id.fact.content == row.content:
            return False, same_id
        if same_id.fact.deleted or policy is not ConflictPolicy.REPLACE:
            raise AlreadyExists("fact", fact_name(unit.namespace, row.fact_id))
        if same_id not in group:  # one that stands there may be corrected
            require_room(unit, row.content, group)
        old, stored = same_id, unit.change(same_id, Action.REPLACE, row.content)
    known.note(old, stored)
    return True, stored


def _save_progress(unit: Unit, progress: ImportProgress, *, known: bool) -> None:
    values = {
        "namespace": progress.namespace,
        "import_id": progress.import_id,
        "rows": progress.rows,
        "written": progress.written,
        "unchanged": progress.unchanged,
        "failed": progress.failed,
        "update_time": to_micros(unit.now),
    }
    if known:
        values |= {"which": progress.namespace, "which_import": progress.import_id}
        _UPDATE.run(unit.connection, values)
    elif progress.rows:
        _INSERT.run(unit.connection, values)
