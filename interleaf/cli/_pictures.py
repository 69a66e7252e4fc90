"""Facts, answers and namespaces as tables and panels. Every text goes through `cell` or `block`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from interleaf import (
    Answer,
    Citation,
    Comparison,
    Fact,
    FinishReason,
    Grounding,
    Namespace,
    Review,
    Revision,
    SearchHit,
    Weighing,
    Weight,
)
from interleaf.cli._text import block, cell, visible, when

_VERDICTS = {
    Grounding.GROUNDED: ("grounded in the cited facts", "green"),
    Grounding.UNGROUNDED: ("facts were there, the answer rests on none", "yellow"),
    Grounding.NO_FACTS: ("no fact was relevant (`interleaf why` says which were found)", "dim"),
    Grounding.UNKNOWN: ("", "dim"),
}


_WHOLE = ("id", "review", "namespace", "rev", "score")
_ID_WIDTH = 24


def _table(*columns: str, ids: Iterable[str] = ()) -> Table:
    """`ids` are told whole, to be copied, where they leave room for the rest; what is longer folds."""
    whole = _WHOLE if all(len(each) <= _ID_WIDTH for each in ids) else ()
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column in whole)
    return table


def nothing(what: str) -> Text:
    """Says that a list is empty."""
    return Text(f"No {what}.", style="dim")


def facts(found: Sequence[Fact]) -> RenderableType:
    """A table of facts."""
    if not found:
        return nothing("facts")
    table = _table("id", "subject", "relation", "object", "rev", "", ids=(one.id for one in found))
    for fact in found:
        style = "dim strike" if fact.deleted else ""
        table.add_row(
            cell(fact.id, "cyan"),
            cell(fact.subject, style),
            cell(fact.relation, style),
            cell(fact.object, style or "bold"),
            cell(fact.revision),
            cell("deleted" if fact.deleted else fact.state.value, "dim"),
        )
    return table


def fact(one: Fact) -> RenderableType:
    """Everything about a fact."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim")
    grid.add_column(overflow="fold")
    rows = (
        ("id", one.id),
        ("namespace", one.name.split("/")[1]),
        ("aliases", ", ".join(one.aliases)),
        ("source", one.source),
        ("valid", " to ".join(filter(None, (when(one.valid_from), when(one.valid_to))))),
        ("revision", f"{one.revision} (of the namespace: {one.namespace_revision})"),
        ("state", one.state.value),
        ("etag", one.etag),
        ("created", when(one.create_time)),
        ("updated", when(one.update_time)),
        ("deleted", when(one.delete_time)),
        ("purged at", when(one.purge_time)),
    )
    for label, value in rows:
        if value:
            grid.add_row(label, cell(value))
    return Panel(grid, title=triple(one), title_align="left", border_style="red" if one.deleted else "cyan")


def triple(of: Fact | Citation) -> Text:
    """What a fact says, on one line."""
    return Text(" · ", style="dim").join(
        (cell(of.subject), cell(of.relation, "italic"), cell(of.object, "bold"))
    )


def hits(found: Sequence[SearchHit]) -> RenderableType:
    """A table of search hits."""
    if not found:
        return nothing("facts found")
    table = _table("score", "subject", "relation", "object", "id", "why", ids=(hit.fact.id for hit in found))
    for hit in found:
        why = (
            f"subject {hit.subject_cover:.2f}, relation {hit.relation_score:.2f}, dense {hit.dense_score:.2f}"
        )
        table.add_row(
            cell(f"{hit.score:.3f}", "green"),
            cell(hit.fact.subject),
            cell(hit.fact.relation),
            cell(hit.fact.object, "bold"),
            cell(hit.fact.id, "cyan"),
            cell(why, "dim"),
        )
    return table


_WEIGHTS = {
    Weight.SHOWN: ("shown to the model", "green"),
    Weight.SUBJECT_NOT_NAMED: ("its subject is not named in full", "dim"),
    Weight.NOT_ASKED_FOR: ("its relation does not seem to be asked for", "yellow"),
    Weight.BEHIND_ANOTHER: ("another fact fits far better", "yellow"),
    Weight.UNKNOWN: ("", "dim"),
}


def weighing(found: Weighing) -> RenderableType:
    """Facts that were found, those that are shown to the model first, and what could be done about the others."""
    if not found.facts:
        return nothing("facts found")
    table = _table("subject", "relation", "object", "fit", "")
    for item in found.facts:
        words, style = _WEIGHTS[item.weight]
        named = item.weight is not Weight.SUBJECT_NOT_NAMED
        table.add_row(
            cell(item.subject),
            cell(item.relation),
            cell(item.object, "bold"),
            cell(f"{item.fit:.1f}" if named else "", style),
            cell(words, style),
        )
    lines: list[RenderableType] = [table, Text(f"A fit of {found.fit_needed:.1f} is needed.", style="dim")]
    if any(item.weight is Weight.NOT_ASKED_FOR for item in found.facts):
        told = 'Say how people ask: interleaf relations describe RELATION "... {s} ..."'
        lines.append(Text(told, style="dim"))
    return Group(*lines)


