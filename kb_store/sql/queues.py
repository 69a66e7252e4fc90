"""The outbox and those who read it, and long-running operations."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, Select, delete, func, insert, select, update

from kb_store.errors import NotFound
from kb_store.model import OperationRecord, OutboxEntry
from kb_store.sql.backend import Backend
from kb_store.sql.rows import optional_time, to_micros, to_time
from kb_store.sql.tables import (
    counters,
    facts,
    namespaces,
    operation_owners,
    operations,
    outbox,
    replicas,
    shared_keys,
)
from kb_store.validation import check_integer, check_text

MAX_OPERATION_ID_LENGTH = 128
MAX_REPLICA_LENGTH = 128
# One that was away for longer makes its index again.
REPLICAS_KEPT = timedelta(days=3)


def _entry(row: Any) -> OutboxEntry:
    sequence, namespace, fact_row, revision, namespace_created = row
    return OutboxEntry(sequence, namespace, fact_row, revision, optional_time(namespace_created))


class OutboxKeeping(Backend):
    """The contract's Outbox and Replicas."""

    _replica = ""

    def read_outbox(self, *, after: int, limit: int) -> list[OutboxEntry]:
        """In commit order."""
        statement = (
            select(outbox, namespaces.c.create_time)
            .outerjoin_from(outbox, facts, facts.c.row == outbox.c.row)
            .outerjoin(namespaces, namespaces.c.id == facts.c.namespace)
            .where(outbox.c.sequence > check_integer("after", after))
            .order_by(outbox.c.sequence)
            .limit(check_integer("limit", limit, minimum=1))
        )
        with self._reading() as connection:
            return [_entry(row) for row in connection.execute(statement)]

    def last_sequence(self) -> int:
        """The newest sequence ever given."""
        with self._reading() as connection:
            newest: int = connection.execute(select(counters.c.last_sequence)).scalar_one()
        return newest

    def trim_outbox(self, up_to: int) -> None:
        """Forgets entries up to and including this one."""
        check_integer("up_to", up_to)

        def work(connection: Connection) -> None:
            mine = replicas.c.replica == self._replica
            reads = replicas.c.sequence.is_not(None)
            connection.execute(update(replicas).where(mine, reads).values(sequence=up_to))
            connection.execute(delete(replicas).where(replicas.c.seen_time < self._long_ago()))
            needed = connection.execute(select(func.min(replicas.c.sequence))).scalar()
            last = up_to if needed is None else min(up_to, needed)
            connection.execute(delete(outbox).where(outbox.c.sequence <= last))

        self._writer.submit(work).result()

    def on_commit(self, listener: Callable[[], None]) -> None:
        """Called on the writer's thread, or on that which hears of others: it must be quick and must not write."""
        self._writer.on_commit(listener)

    def join(self, replica: str, *, reads_outbox: bool) -> None:
        """Keeps how far it had read, unless it was forgotten meanwhile."""
        check_text("replica", replica, "max_replica_length", MAX_REPLICA_LENGTH, required=True)

        def work(connection: Connection) -> None:
            mine = replicas.c.replica == replica
            now = to_micros(self._clock())
            newest = connection.execute(select(counters.c.last_sequence)).scalar_one()
            sequence = func.coalesce(replicas.c.sequence, newest) if reads_outbox else None
            seen = update(replicas).where(mine).values(seen_time=now, sequence=sequence)
            if connection.execute(seen).rowcount == 0:
                sequence = newest if reads_outbox else None
                whole = {"replica": replica, "sequence": sequence, "seen_time": now}
                connection.execute(insert(replicas), whole)

        self._writer.submit(work).result()
        self._replica = replica

    def replicas(self) -> frozenset[str]:
        """Those of the last days."""
        with self._reading() as connection:
            there = select(replicas.c.replica).where(replicas.c.seen_time >= self._long_ago())
            return frozenset(connection.execute(there).scalars())

    def _long_ago(self) -> int:
        return to_micros(self._clock() - REPLICAS_KEPT)

    def shared_key(self, name: str, proposed: bytes) -> bytes:
        """Made once, on the writer."""
        check_text("name", name, "max_key_name_length", MAX_REPLICA_LENGTH, required=True)

        def work(connection: Connection) -> bytes:
            there = select(shared_keys.c.key).where(shared_keys.c.name == name)
            found: bytes | None = connection.execute(there).scalar()
            if found is None:
                connection.execute(insert(shared_keys), {"name": name, "key": proposed})
            return proposed if found is None else found

        return self._writer.submit(work).result()


def _records() -> Select[*tuple[Any, ...]]:
    owned = operations.outerjoin(
        operation_owners, operation_owners.c.operation_id == operations.c.operation_id
    )
    return select(operations, func.coalesce(operation_owners.c.replica, "")).select_from(owned)


def _record(row: Any) -> OperationRecord:
    operation_id, kind, done, metadata, response, code, message, created, replica = row
    return OperationRecord(
        operation_id, kind, bool(done), metadata, response, code, message, to_time(created), replica
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
                if record.replica:
                    owner = {"operation_id": record.operation_id, "replica": record.replica}
                    connection.execute(insert(operation_owners), owner)

        self._writer.submit(work).result()

    def get_operation(self, operation_id: str) -> OperationRecord:
        """NotFound when there is none."""
        statement = _records().where(operations.c.operation_id == self._checked(operation_id))
        with self._reading() as connection:
            row = connection.execute(statement).one_or_none()
        if row is None:
            raise NotFound("operation", operation_id)
        return _record(row)

    def list_operations(self, *, limit: int, after: str = "") -> tuple[OperationRecord, ...]:
        """Ordered by id."""
        statement = (
            _records()
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
            connection.execute(delete(operation_owners).where(operation_owners.c.operation_id == checked))

        self._writer.submit(work).result()

    def _checked(self, operation_id: str) -> str:
        return check_text("operation_id", operation_id, "max_operation_id_length", MAX_OPERATION_ID_LENGTH)
