"""The outbox, and long-running operations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from kb_store.errors import NotFound
from kb_store.model import OperationRecord, OutboxEntry
from kb_store.sql.backend import Backend
from kb_store.sql.rows import to_micros, to_time
from kb_store.sql.tables import counters, operations, outbox
from kb_store.validation import check_integer, check_text

MAX_OPERATION_ID_LENGTH = 128


class OutboxKeeping(Backend):
    """The contract's Outbox."""

    def read_outbox(self, *, after: int, limit: int) -> list[OutboxEntry]:
        """In commit order."""
        statement = (
            select(outbox.c.sequence, outbox.c.namespace, outbox.c.row, outbox.c.namespace_revision)
            .where(outbox.c.sequence > check_integer("after", after))
            .order_by(outbox.c.sequence)
            .limit(check_integer("limit", limit, minimum=1))
        )
        with self._reading() as connection:
            return [OutboxEntry(*row) for row in connection.execute(statement)]

    def last_sequence(self) -> int:
        """The newest sequence ever given."""
        with self._reading() as connection:
            newest: int = connection.execute(select(counters.c.last_sequence)).scalar_one()
        return newest

    def trim_outbox(self, up_to: int) -> None:
        """Forgets entries up to and including this one."""
        check_integer("up_to", up_to)

        def work(connection: Connection) -> None:
            connection.execute(delete(outbox).where(outbox.c.sequence <= up_to))

        self._writer.submit(work).result()

    def on_commit(self, listener: Callable[[], None]) -> None:
        """Called on the writer's thread: it must be quick and must not write."""
        self._writer.on_commit(listener)


def _record(row: Any) -> OperationRecord:
    operation_id, kind, done, metadata, response, code, message, created = row
    return OperationRecord(
        operation_id, kind, bool(done), metadata, response, code, message, to_time(created)
    )


class OperationKeeping(Backend):
    """The contract's OperationStore."""

    def save_operation(self, record: OperationRecord) -> None:
        """Inserts, or replaces all but the time of creation."""
        check_text(
            "operation_id",
            record.operation_id,
            "max_operation_id_length",
            MAX_OPERATION_ID_LENGTH,
            required=True,
        )
        values: dict[str, Any] = {
            "kind": record.kind,
            "done": int(record.done),
            "metadata": record.metadata,
            "response": record.response,
            "error_code": record.error_code,
            "error_message": record.error_message,
        }
        created = to_micros(record.create_time or self._clock())

        def work(connection: Connection) -> None:
            mine = operations.c.operation_id == record.operation_id
            if connection.execute(update(operations).where(mine).values(values)).rowcount == 0:
                whole = {**values, "operation_id": record.operation_id, "create_time": created}
                connection.execute(insert(operations), whole)

        self._writer.submit(work).result()

    def get_operation(self, operation_id: str) -> OperationRecord:
        """NotFound when there is none."""
        statement = select(operations).where(operations.c.operation_id == self._checked(operation_id))
        with self._reading() as connection:
            row = connection.execute(statement).one_or_none()
        if row is None:
            raise NotFound("operation", operation_id)
        return _record(row)

    def list_operations(self, *, limit: int, after: str = "") -> tuple[OperationRecord, ...]:
        """Ordered by id."""
        statement = (
            select(operations)
            .where(operations.c.operation_id > self._checked(after))
            .order_by(operations.c.operation_id)
            .limit(check_integer("limit", limit, minimum=1))
        )
        with self._reading() as connection:
            return tuple(_record(row) for row in connection.execute(statement))

    def delete_operation(self, operation_id: str) -> None:
        """NotFound when there is none."""
        checked = self._checked(operation_id)

        def work(connection: Connection) -> None:
            statement = delete(operations).where(operations.c.operation_id == checked)
            if connection.execute(statement).rowcount == 0:
                raise NotFound("operation", checked)

        self._writer.submit(work).result()

    def _checked(self, operation_id: str) -> str:
        return check_text("operation_id", operation_id, "max_operation_id_length", MAX_OPERATION_ID_LENGTH)
