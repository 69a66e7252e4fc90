"""The tables. Times are microseconds since 1970 UTC; texts compare byte for byte on every engine.

The full-text table `facts_fts(subject, aliases)`, whose rowid is `facts.row`, and the view `live_facts` that
it reads from differ between engines and are made by the migrations alone; PostgreSQL has `fact_words(namespace,
word, row)` instead.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    text,
)

# "C" is PostgreSQL's byte order; SQLite's is BINARY.
TEXT = Text().with_variant(Text(collation="BINARY"), "sqlite").with_variant(Text(collation="C"), "postgresql")
# Only INTEGER makes a SQLite key the row itself.
INTEGER = BigInteger().with_variant(Integer(), "sqlite")

metadata = MetaData()


def _text(name: str, *, primary_key: bool = False, server_default: str | None = None) -> Column[str]:
    return Column(name, TEXT, nullable=False, primary_key=primary_key, server_default=server_default)


def _integer(name: str) -> Column[int]:
    return Column(name, INTEGER, nullable=False)


def _moment(name: str) -> Column[int | None]:
    return Column(name, INTEGER, nullable=True)


# One row: the last numbers given to facts and outbox entries, so that neither is ever used twice.
counters = Table(
    "counters",
    metadata,
    Column("id", INTEGER, CheckConstraint("id = 1", name="one_row"), primary_key=True, autoincrement=False),
    _integer("last_row"),
    _integer("last_sequence"),
)

namespaces = Table(
    "namespaces",
    metadata,
    _text("id", primary_key=True),
    _text("uid"),
    _text("display_name"),
    _text("multi_valued"),  # JSON list, sorted
    _integer("revision"),
    _integer("live_count"),
    _integer("version"),  # counts changes of the settings; the etag's source
    _integer("create_time"),
    _integer("update_time"),
    _text("relation_examples", server_default="[]"),  # JSON list of [relation, [example, ...]], sorted
)

facts = Table(
    "facts",
    metadata,
    Column("row", INTEGER, primary_key=True, autoincrement=False),
    Column("namespace", TEXT, ForeignKey("namespaces.id"), nullable=False),
    _text("fact_id"),
    _text("uid"),
    _text("subject"),
    _text("relation"),
    _text("object"),
    _text("aliases"),  # JSON list
    _text("source"),
    _moment("valid_from"),
    _moment("valid_to"),
    _integer("revision"),
    _integer("namespace_revision"),
    _integer("create_time"),
    _integer("update_time"),
    _moment("delete_time"),
    _moment("purge_time"),
    Index("facts_by_id", "namespace", "fact_id", unique=True),
    Index("facts_in_order", "namespace", "row"),
    Index(
        "facts_live_by_relation",
        "namespace",
        "subject",
        "relation",
        sqlite_where=text("delete_time IS NULL"),
        postgresql_where=text("delete_time IS NULL"),
    ),
    Index(
        "facts_to_purge",
        "purge_time",
        sqlite_where=text("purge_time IS NOT NULL"),
        postgresql_where=text("purge_time IS NOT NULL"),
    ),
)

# Append-only. valid_* is when a fact holds in the world, recorded_at..superseded_at when we believed it.
fact_revisions = Table(
    "fact_revisions",
    metadata,
    Column("row", INTEGER, ForeignKey("facts.row"), primary_key=True, autoincrement=False),
    Column("revision", INTEGER, primary_key=True, autoincrement=False),
    _text("action"),
    _text("principal"),
    _text("subject"),
    _text("relation"),
    _text("object"),
    _text("aliases"),
    _text("source"),
    _moment("valid_from"),
    _moment("valid_to"),
    _integer("namespace_revision"),
    _integer("recorded_at"),
    _moment("superseded_at"),
    _moment("delete_time"),
    _moment("purge_time"),
    sqlite_with_rowid=False,
)

# Folded names (kb_store.text.fold_name) of live facts, for finding a whole name in a text. A name without a
# letter or digit stands here as the empty string.
fact_names = Table(
    "fact_names",
    metadata,
    _text("namespace", primary_key=True),
    _text("folded_name", primary_key=True),
    Column("row", INTEGER, primary_key=True, autoincrement=False),
    sqlite_with_rowid=False,
)

outbox = Table(
    "outbox",
    metadata,
    Column("sequence", INTEGER, primary_key=True, autoincrement=False),
    _text("namespace"),
    _integer("row"),
    _integer("namespace_revision"),
)

# Append-only; each entry's digest covers it and the digest before (kb_store.audit).
audit = Table(
    "audit",
    metadata,
    Column("id", INTEGER, primary_key=True, autoincrement=False),
    _integer("recorded_at"),
    _text("principal"),
    _text("action"),
    _text("namespace"),
    _text("target"),
    _integer("namespace_revision"),
    _text("request_id"),
    _text("digest"),
)

# One row: the log's last entry, so that none can be cut off its end unseen.
audit_head = Table(
    "audit_head",
    metadata,
    Column("id", INTEGER, CheckConstraint("id = 1", name="one_head"), primary_key=True, autoincrement=False),
    _integer("last_id"),
    _text("digest"),
)

requests = Table(
    "requests",
    metadata,
    _text("request_id", primary_key=True),
    _text("namespace"),
    _text("digest"),
    _text("result"),  # JSON
    _integer("create_time"),
    Index("requests_by_age", "create_time"),
    Index("requests_by_namespace", "namespace"),
)

imports = Table(
    "imports",
    metadata,
    Column("namespace", TEXT, ForeignKey("namespaces.id"), primary_key=True),
    _text("import_id", primary_key=True),
    _integer("rows"),
    _integer("written"),
    _integer("unchanged"),
    _integer("failed"),
    _integer("update_time"),
)

# Rows of imports that wait for approval, and those that were decided about.
reviews = Table(
    "reviews",
    metadata,
    Column("namespace", TEXT, ForeignKey("namespaces.id"), primary_key=True),
    _text("review_id", primary_key=True),
    _text("subject"),
    _text("relation"),
    _text("object"),
    _text("aliases"),
    _text("source"),
    _moment("valid_from"),
    _moment("valid_to"),
    _text("fact_id"),
    _text("policy"),
    _text("flags"),  # JSON list
    _text("conflicts"),  # JSON list of fact ids
    _text("content_digest"),
    _text("import_id"),
    _integer("line"),
    _text("principal"),
    _integer("create_time"),
    _text("state"),
    _text("decided_by"),
    _moment("decide_time"),
    _text("written"),
    Index("reviews_by_state", "namespace", "state", "review_id"),
    Index("reviews_by_content", "namespace", "content_digest"),
)

operations = Table(
    "operations",
    metadata,
    _text("operation_id", primary_key=True),
    _text("kind"),
    _integer("done"),
    Column("metadata", LargeBinary, nullable=False),
    Column("response", LargeBinary, nullable=False),
    _integer("error_code"),
    _text("error_message"),
    _integer("create_time"),
)

# The process that runs an operation, where it said who it is.
operation_owners = Table(
    "operation_owners", metadata, _text("operation_id", primary_key=True), _text("replica")
)

# Processes at this database. `sequence`: the outbox entry up to which it needs none again; null: it reads none.
replicas = Table(
    "replicas",
    metadata,
    _text("replica", primary_key=True),
    _moment("sequence"),
    _integer("seen_time"),
)

shared_keys = Table(
    "shared_keys", metadata, _text("name", primary_key=True), Column("key", LargeBinary, nullable=False)
)