def history(entries: Sequence[Revision]) -> RenderableType:
    """A table of revisions."""
    if not entries:
        return nothing("revisions")
    table = _table("rev", "when", "action", "by", "subject", "relation", "object")
    for entry in entries:
        table.add_row(
            cell(entry.number, "cyan"),
            cell(when(entry.create_time)),
            cell(entry.action),
            cell(entry.principal, "dim"),
            cell(entry.fact.subject),
            cell(entry.fact.relation),
            cell(entry.fact.object, "bold"),
        )
    return table


def namespaces(found: Sequence[Namespace]) -> RenderableType:
    """A table of namespaces."""
    if not found:
        return nothing("namespaces")
    table = _table(
        "namespace",
        "facts",
        "revision",
        "searchable",
        "name",
        "several objects for",
        ids=(each.id for each in found),
    )
    for entry in found:
        behind = entry.revision - entry.searchable_revision
        table.add_row(
            cell(entry.id, "cyan"),
            cell(entry.fact_count),
            cell(entry.revision),
            cell("all" if behind <= 0 else f"{behind} behind", "green" if behind <= 0 else "yellow"),
            cell(entry.display_name),
            cell(", ".join(entry.multi_valued_relations), "dim"),
        )
    return table


def relations(described: Mapping[str, Sequence[str]]) -> RenderableType:
    """How relations are asked for."""
    if not described:
        return nothing("examples")
    table = _table("relation", "asked for, by example")
    for relation, examples in described.items():
        table.add_row(cell(relation, "cyan"), block("\n".join(map(visible, examples))))
    return table


def citations(given: Sequence[Citation]) -> RenderableType:
    """The injected facts and how much attention each drew."""
    table = Table.grid(padding=(0, 2))
    for citation in given:
        mark = Text("●" if citation.used else "○", style="green" if citation.used else "dim")
        where = f"{citation.fact.rpartition('/')[2]} rev {citation.revision}"
        table.add_row(
            mark,
            triple(citation),
            cell(f"attention {citation.attention:.1%}", "magenta"),
            cell(where, "cyan"),
        )
    return table


def footnotes(answer: Answer) -> RenderableType:
    """What stands under an answer: verdict, citations, timings."""
    words, style = _VERDICTS[answer.grounding]
    if answer.finish_reason is FinishReason.ABSTAINED:
        words, style = "no stored fact says it, so nothing is said", "yellow"
    times = answer.timings
    cost = f"retrieval {times.retrieval * 1000:.0f} ms, total {times.total:.2f} s, {answer.generated_tokens} tokens"
    if answer.injected_tokens:
        cost += f", {answer.injected_tokens} knowledge tokens"
    parts: list[RenderableType] = [citations(answer.citations)] if answer.citations else []
    line = Text(" — ", style="dim").join(
        part for part in (Text(words, style=style), Text(cost, style="dim")) if part
    )
    return Group(*parts, line)


def answer(given: Answer) -> RenderableType:
    """An answer with its footnotes."""
    return Group(block(given.text.strip(), "bold"), footnotes(given))


def comparison(both: Comparison) -> RenderableType:
    """Two answers side by side."""
    grid = Table.grid(expand=True, padding=(0, 1))
    grid.add_column(ratio=1)
    grid.add_column(ratio=1)
    style = "green" if both.changed else "dim"
    grid.add_row(
        Panel(block(both.original.text.strip()), title="plain model", border_style="dim"),
        Panel(block(both.edited.text.strip()), title="with facts", border_style=style),
    )
    return Group(grid, footnotes(both.edited))


def reviews(found: Sequence[Review]) -> RenderableType:
    """A table of rows of imports."""
    if not found:
        return nothing("rows")
    table = _table(
        "review",
        "line",
        "flags",
        "subject",
        "relation",
        "object",
        "contradicts",
        ids=(each.id for each in found),
    )
    for review in found:
        fact = review.fact
        flags = ", ".join(flag.value.replace("_", " ") for flag in review.flags)
        conflicts = ", ".join(name.rpartition("/")[2] for name in review.conflicts)
        table.add_row(
            cell(review.id, "cyan"),
            cell(review.line),
            cell(flags, "yellow"),
            cell(fact.subject),
            cell(fact.relation),
            cell(fact.object, "bold"),
            cell(conflicts, "dim"),
        )
    return table
