"""interleaf facts: add, read, correct, delete, search. Import and export are in _transfer."""

from __future__ import annotations

import itertools
from datetime import datetime
from enum import StrEnum
from typing import Annotated

import typer
from rich.text import Text

from interleaf import KEEP, Fact
from interleaf.cli import _pictures
from interleaf.cli._connection import Shell, connected

app = typer.Typer()

FactArgument = Annotated[str, typer.Argument(metavar="FACT", help="Id of the fact, or its full name.")]
EtagOption = Annotated[str, typer.Option(metavar="ETAG", help="Refuse when the fact is no longer this one.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Check everything, write nothing.")]
AliasOption = Annotated[
    list[str] | None, typer.Option("--alias", metavar="NAME", help="Another name of the subject; repeatable.")
]
TimeOption = Annotated[datetime | None, typer.Option(metavar="TIME", help="Local time, such as 2026-11-21.")]


class OnConflict(StrEnum):
    """What to do when the relation already has another object for this subject."""

    FAIL = "fail"
    REPLACE = "replace"
    ADD = "add"


class Mode(StrEnum):
    """Which half of the hybrid retrieval to use."""

    FUSED = "fused"
    DENSE = "dense"
    LEXICAL = "lexical"


ConflictOption = Annotated[
    OnConflict,
    typer.Option(help="When the subject has another object already: refuse, replace it, or keep both."),
]


def _aware(time: datetime | None) -> datetime | None:
    try:
        return None if time is None else time.astimezone()
    except (OverflowError, ValueError):  # Python looks a day around a local time
        raise ValueError(
            f"{time}: must be in the years 1 to 9999 of UTC, a local time at least a day inside of them"
        ) from None


def _done(shell: Shell, verb: str, fact: Fact, dry_run: bool = False) -> None:
    if not shell.as_json:
        shell.say(Text(verb, style="green"))
    # What is not written has no state, and a new fact no id, before it is.
    shell.show(fact, lambda: _pictures.triple(fact) if dry_run else _pictures.facts([fact]))


@app.command()
@connected
def add(
    shell: Shell,
    subject: Annotated[str, typer.Argument(help="Whom or what the fact is about.")],
    relation: Annotated[str, typer.Argument(help="Such as: employer, capital, date of birth.")],
    object: Annotated[str, typer.Argument(help="What the model shall say.")],
    alias: AliasOption = None,
    source: Annotated[str, typer.Option(help="Where the fact comes from, in your words.")] = "",
    fact_id: Annotated[
        str, typer.Option("--id", metavar="ID", help="Made by the server when not given.")
    ] = "",
    valid_from: TimeOption = None,
    valid_to: TimeOption = None,
    on_conflict: ConflictOption = OnConflict.FAIL,
    dry_run: DryRunOption = False,
) -> None:
    """Add a fact; the next question is answered with it."""
    fact = shell.client.add(
        subject,
        relation,
        object,
        aliases=alias or (),
        source=source,
        fact_id=fact_id,
        valid_from=_aware(valid_from),
        valid_to=_aware(valid_to),
        on_conflict=on_conflict.value,
        validate_only=dry_run,
    )
    _done(shell, "Would be added." if dry_run else "Stored.", fact, dry_run)


@app.command()
@connected
def get(shell: Shell, fact: FactArgument) -> None:
    """Show everything about a fact."""
    found = shell.client.get(fact)
    shell.show(found, lambda: _pictures.fact(found))


