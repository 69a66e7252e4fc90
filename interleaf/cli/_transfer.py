"""interleaf facts import and export."""

from __future__ import annotations

import shutil
import sys
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from enum import StrEnum
from importlib.metadata import entry_points
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from interleaf import ImportReport
from interleaf._transfer_calls import file_chunks, format_of
from interleaf._types import FileFormat
from interleaf.cli._connection import Shell, connected
from interleaf.cli._facts import ConflictOption, DryRunOption, OnConflict
from interleaf.cli._failure import REFUSED
from interleaf.cli._text import cell

app = typer.Typer()
_SHOWN_FAILURES = 10
_Data = tuple[Callable[[], Iterable[bytes]], FileFormat]


class Format(StrEnum):
    """File formats."""

    CSV = "csv"
    JSONL = "jsonl"
    NTRIPLES = "ntriples"


class Hold(StrEnum):
    """Rows that wait for approval."""

    SERVER = "server"
    FLAGGED = "flagged"
    ALL = "all"


FormatOption = Annotated[
    Format | None,
    typer.Option("--format", help="When the suffix (.csv, .jsonl, .nt) does not say it.", show_default=False),
]


@app.command("import")
@connected
def import_facts(
    shell: Shell,
    file: Annotated[
        Path | None,
        typer.Argument(help="A .csv, .jsonl or .nt file; - is stdin.", show_default=False, allow_dash=True),
    ] = None,
    builtin: Annotated[bool, typer.Option("--builtin", help="The facts that come with Interleaf.")] = False,
    format: FormatOption = None,
    on_conflict: ConflictOption = OnConflict.FAIL,
    source: Annotated[str, typer.Option(help="Put on facts whose row names none.")] = "",
    resume: Annotated[
        str,
        typer.Option(metavar="IMPORT-ID", help="Go on with an import that broke off.", show_default=False),
    ] = "",
    quarantine: Annotated[
        Hold, typer.Option(help="Rows that wait for approval: flagged ones, all, or as the server says.")
    ] = Hold.SERVER,
    dry_run: DryRunOption = False,
) -> None:
    """Import facts from a file of any size; rows that are refused do not hinder the others.

    CSV has a header row: subject,relation,object[,aliases][,source][,valid_from][,valid_to][,fact_id], aliases
    separated by |, times such as 2026-11-21T00:00:00Z.
    """
    if builtin == (file is not None):
        raise ValueError("give a file, or --builtin")
    import_id = resume or str(uuid.uuid4())
    again = f"if it breaks off: the same command with --resume {import_id}"
    data = nullcontext(_builtin_data()) if file is None else _file_data(file, format)
    with data as (open_data, chosen), _progress(shell.err) as bar:
        task = bar.add_task("facts", total=sum(chunk.count(b"\n") for chunk in open_data()) or None)
        shell.say(Text(f"Import {import_id} ({again})", style="dim"))
        report = shell.client.import_data(
            open_data,
            format=chosen,
            on_conflict=on_conflict.value,
            source=source,
            import_id=import_id,
            validate_only=dry_run,
            quarantine=quarantine.value,
            progress=lambda seen: bar.update(task, completed=seen.rows_read),
        )
        bar.update(task, total=report.rows_read, completed=report.rows_read)
    shell.show(report, lambda: _summary(report, dry_run))
    if not shell.as_json:
        for failure in report.failures[:_SHOWN_FAILURES]:
            shell.say(cell(f"line {failure.line}: {failure.message} ({failure.reason})", "yellow"))
        if report.rows_failed > min(len(report.failures), _SHOWN_FAILURES):
            shell.say(Text("... --json lists the first hundred refused rows.", style="dim"))
    if report.rows_failed:
        raise typer.Exit(REFUSED)


@app.command()
@connected
def export(
    shell: Shell,
    file: Annotated[Path, typer.Argument(help="Where to write; - is stdout.", allow_dash=True)],
    format: FormatOption = None,
    filter: Annotated[str, typer.Option("--filter", "-f", metavar="FILTER", help="As in `facts list`.")] = "",
) -> None:
    """Export the live facts; the file appears only when it is whole."""
    if str(file) == "-":
        for chunk in shell.client.export(format=format.value if format else "jsonl", filter=filter):
            sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()
        return
    size = shell.client.export_file(file, format=format.value if format else None, filter=filter)
    shell.show({"file": str(file), "bytes": size}, lambda: cell(f"{file}: {size:,} bytes", "green"))


@contextmanager
def _file_data(file: Path, format: Format | None) -> Iterator[_Data]:
    chosen = format_of(file, format.value if format else None)
    if file.is_file():
        yield (lambda: file_chunks(file)), chosen
        return
    # What comes through a pipe comes once, and an import may have to read it again.
    with NamedTemporaryFile() as kept:
        with nullcontext(sys.stdin.buffer) if str(file) == "-" else file.open("rb") as source:
            shutil.copyfileobj(source, kept)
        kept.flush()
        yield (lambda: file_chunks(kept.name)), chosen


def _builtin_data() -> _Data:
    """The built-in facts come from whoever offers them: the client package has none."""
    for entry in entry_points(group="interleaf.data", name="builtin"):
        with suppress(ModuleNotFoundError):
            return entry.load(), "jsonl"
    raise ValueError("the built-in facts come with the server: pip install 'interleaf[server]'")


def _progress(console: Console) -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )


def _summary(report: ImportReport, dry_run: bool) -> Text:
    text = Text(f"{report.rows_written:,} {'would be written' if dry_run else 'written'}", style="green")
    text.append(f", {report.rows_unchanged:,} already there", style="dim")
    if report.rows_failed:
        text.append(f", {report.rows_failed:,} refused", style="bold red")
    if report.rows_held:
        text.append(f", {report.rows_held:,} held back (interleaf review list)", style="yellow")
    return text
