"""`interleaf backup`: create, list, verify, restore. On the server's machine; the server may run, and goes on."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from interleaf.cli._connection import console
from kb_store.errors import StoreError
from kb_store.sql.snapshot import sqlite_file
from service.backup.creating import create as make
from service.backup.creating import list_backups, prune, unfinished
from service.backup.manifest import BackupDamaged, BackupFailed, BackupManifest
from service.backup.restoring import restore as bring_back
from service.backup.restoring import verify as look_at
from service.cli.serving import ConfigOption, DataDirOption, JsonOption, refuse, settings_of
from service.config import MIB
from service.datadir import DATABASE

app = typer.Typer(no_args_is_help=True)
backup_app = typer.Typer(
    no_args_is_help=True, help="Copy the data directory while the server runs; verify and restore copies."
)
app.add_typer(backup_app, name="backup")

BackupArgument = Annotated[Path, typer.Argument(metavar="BACKUP", help="A folder that `create` printed.")]


def _values(path: Path, manifest: BackupManifest) -> dict[str, Any]:
    values = asdict(manifest)
    values.pop("files")
    return {"path": str(path), **values, "facts": manifest.facts, "bytes": manifest.size}


@backup_app.command()
def create(
    to: Annotated[Path, typer.Option("--to", metavar="FOLDER", help="Where backups are kept.")],
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    keep: Annotated[
        int | None,
        typer.Option(min=1, help="Remove older backups in FOLDER but so many.", show_default="all"),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Copy facts, history, audit log, index, encoders and edits, with digests; prints the new folder.

    Holds every write that was acknowledged before. Keep it as safe as the data: it holds all facts.
    """
    settings = settings_of(config, store__data_dir=data_dir)
    try:
        path, manifest = make(settings.store.data_dir, sqlite_file(settings.database), to)
        removed = prune(to, keep) if keep else []
    except (BackupFailed, StoreError, OSError) as error:
        refuse(error)
    if as_json:
        typer.echo(json.dumps({**_values(path, manifest), "removed": [str(item) for item in removed]}))
    else:
        typer.echo(str(path))


@backup_app.command("list")
def list_(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where backups are kept.")],
    as_json: JsonOption = False,
) -> None:
    """The backups in a folder, the newest first; then what is being made, or was left by a `create` that was killed."""
    found = list_backups(folder)
    if as_json:
        entries = [
            _values(path, item) if item else {"path": str(path), "damaged": True} for path, item in found
        ]
        typer.echo(json.dumps({"backups": entries, "unfinished": [str(path) for path in unfinished(folder)]}))
        return
    table = Table("backup", "made", "facts", "MiB", "schema", box=None, pad_edge=False)
    for path, item in found:
        if item is None:
            table.add_row(Text(path.name), Text("damaged", style="red"))
        else:
            shown = (path.name, item.created[:19], str(item.facts), f"{item.size / MIB:.1f}", item.schema)
            table.add_row(*map(Text, shown))
    for path in unfinished(folder):
        table.add_row(Text(path.name), Text("unfinished", style="yellow"))
    console().print(table)


@backup_app.command()
def verify(backup: BackupArgument, as_json: JsonOption = False) -> None:
    """Read every byte of a backup and compare it with its digests; exits 1 when it is not what was made."""
    try:
        manifest, problems = look_at(backup)
    except BackupDamaged as error:
        refuse(error)
    if as_json:
        typer.echo(json.dumps({**_values(backup, manifest), "problems": problems}))
    else:
        spaces = len(manifest.namespaces)
        said = f"{manifest.facts} facts in {spaces} namespaces, {len(manifest.files)} files, {manifest.created[:19]}"
        typer.echo(said if not problems else "\n".join(problems))
    if problems:
        raise typer.Exit(1)


@backup_app.command()
def restore(
    backup: BackupArgument,
    data_dir: Annotated[Path, typer.Argument(metavar="NEW_FOLDER", help="The data directory to be made.")],
) -> None:
    """Make a new data directory of a backup, checked before it appears. Nothing that is there is written over."""
    try:
        manifest = bring_back(backup, data_dir)
    except BackupFailed as error:
        refuse(error)
    typer.echo(
        f"{manifest.facts} facts are in {data_dir}: start with `interleaf serve --data-dir {data_dir}`"
    )
    if manifest.database:
        typer.echo(
            f"store.database_url named {manifest.database}: unset it, or let it name the database that was restored, "
            f"sqlite:///{(data_dir / DATABASE).absolute()}"
        )
