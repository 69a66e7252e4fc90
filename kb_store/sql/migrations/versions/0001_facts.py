"""Namespaces, facts with history, outbox, full text.

Revision ID: 0001
Revises:
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
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


def integer(name: str) -> sa.Column[int]:
    return sa.Column(name, INTEGER, nullable=False)


def moment(name: str) -> sa.Column[int]:
    return sa.Column(name, INTEGER, nullable=True)


def key(name: str, *constraints: sa.schema.SchemaItem) -> sa.Column[int]:
    return sa.Column(name, INTEGER, *constraints, primary_key=True, autoincrement=False)


def content() -> list[sa.Column[str] | sa.Column[int]]:
    return [
        text("subject"),
        text("relation"),
        text("object"),
        text("aliases"),
        text("source"),
        moment("valid_from"),
        moment("valid_to"),
    ]


def upgrade() -> None:
    counters = op.create_table(
        "counters",
        key("id", sa.CheckConstraint("id = 1", name="one_row")),
        integer("last_row"),
        integer("last_sequence"),
    )
    op.bulk_insert(counters, [{"id": 1, "last_row": 0, "last_sequence": 0}])
    op.create_table(
        "namespaces",
        text("id", primary_key=True),
        text("uid"),
        text("display_name"),
        text("multi_valued"),
        integer("revision"),
        integer("live_count"),
        integer("version"),
        integer("create_time"),
        integer("update_time"),
    )
    op.create_table(
        "facts",
        key("row"),
        sa.Column("namespace", TEXT, sa.ForeignKey("namespaces.id"), nullable=False),
        text("fact_id"),
        text("uid"),
        *content(),
        integer("revision"),
        integer("namespace_revision"),
        integer("create_time"),
        integer("update_time"),
        moment("delete_time"),
        moment("purge_time"),
    )
    live, leaving = sa.text("delete_time IS NULL"), sa.text("purge_time IS NOT NULL")
    op.create_index("facts_by_id", "facts", ["namespace", "fact_id"], unique=True)
    op.create_index("facts_in_order", "facts", ["namespace", "row"])
    # An entry of PostgreSQL's index is limited to 2,700 bytes, and texts are not.
    whole = op.get_bind().dialect.name == "sqlite"
    beginnings = [sa.text("left(subject, 300)"), sa.text("left(relation, 200)")]
    op.create_index(
        "facts_live_by_relation",
        "facts",
        ["namespace", "subject", "relation"] if whole else ["namespace", *beginnings],
        sqlite_where=live,
        postgresql_where=live,
    )
    op.create_index("facts_to_purge", "facts", ["purge_time"], sqlite_where=leaving, postgresql_where=leaving)
    op.create_table(
        "fact_revisions",
        key("row", sa.ForeignKey("facts.row")),
        key("revision"),
        text("action"),
        text("principal"),
        *content(),
        integer("namespace_revision"),
        integer("recorded_at"),
        moment("superseded_at"),
        moment("delete_time"),
        moment("purge_time"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "fact_names",
        text("namespace", primary_key=True),
        text("folded_name", primary_key=True),
        key("row"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "outbox", key("sequence"), text("namespace"), integer("row"), integer("namespace_revision")
    )
    op.create_table(
        "audit",
        sa.Column("id", INTEGER, primary_key=True),
        integer("recorded_at"),
        text("principal"),
        text("action"),
        text("namespace"),
        text("target"),
        integer("namespace_revision"),
        text("request_id"),
    )
    op.create_table(
        "requests",
        text("request_id", primary_key=True),
        text("namespace"),
        text("digest"),
        text("result"),
        integer("create_time"),
    )
    op.create_index("requests_by_age", "requests", ["create_time"])
    op.create_index("requests_by_namespace", "requests", ["namespace"])
    op.create_table(
        "imports",
        sa.Column("namespace", TEXT, sa.ForeignKey("namespaces.id"), primary_key=True),
        text("import_id", primary_key=True),
        integer("rows"),
        integer("written"),
        integer("unchanged"),
        integer("failed"),
        integer("update_time"),
    )
    op.create_table(
        "operations",
        text("operation_id", primary_key=True),
        text("kind"),
        integer("done"),
        sa.Column("metadata", sa.LargeBinary, nullable=False),
        sa.Column("response", sa.LargeBinary, nullable=False),
        integer("error_code"),
        text("error_message"),
        integer("create_time"),
    )
    op.execute("CREATE VIEW live_facts AS SELECT row, subject, aliases FROM facts WHERE delete_time IS NULL")
    if op.get_bind().dialect.name == "sqlite":
        op.execute(
            "CREATE VIRTUAL TABLE facts_fts USING fts5(subject, aliases, content='live_facts', "
            "content_rowid='row', tokenize='unicode61 remove_diacritics 2')"
        )
    else:
        op.create_table(
            "fact_words", text("namespace", primary_key=True), text("word", primary_key=True), key("row")
        )


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TABLE facts_fts")
    else:
        op.drop_table("fact_words")
    op.execute("DROP VIEW live_facts")
    for table in (
        "operations",
        "imports",
        "requests",
        "audit",
        "outbox",
        "fact_names",
        "fact_revisions",
        "facts",
        "namespaces",
        "counters",
    ):
        op.drop_table(table)