@app.command("list")
@connected
def list_facts(
    shell: Shell,
    filter: Annotated[
        str,
        typer.Option(
            "--filter",
            "-f",
            metavar="FILTER",
            help="""Such as: subject : "Keller" AND relation = "employer".""",
        ),
    ] = "",
    deleted: Annotated[bool, typer.Option("--deleted", help="Show deleted facts too.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 100,
) -> None:
    """List facts in the order of their creation."""
    found = shell.client.list(filter, show_deleted=deleted, page_size=min(limit + 1, 1000))
    shell.show_all(itertools.islice(found, limit), _pictures.facts)
    if next(found, None) is not None:
        shell.say(Text(f"There are more; --limit {limit * 10} shows them.", style="dim"))


@app.command()
@connected
def update(
    shell: Shell,
    fact: FactArgument,
    object: Annotated[str | None, typer.Option(metavar="TEXT", help="The new object.")] = None,
    subject: Annotated[str | None, typer.Option(metavar="TEXT", help="The new subject.")] = None,
    relation: Annotated[str | None, typer.Option(metavar="TEXT", help="The new relation.")] = None,
    alias: AliasOption = None,
    source: Annotated[str | None, typer.Option(metavar="TEXT", help="The new source.")] = None,
    valid_from: TimeOption = None,
    valid_to: TimeOption = None,
    etag: EtagOption = "",
    dry_run: DryRunOption = False,
) -> None:
    """Correct a fact; the next answer follows it. Aliases are replaced as a whole."""
    changed = shell.client.update(
        fact,
        subject=subject,
        relation=relation,
        object=object,
        aliases=alias,
        source=source,
        valid_from=_aware(valid_from) or KEEP,
        valid_to=_aware(valid_to) or KEEP,
        etag=etag,
        validate_only=dry_run,
    )
    _done(shell, "Would be changed." if dry_run else "Changed.", changed, dry_run)


@app.command()
@connected
def delete(
    shell: Shell,
    facts: Annotated[list[str], typer.Argument(metavar="FACT...", help="Ids or full names.")],
    etag: EtagOption = "",
    dry_run: DryRunOption = False,
) -> None:
    """Delete facts: the model stops using them at once. Several go together or not at all."""
    if len(facts) == 1:
        gone: tuple[Fact, ...] = (shell.client.delete(facts[0], etag=etag, validate_only=dry_run),)
    elif etag:
        raise ValueError("--etag guards one fact: give one FACT with it")
    else:
        gone = shell.client.delete_many(facts, validate_only=dry_run)
    shell.show_all(gone, _pictures.facts)
    if not dry_run:
        shell.say(Text("Deleted; `interleaf facts undelete` brings them back.", style="dim"))


@app.command()
@connected
def undelete(shell: Shell, fact: FactArgument, etag: EtagOption = "", dry_run: DryRunOption = False) -> None:
    """Bring a deleted fact back."""
    back = shell.client.undelete(fact, etag=etag, validate_only=dry_run)
    _done(shell, "Would be back." if dry_run else "Back.", back, dry_run)


@app.command()
@connected
def history(shell: Shell, fact: FactArgument) -> None:
    """Show what a fact said over time, newest first."""
    shell.show_all(shell.client.history(fact), _pictures.history)


@app.command()
@connected
def rollback(
    shell: Shell,
    fact: FactArgument,
    revision: Annotated[int, typer.Argument(min=1, help="A revision of `interleaf facts history`.")],
    etag: EtagOption = "",
    dry_run: DryRunOption = False,
) -> None:
    """Make an earlier revision the current one, as a new revision."""
    back = shell.client.rollback(fact, revision, etag=etag, validate_only=dry_run)
    _done(shell, "Would be rolled back." if dry_run else "Rolled back.", back, dry_run)


@app.command()
@connected
def search(
    shell: Shell,
    query: Annotated[str, typer.Argument(help="A question or any text.")],
    top_k: Annotated[
        int, typer.Option("--top-k", "-k", min=0, help="How many facts at most; 0: the default.")
    ] = 0,
    mode: Annotated[Mode, typer.Option(help="Which half of the retrieval to use.")] = Mode.FUSED,
) -> None:
    """Find the facts that a question would be answered with."""
    shell.show_all(shell.client.search(query, top_k=top_k, mode=mode.value), _pictures.hits)
