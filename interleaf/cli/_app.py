"""The whole command: what talks to a server, and what other packages add (serve, prepare, doctor, ...)."""

from __future__ import annotations

import io
import sys
from importlib.metadata import EntryPoint, entry_points
from typing import Annotated

import typer
from rich.markup import escape

from interleaf import __version__
from interleaf.cli import _ask, _facts, _namespaces, _relations, _review, _transfer
from interleaf.cli._connection import console
from interleaf.cli._failure import __doc__ as exit_codes
from interleaf.cli._text import cell

_OWN = frozenset({"facts", "namespaces", "review", "ask", "chat", "compare"})
_OPTIONS_OF_THE_COMMAND = frozenset({"--version"})


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"interleaf {__version__}")
        raise typer.Exit


def _start(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Say which version this is."),
    ] = False,
) -> None:
    """Facts that a frozen language model answers with. Start with `interleaf serve`."""


def build(*, plugins: bool) -> typer.Typer:
    """The command. Loading plugins imports the server's packages: only done when they can be needed."""
    app = typer.Typer(
        name="interleaf",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        epilog="Exit codes: " + "; ".join((exit_codes or "").partition("\n\n")[2].strip().splitlines()),
    )
    app.callback()(_start)
    facts = typer.Typer(
        no_args_is_help=True, help="Add, read, correct, delete, search, import and export facts."
    )
    facts.registered_commands += _facts.app.registered_commands + _transfer.app.registered_commands
    app.add_typer(facts, name="facts")
    app.registered_commands += _ask.app.registered_commands
    app.add_typer(_namespaces.app, name="namespaces")
    app.add_typer(_relations.app, name="relations")
    app.add_typer(_review.app, name="review")
    if plugins:
        for entry in sorted(entry_points(group="interleaf.commands"), key=lambda entry: entry.name):
            _merge(app, entry)
    return app


def _merge(app: typer.Typer, entry: EntryPoint) -> None:
    """Adds another package's commands; one whose packages are not installed explains itself when called."""
    try:
        added: typer.Typer = entry.load()
    except ModuleNotFoundError as error:
        _explain_missing(app, entry.name, error.name or str(error))
        return
    app.registered_commands += added.registered_commands
    app.registered_groups += added.registered_groups


def _explain_missing(app: typer.Typer, name: str, package: str) -> None:
    @app.command(
        name,
        help=escape(f"Not available: needs {package} (pip install 'interleaf[server]')."),
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
        add_help_option=False,
    )
    def missing() -> None:
        message = (
            f"`interleaf {name}` needs {package}, which is not installed: pip install 'interleaf[server]'"
        )
        console(stderr=True).print(cell(message, "bold red"))
        raise typer.Exit(1)


def run() -> None:
    """Runs the command on the process's arguments."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that cannot show a letter gets its escape
            stream.reconfigure(errors="backslashreplace")
    words = [word for word in sys.argv[1:] if word not in _OPTIONS_OF_THE_COMMAND]
    build(plugins=not words or words[0] not in _OWN)()
