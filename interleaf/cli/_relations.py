"""interleaf relations: how people ask for the relations of a namespace."""

from __future__ import annotations

from typing import Annotated

import typer

from interleaf import Namespace
from interleaf.cli import _pictures
from interleaf.cli._connection import Shell, connected
from interleaf.cli._text import cell

app = typer.Typer(
    no_args_is_help=True,
    help="How people ask for relations: with a few examples other words for the same are recognised better.",
)

RelationArgument = Annotated[str, typer.Argument(metavar="RELATION", help="As facts name it.")]


@app.command("list")
@connected
def list_relations(shell: Shell) -> None:
    """The relations that were described, with their examples."""
    found = shell.client.get_namespace().relation_examples
    entries = [{"relation": name, "examples": said} for name, said in found.items()]
    shell.show_all(entries, lambda _: _pictures.relations(found))


@app.command()
@connected
def describe(
    shell: Shell,
    relation: RelationArgument,
    examples: Annotated[
        list[str],
        typer.Argument(
            metavar="EXAMPLE...",
            help="'Who pays {s}?', '{s} earns a living at': questions, or texts that the object completes. "
            "{s} stands for the subject. 2 to 8 do most of it.",
        ),
    ],
    add: Annotated[
        bool, typer.Option("--add", help="Keep the examples that there are; otherwise these replace them.")
    ] = False,
) -> None:
    """Say how a relation is asked for. Counts from the next question on."""
    space = shell.client.get_namespace()
    before = space.relation_examples.get(relation, ()) if add else ()
    said = tuple(dict.fromkeys([*before, *examples]))
    _save(shell, space, {**space.relation_examples, relation: said})
    shell.show({"relation": relation, "examples": said}, lambda: _pictures.relations({relation: said}))


@app.command()
@connected
def forget(shell: Shell, relation: RelationArgument) -> None:
    """Take a relation's examples away."""
    space = shell.client.get_namespace()
    if relation not in space.relation_examples:
        raise typer.BadParameter(
            f"no examples of {relation!r}: `interleaf relations list` shows what there is"
        )
    _save(shell, space, {name: said for name, said in space.relation_examples.items() if name != relation})
    shell.show({"forgotten": relation}, lambda: cell(f"The examples of {relation} are gone.", "green"))


def _save(shell: Shell, space: Namespace, examples: dict[str, tuple[str, ...]]) -> None:
    """Refused when somebody else has changed the namespace since it was read."""
    shell.client.update_namespace(relation_examples=examples, etag=space.etag)
