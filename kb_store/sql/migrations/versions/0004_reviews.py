"""Rows of imports that wait for approval.

Revision ID: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TEXT = (
    sa.Text()
    .with_variant(sa.Text(collation="BINARY"), "sqlite")
    .with_variant(sa.Text(collation="C"), "postgresql")
)
INTEGER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def text(name: str) -> sa.Column[str]:
    return sa.Column(name, TEXT, nullable=False)


def integer(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, INTEGER, nullable=nullable)


def upgrade() -> None:
    op.create_table(
        "reviews",
        sa.Column("namespace", TEXT, sa.ForeignKey("namespaces.id"), primary_key=True),
        sa.Column("review_id", TEXT, nullable=False, primary_key=True),
        *map(text, ("subject", "relation", "object", "aliases", "source")),
        integer("valid_from", nullable=True),
        integer("valid_to", nullable=True),
        *map(text, ("fact_id", "policy", "flags", "conflicts", "content_digest", "import_id")),
        integer("line"),
        text("principal"),
        integer("create_time"),
        *map(text, ("state", "decided_by")),
        integer("decide_time", nullable=True),
        text("written"),
    )
    op.create_index("reviews_by_state", "reviews", ["namespace", "state", "review_id"])
    op.create_index("reviews_by_content", "reviews", ["namespace", "content_digest"])


def downgrade() -> None:
    op.drop_table("reviews")
