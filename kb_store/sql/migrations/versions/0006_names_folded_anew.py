"""Names are folded otherwise: what is not seen, looks of symbols, voices of kana, spaces beside ideographs.

No table changes. Entries of names that fold otherwise are replaced, batch by batch; plain ASCII folds as it did.

Revision ID: 0006
Revises: 0005
"""

import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql, sqlite

from kb_store.text import UNSPACED, fold_name

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

BATCH = 1000
# Characters of an entry on PostgreSQL.
LONGEST_NAME, LONGEST_WORD = 600, 64

Fold = Callable[[str], str]
Entry = tuple[str, str, int]  # namespace, text, row

facts = sa.table("facts", *map(sa.column, ("row", "namespace", "subject", "aliases", "delete_time")))
names = sa.table("fact_names", *map(sa.column, ("namespace", "folded_name", "row")))
words = sa.table("fact_words", *map(sa.column, ("namespace", "word", "row")))
WORD = re.compile(f"[{UNSPACED}]|[^\\s{UNSPACED}]+")


def fold_before(text: str) -> str:
    """`kb_store.text.fold_name` as it was up to here."""
    text = text.casefold()
    if not text.isascii():
        text = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    kept = (
        "" if unicodedata.combining(letter) else letter if unicodedata.category(letter)[0] in "LNM" else " "
        for letter in text
    )
    return " ".join("".join(kept).split())


def upgrade() -> None:
    refold(fold_before, fold_name)


def downgrade() -> None:
    refold(fold_name, fold_before)


def refold(old: Fold, new: Fold) -> None:
    connection = op.get_bind()
    postgres = connection.dialect.name == "postgresql"
    for found in batches(connection, postgres):
        replace(connection, names, names_of(found, old, postgres), names_of(found, new, postgres))
        if postgres:
            replace(connection, words, words_of(found, old), words_of(found, new))


def batches(connection: sa.Connection, postgres: bool) -> Iterator[list[tuple[int, str, list[str]]]]:
    """Row, namespace and names of live facts that have a letter beyond ASCII."""

    def plain(column: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
        octets = sa.func.octet_length(column) if postgres else sa.func.length(sa.cast(column, sa.LargeBinary))
        return octets == sa.func.length(column)

    after = sa.bindparam("after", type_=sa.BigInteger)
    asked = (
        sa.select(facts.c.row, facts.c.namespace, facts.c.subject, facts.c.aliases)
        .where(facts.c.delete_time.is_(None), facts.c.row > after)
        .where(~(plain(facts.c.subject) & plain(facts.c.aliases)))
        .order_by(facts.c.row)
        .limit(BATCH)
    )
    last = -1
    while found := connection.execute(asked, {"after": last}).all():
        last = found[-1].row
        yield [(row, space, [subject, *json.loads(aliases)]) for row, space, subject, aliases in found]


def names_of(found: Iterable[tuple[int, str, list[str]]], fold: Fold, postgres: bool) -> set[Entry]:
    longest = LONGEST_NAME if postgres else None
    return {(space, fold(name)[:longest], row) for row, space, said in found for name in said}


def words_of(found: Iterable[tuple[int, str, list[str]]], fold: Fold) -> set[Entry]:
    return {
        (space, word[:LONGEST_WORD], row)
        for row, space, said in found
        for name in said
        for word in WORD.findall(fold(name))
    }


def replace(connection: sa.Connection, table: sa.TableClause, old: set[Entry], new: set[Entry]) -> None:
    columns = list(table.c)
    gone = table.delete().where(*(column == sa.bindparam(f"old_{column.name}") for column in columns))
    # A later version may have folded some of them already.
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    come = insert(table).on_conflict_do_nothing()
    for statement, prefix, entries in ((gone, "old_", old - new), (come, "", new - old)):
        values = [
            {f"{prefix}{column.name}": value for column, value in zip(columns, entry, strict=True)}
            for entry in sorted(entries)
        ]
        if values:
            connection.execute(statement, values)
