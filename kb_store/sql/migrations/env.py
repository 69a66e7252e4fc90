"""Alembic's entry: runs on the connection that `kb_store.sql.migrate` hands over."""

from alembic import context
from sqlalchemy import Connection

from kb_store.sql.tables import metadata

connection: Connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    render_as_batch=True,
    # SQLite changes its schema within the transaction that the caller began.
    transactional_ddl=True,
)
context.run_migrations()
