"""`interleaf review`: list, approve, reject rows of imports that wait."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import Annotated, Any

import typer
from google.protobuf.json_format import MessageToDict
from rich.table import Table

from interleaf._calls import new_request_id
from interleaf.cli._connection import Shell, connected
from interleaf.cli._text import cell
from interleaf.v1 import reviews_pb2
from service.edits_calls import ask

SERVICE = "/interleaf.v1.Reviews/"
_PAGE = 500

app = typer.Typer(no_args_is_help=True)
review_app = typer.Typer(
    no_args_is_help=True, help="Rows of imports that wait for approval: see them, let them in, or not."
)
app.add_typer(review_app, name="review")


class State(StrEnum):
    """What became of a row."""

    HELD = "held"
    APPROVED = "approved"
    REJECTED = "rejected"


class OnConflict(StrEnum):
    """What becomes of what is stored."""

    FAIL = "fail"
    REPLACE = "replace"
    ADD = "add"


NamesArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="REVIEW...", help="Names that `list` prints.", show_default=False),
]
ImportOption = Annotated[
    str, typer.Option("--import", metavar="IMPORT-ID", help="Rows of this import.", show_default="all")
]


def _parent(shell: Shell) -> str:
    return f"namespaces/{shell.client.namespace}"


def _held(shell: Shell, state: State, import_id: str) -> Iterator[Any]:
    token = ""
    while True:
        request = reviews_pb2.ListReviewsRequest(
            parent=_parent(shell),
            state=f"REVIEW_STATE_{state.name}",
            import_id=import_id,
            page_size=_PAGE,
            page_token=token,
        )
        page = ask(shell, "ListReviews", request, reviews_pb2.ListReviewsResponse, SERVICE)
        yield from page.reviews
        token = page.next_page_token
        if not token:
            return


def _flags(review: Any) -> str:
    names = (reviews_pb2.ReviewFlag.Name(flag) for flag in review.flags)
    return ", ".join(name.removeprefix("REVIEW_FLAG_").lower().replace("_", " ") for name in names)


@review_app.command("list")
@connected
def list_(
    shell: Shell,
    state: Annotated[State, typer.Option(help="What became of them.")] = State.HELD,
    import_id: ImportOption = "",
) -> None:
    """The rows that wait, with what was flagged in them."""
    found = _held(shell, state, import_id)
    if shell.as_json:
        for review in found:
            shell.out.print_json(
                json.dumps(MessageToDict(review, preserving_proto_field_name=True)), indent=None
            )
        return
    table = Table("review", "line", "flags", "subject", "relation", "object", "contradicts", box=None)
    for review in found:
        fact = review.fact
        conflicts = ", ".join(name.rpartition("/")[2] for name in review.conflicts)
        shown = (str(review.line), _flags(review), fact.subject, fact.relation, fact.object, conflicts)
        table.add_row(*map(cell, (review.name.rpartition("/")[2], *shown)))
    shell.out.print(table)


@review_app.command()
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
    policy = f"CONFLICT_POLICY_{'UNSPECIFIED' if on_conflict is None else on_conflict.name}"

    def request(name: str) -> Any:
        return reviews_pb2.ApproveReviewRequest(
            name=name, on_conflict=policy, request_id=new_request_id(None)
        )

    _decide(shell, "ApproveReview", request, names, import_id)


@review_app.command()
@connected
def reject(shell: Shell, names: NamesArgument = None, import_id: ImportOption = "") -> None:
    """Never make facts of these rows, or of all that wait of an import."""

    def request(name: str) -> Any:
        return reviews_pb2.RejectReviewRequest(name=name, request_id=new_request_id(None))

    _decide(shell, "RejectReview", request, names, import_id)


def _decide(
    shell: Shell, rpc: str, request: Callable[[str], Any], names: list[str] | None, import_id: str
) -> None:
    if bool(names) == bool(import_id):
        raise ValueError("name rows, or give --import")
    prefix = f"{_parent(shell)}/reviews/"
    chosen = [name if "/" in name else prefix + name for name in names or ()]
    if import_id:
        chosen = [review.name for review in _held(shell, State.HELD, import_id)]
    for name in chosen:
        decided = ask(shell, rpc, request(name), reviews_pb2.Review, SERVICE)
        state = reviews_pb2.ReviewState.Name(decided.state).removeprefix("REVIEW_STATE_").lower()
        values = {"name": decided.name, "state": state, "written": decided.written}
        made = f" as {decided.written}" if decided.written else ""
        line = cell(f"{decided.name} is {state}{made}")
        shell.show(values, lambda line=line: line)  # type: ignore[misc]
