"""Several processes at one database: who they are, how far each has read the outbox, whose operation is whose.

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TEXT = (
    sa.Text()
    .with_variant(sa.Text(collation="BINARY"), "sqlite")
    .with_variant(sa.Text(collation="C"), "postgresql")
)
INTEGER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def text(name: str, *, primary_key: bool = False) -> sa.Column[str]:
    return sa.Column(name, TEXT, nullable=False, primary_key=primary_key)


def integer(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, INTEGER, nullable=nullable)


def upgrade() -> None:
    op.create_table(
        "replicas",
        text("replica", primary_key=True),
        integer("sequence", nullable=True),
        integer("seen_time"),
    )
    op.create_table(
        "shared_keys", text("name", primary_key=True), sa.Column("key", sa.LargeBinary, nullable=False)
    )
    # A table of its own: SQLite adds no column without a default, and operations have none.
    op.create_table("operation_owners", text("operation_id", primary_key=True), text("replica"))


def downgrade() -> None:
    for table in ("operation_owners", "shared_keys", "replicas"):
        op.drop_table(table)
