"""The audit log becomes a chain of digests; what is there already is chained as it stands.

Revision ID: 0002
Revises: 0001
"""

import hashlib

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TEXT = (
    sa.Text()
    .with_variant(sa.Text(collation="BINARY"), "sqlite")
    .with_variant(sa.Text(collation="C"), "postgresql")
)
INTEGER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
FIELDS = (
    "recorded_at",
    "principal",
    "action",
    "namespace",
    "target",
    "namespace_revision",
    "request_id",
)
BATCH = 10_000
# As kb_store/audit.py had it when this was written: what has been chained must stay so.
GENESIS = hashlib.sha256(b"interleaf audit 1").hexdigest()


def chained(before: str, values: list[object]) -> str:
    digest = hashlib.sha256(before.encode())
    for value in values:
        data = str(value).encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()


def text(name: str) -> sa.Column[str]:
    return sa.Column(name, TEXT, nullable=False)


def integer(name: str) -> sa.Column[int]:
    return sa.Column(name, INTEGER, nullable=False)


def key(*constraints: sa.schema.SchemaItem, given: bool) -> sa.Column[int]:
    if given:
        return sa.Column("id", INTEGER, *constraints, primary_key=True, autoincrement=False)
    return sa.Column("id", INTEGER, primary_key=True)


def body() -> list[sa.Column[str] | sa.Column[int]]:
    numbers = ("recorded_at", "namespace_revision")
    return [integer(name) if name in numbers else text(name) for name in FIELDS]


def upgrade() -> None:
    op.rename_table("audit", "audit_before")
    log = op.create_table("audit", key(given=True), *body(), text("digest"))
    head = op.create_table(
        "audit_head",
        key(sa.CheckConstraint("id = 1", name="one_head"), given=True),
        integer("last_id"),
        text("digest"),
    )
    number, digest = 0, GENESIS
    before = sa.table("audit_before", sa.column("id"), *map(sa.column, FIELDS))
    after = 0
    while (
        rows := op.get_bind()
        .execute(sa.select(before).where(before.c.id > after).order_by(before.c.id).limit(BATCH))
        .all()
    ):
        made = []
        for _, *values in rows:
            number += 1
            digest = chained(digest, [number, *values])
            made.append({"id": number, **dict(zip(FIELDS, values, strict=True)), "digest": digest})
        op.bulk_insert(log, made)
        after = rows[-1][0]
    op.bulk_insert(head, [{"id": 1, "last_id": number, "digest": digest}])
    op.drop_table("audit_before")


def downgrade() -> None:
    op.drop_table("audit_head")
    op.rename_table("audit", "audit_chained")
    log = op.create_table("audit", key(given=False), *body())
    chained_log = sa.table("audit_chained", sa.column("id"), *map(sa.column, FIELDS))
    columns = ["id", *FIELDS]
    op.execute(sa.insert(log).from_select(columns, sa.select(*(chained_log.c[name] for name in columns))))
    op.drop_table("audit_chained")
