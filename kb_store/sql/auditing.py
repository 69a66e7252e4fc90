"""Reading and verifying the audit log."""

from __future__ import annotations

from sqlalchemy import select

from kb_store.audit import AuditEntry, AuditHead, AuditVerdict
from kb_store.sql.audit_chain import ENTRY_COLUMNS, verify
from kb_store.sql.backend import Backend
from kb_store.sql.tables import audit
from kb_store.validation import check_integer


class AuditKeeping(Backend):
    """The contract's AuditLog."""

    def read_audit(
        self, *, limit: int, before: int = 0, namespace: str = "", principal: str = ""
    ) -> tuple[AuditEntry, ...]:
        """The newest first, starting below entry `before` (0: at the newest)."""
        statement = (
            select(*ENTRY_COLUMNS).order_by(audit.c.id.desc()).limit(check_integer("limit", limit, minimum=1))
        )
        if check_integer("before", before):
            statement = statement.where(audit.c.id < before)
        if namespace:
            statement = statement.where(audit.c.namespace == namespace)
        if principal:
            statement = statement.where(audit.c.principal == principal)
        with self._reading() as connection:
            return tuple(AuditEntry(*row) for row in connection.execute(statement))

    def verify_audit(self, expected: AuditHead | None = None) -> AuditVerdict:
        """Walks along the whole log."""
        with self._reading() as connection:
            return verify(connection, expected)
