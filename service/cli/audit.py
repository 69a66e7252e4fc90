"""`interleaf audit`: show, verify. On the server's machine; the server may run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from interleaf.cli._connection import console
from kb_store.audit import AuditEntry, AuditHead
from kb_store.contract import AuditLog
from kb_store.errors import StoreError
from kb_store.sql import open_store
from service.cli.serving import ConfigOption, DataDirOption, JsonOption, refuse, settings_of

app = typer.Typer(no_args_is_help=True)
audit_app = typer.Typer(no_args_is_help=True, help="Who changed what: a log whose entries are chained.")
app.add_typer(audit_app, name="audit")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@contextmanager
def _log(config: Path | None, data_dir: Path | None) -> Iterator[AuditLog]:
    settings = settings_of(config, store__data_dir=data_dir)
    try:
        if settings.store.database_url is None and not Path(settings.database).exists():
            raise StoreError(f"there is no database at {settings.database}")
        store = open_store(settings.database)
        try:
            yield store
        finally:
            store.close()
    except StoreError as error:
        refuse(error)


def _when(entry: AuditEntry) -> str:
    return (_EPOCH + timedelta(microseconds=entry.recorded_at)).isoformat(timespec="microseconds")


def _values(entry: AuditEntry) -> dict[str, Any]:
    values = asdict(entry)
    values.pop("recorded_at")
    return {"time": _when(entry), **values}


@audit_app.command()
def show(
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    namespace: Annotated[str, typer.Option(help="Only this namespace.", show_default="all")] = "",
    principal: Annotated[str, typer.Option(help="Only what this caller did.", show_default="all")] = "",
    before: Annotated[int, typer.Option(min=0, help="Only entries before this one.", show_default="all")] = 0,
    limit: Annotated[int, typer.Option(min=1, help="So many at most.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """The last changes, the newest first. The log holds ids, never the text of facts."""
    with _log(config, data_dir) as log:
        found = log.read_audit(limit=limit, before=before, namespace=namespace, principal=principal)
    if as_json:
        typer.echo(json.dumps({"entries": [_values(entry) for entry in found]}))
        return
    table = Table("entry", "time", "who", "what", "namespace", "target", "revision", box=None, pad_edge=False)
    for entry in found:
        shown = (entry.principal, entry.action, entry.namespace, entry.target, str(entry.namespace_revision))
        table.add_row(*map(Text, (str(entry.entry_id), _when(entry)[:19], *shown)))
    console().print(table)


@audit_app.command()
def verify(
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    head: Annotated[
        str | None,
        typer.Option(
            metavar="NUMBER:DIGEST",
            help="What an earlier `verify` or a backup said; the log must still hold that entry.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Follow the whole chain, and print its head; exits 1 when an entry was changed, removed or slipped in.

    Whoever can write to the database can make a new chain: write the head down where they cannot.
    """
    with _log(config, data_dir) as log:
        found = log.verify_audit(None if head is None else AuditHead.parse(head))
    if as_json:
        values = {"entries": found.entries, "head": str(found.head), "problems": list(found.problems)}
        typer.echo(json.dumps(values))
    else:
        typer.echo("\n".join([*found.problems, f"{found.entries} entries, head {found.head}"]))
    if found.problems:
        raise typer.Exit(1)
