"""interleaf namespaces."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from interleaf.cli import _pictures
from interleaf.cli._connection import Shell, connected
from interleaf.cli._text import cell

app = typer.Typer(no_args_is_help=True, help="Namespaces: nothing from one ever reaches another's answers.")

NameArgument = Annotated[str, typer.Argument(metavar="NAME")]


@app.command("list")
@connected
def list_namespaces(shell: Shell) -> None:
    """List the namespaces."""
    shell.show_all(shell.client.namespaces(), _pictures.namespaces)


@app.command()
@connected
def create(
    shell: Shell,
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Lower-case letters, digits and hyphens, 1-63.")
    ],
    display_name: Annotated[str, typer.Option(metavar="TEXT", help="A name for people.")] = "",
    multi_valued: Annotated[
        list[str] | None,
        typer.Option(metavar="RELATION", help="A relation with several objects per subject; repeatable."),
    ] = None,
) -> None:
    """Make a namespace."""
    made = shell.client.create_namespace(
        name, display_name=display_name, multi_valued_relations=multi_valued or ()
    )
    shell.show(made, lambda: _pictures.namespaces([made]))


@app.command()
@connected
def get(shell: Shell, name: NameArgument) -> None:
    """Show a namespace: how many facts, and how far the index is."""
    found = shell.client.get_namespace(name)
    shell.show(found, lambda: _pictures.namespaces([found]))


@app.command()
@connected
def delete(
    shell: Shell,
    name: NameArgument,
    force: Annotated[
        bool, typer.Option("--force", help="Delete its facts too. There is no way back.")
    ] = False,
) -> None:
    """Delete a namespace for good."""
    shell.client.delete_namespace(name, force=force)
    shell.show({"deleted": name}, lambda: cell(f"Namespace {name} is gone.", "green"))


@app.command()
@connected
def reindex(
    shell: Shell,
    name: NameArgument,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Start it, and do not wait for its end.")
    ] = False,
) -> None:
    """Rebuild a namespace's index from its facts."""
    started = shell.client.reindex(name)
    if no_wait:
        shell.show(started, lambda: cell(f"Started: {started.name}"))
        return
    with shell.err.status(Text(f"Reindexing {name}")):
        done = shell.client.wait(started)
    shell.show(done, lambda: cell(f"Namespace {name} is indexed anew.", "green"))
