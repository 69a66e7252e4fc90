"""interleaf relations: how people ask for the relations of a namespace."""

from __future__ import annotations

import itertools
from typing import Annotated

import typer
from rich.text import Text

from interleaf import Namespace
from interleaf.cli import _pictures
from interleaf.cli._connection import Shell, connected
from interleaf.cli._relation_names import key_of
from interleaf.cli._text import cell

app = typer.Typer(
    no_args_is_help=True,
    help="How people ask for relations: with a few examples other words for the same are recognised better.",
)

_Examples = dict[str, tuple[str, ...]]
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
    there, others = _sorted_out(space, relation)
    before = itertools.chain.from_iterable(there.values()) if add else ()
    said = tuple(dict.fromkeys([*before, *examples]))
    _save(shell, space, {**others, relation: said})
    shell.show({"relation": relation, "examples": said}, lambda: _pictures.relations({relation: said}))
    if any("{s}" not in example for example in examples):
        shell.say(Text("An example without {s} does not say where the subject stands.", style="yellow"))


@app.command()
@connected
def forget(shell: Shell, relation: RelationArgument) -> None:
    """Take a relation's examples away."""
    space = shell.client.get_namespace()
    there, others = _sorted_out(space, relation)
    if not there:
        raise typer.BadParameter(
            f"no examples of {relation!r}: `interleaf relations list` shows what there is"
        )
    _save(shell, space, others)
    shell.show({"forgotten": relation}, lambda: cell(f"The examples of {relation} are gone.", "green"))


def _sorted_out(space: Namespace, relation: str) -> tuple[_Examples, _Examples]:
    """The examples of this relation, in whichever spelling, and those of the others."""
    there: _Examples = {}
    others: _Examples = {}
    for name, said in space.relation_examples.items():
        (there if key_of(name) == key_of(relation) else others)[name] = said
    return there, others


def _save(shell: Shell, space: Namespace, examples: _Examples) -> None:
    """Refused when somebody else has changed the namespace since it was read."""
    shell.client.update_namespace(relation_examples=examples, etag=space.etag)
