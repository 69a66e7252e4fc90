"""How the relations of a namespace are asked for, by example.

Revision ID: 0005
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

TEXT = (
    sa.Text()
    .with_variant(sa.Text(collation="BINARY"), "sqlite")
    .with_variant(sa.Text(collation="C"), "postgresql")
)


def upgrade() -> None:
    op.add_column("namespaces", sa.Column("relation_examples", TEXT, nullable=False, server_default="[]"))


def downgrade() -> None:
    op.drop_column("namespaces", "relation_examples")
