"""What `interleaf edits` shows. Facts and answers are untrusted text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from google.protobuf.json_format import MessageToDict
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from interleaf.cli._connection import console
from interleaf.cli._text import cell
from interleaf.v1 import edits_pb2 as pb

_STATES = {
    pb.EDIT_STATE_COMPUTED: ("computed", ""),
    pb.EDIT_STATE_APPLIED: ("applied", "bold green"),
    pb.EDIT_STATE_NOT_RESTORED: ("not restored", "bold red"),
    pb.EDIT_STATE_DAMAGED: ("damaged", "bold red"),
}
_RATES = ("es", "ps", "ns", "s", "reliability_free", "locality_free", "portability", "spill", "seconds")
_KEPT = ("circuit_nodes_kept", "circuit_edges_kept")


def plain(message: Any) -> dict[str, Any]:
    """As JSON, with the names of the API."""
    found: dict[str, Any] = MessageToDict(message, preserving_proto_field_name=True)
    return found


def table(edits: Sequence[Any]) -> RenderableType:
    """A row an edit."""
    if not edits:
        return cell("There are no edits.", "dim")
    rows = Table("edit", "state", "method", "facts", "first fact", "made", box=None, pad_edge=False)
    for edit in edits:
        state, style = _STATES[edit.state]
        first = f"{edit.facts[0].prompt} {edit.facts[0].target}" if edit.facts else ""
        rows.add_row(
            cell(edit.name.removeprefix("edits/")),
            Text(state, style=style),
            cell(edit.method),
            str(len(edit.facts)),
            cell(first),
            edit.create_time.ToDatetime().strftime("%Y-%m-%d %H:%M"),
        )
    return rows


def one(edit: Any) -> RenderableType:
    """An edit, with what the engine said of it."""
    parts: list[RenderableType] = [table([edit])]
    if edit.problem:
        parts.append(cell(edit.problem, "bold red"))
    parts += [cell(text, "yellow") for text in edit.problems]
    for tensor in edit.tensors:
        parts.append(cell(f"{tensor.name}: {tensor.before[:12]} becomes {tensor.after[:12]}", "dim"))
    if edit.live:
        rows = Table("on the engine, behind", "target", "before", "after", "rank", box=None, pad_edge=False)
        for line in edit.live:
            rows.add_row(
                cell(line.prompt),
                cell(line.target),
                f"{line.before.probability:.3g}",
                f"{line.after.probability:.3g}",
                f"{line.before.rank} → {line.after.rank}",
            )
        parts.append(rows)
    return Group(*parts)


def receipt(found: Any) -> RenderableType:
    """Every object behind every prompt, before and after."""
    rows = Table("where", "prompt", "object", "before", "after", "rank", box=None, pad_edge=False)
    for line in found.lines:
        style = "bold" if line.is_new else ""
        rows.add_row(
            cell(line.kind, "dim" if line.kind in ("absent", "shuffled") else ""),
            cell(line.prompt),
            cell(line.object, style),
            f"{line.before.probability:.3g}",
            f"{line.after.probability:.3g}",
            f"{line.before.rank} → {line.after.rank}",
        )
    said = [cell(f"{text.prompt} … {' '.join(text.after.split())}") for text in found.texts]
    problems = [cell(text, "bold yellow") for text in found.problems]
    return Group(rows, *said, *(problems or [cell("Nothing amiss.", "green")]))


def made(edit: Any, found: Any) -> RenderableType:
    """What was computed."""
    return Group(one(edit), receipt(found))


def comparison(done: Any, picture: Path | None) -> RenderableType:
    """A row a method."""
    names = [*_RATES, *(name for name in _KEPT if any(name in each.figures for each in done.methods))]
    rows = Table("method", *names, "says", box=None, pad_edge=False)
    for method in done.methods:
        values = [f"{method.figures[name]:.2f}" if name in method.figures else "" for name in names]
        rows.add_row(cell(method.method, "bold"), *values, cell(" ".join(method.said.split())[:60]))
    left = [cell(f"{name} left out: {why}", "yellow") for name, why in sorted(done.left_out.items())]
    return Group(rows, *left, *([cell(str(picture))] if picture else []))


def sweep(rows: Sequence[Mapping[str, Any]], best: Mapping[str, Any]) -> None:
    """A row a layer, the chosen one marked."""
    found = Table("layer", "es", "ps", "ns", "s", "seconds", box=None, pad_edge=False)
    for row in rows:
        values = [f"{row[name]:.2f}" if name in row else "" for name in ("es", "ps", "ns", "s", "seconds")]
        found.add_row(str(row["layer"]), *values, style="bold green" if row == best else "")
    console().print(found)
