"""interleaf review: list, approve, reject rows of imports that wait."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from interleaf import Review, ReviewState
from interleaf._types import OnConflict as Policy
from interleaf.cli import _pictures
from interleaf.cli._connection import Shell, connected
from interleaf.cli._facts import OnConflict
from interleaf.cli._text import cell

app = typer.Typer(
    no_args_is_help=True, help="Rows of imports that wait for approval: see them, let them in, or not."
)


class State(StrEnum):
    """What became of a row."""

    HELD = "held"
    APPROVED = "approved"
    REJECTED = "rejected"


NamesArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="REVIEW...", help="Names that `list` prints.", show_default=False),
]
ImportOption = Annotated[
    str, typer.Option("--import", metavar="IMPORT-ID", help="Rows of this import.", show_default="all")
]


@app.command("list")
@connected
def list_reviews(
    shell: Shell,
    state: Annotated[State, typer.Option(help="What became of them.")] = State.HELD,
    import_id: ImportOption = "",
) -> None:
    """The rows that wait, with what was flagged in them."""
    found = shell.client.reviews.list(state=state.value, import_id=import_id)
    shell.show_all(found, _pictures.reviews)


@app.command()
@connected
def approve(
    shell: Shell,
    names: NamesArgument = None,
    import_id: ImportOption = "",
    on_conflict: Annotated[
        OnConflict | None,
        typer.Option(help="What becomes of what is stored.", show_default="what the import said"),
    ] = None,
) -> None:
    """Make facts of these rows, or of all that wait of an import."""
    policy: Policy | None = on_conflict.value if on_conflict else None
    for review in _chosen(shell, names, import_id):
        _tell(shell, shell.client.reviews.approve(review, on_conflict=policy))


@app.command()
@connected
def reject(shell: Shell, names: NamesArgument = None, import_id: ImportOption = "") -> None:
    """Never make facts of these rows, or of all that wait of an import."""
    for review in _chosen(shell, names, import_id):
        _tell(shell, shell.client.reviews.reject(review))


def _chosen(shell: Shell, names: list[str] | None, import_id: str) -> list[str]:
    if bool(names) == bool(import_id):
        raise ValueError("name rows, or give --import")
    return names or [review.name for review in list(shell.client.reviews.list(import_id=import_id))]


def _tell(shell: Shell, decided: Review) -> None:
    made = f" as {decided.written}" if decided.state is ReviewState.APPROVED else ""
    shell.show(decided, lambda: cell(f"{decided.name} is {decided.state.value}{made}"))
