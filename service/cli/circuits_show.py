"""What `interleaf circuits` shows and writes: tables, JSON, pictures. Prompts, facts, answers are untrusted text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from google.protobuf.json_format import MessageToDict
from rich.console import Group, RenderableType
from rich.table import Table

from interleaf.cli._text import cell
from interleaf.v1 import circuits_pb2 as pb

_MOST = 12
_PICTURE = "svg"
_STYLES = {pb.VERDICT_OK: "bold green"}


def without_pictures(message: Any) -> dict[str, Any]:
    """As JSON, with the names of the API."""
    found: dict[str, Any] = MessageToDict(message, preserving_proto_field_name=True)
    return {name: value for name, value in found.items() if not name.endswith(_PICTURE)}


def write(message: Any, name: str, folder: Path) -> list[Path]:
    """The data as NAME.json, its pictures as NAME.svg or NAME-WHICH.svg; returns what was written."""
    folder.mkdir(parents=True, exist_ok=True)
    data = folder / f"{name}.json"
    data.write_text(json.dumps(without_pictures(message), indent=1, ensure_ascii=False) + "\n", "utf-8")
    written = [data]
    for field in message.DESCRIPTOR.fields_by_name:
        if field.endswith(_PICTURE) and getattr(message, field):
            which = field.removesuffix(_PICTURE).strip("_")
            path = folder / f"{name}{f'-{which}' if which else ''}.svg"
            path.write_text(getattr(message, field), encoding="utf-8")
            written.append(path)
    return written


def report(found: Any) -> RenderableType:
    """A check."""
    verdict = pb.Verdict.Name(found.verdict).removeprefix("VERDICT_").lower()
    parts: list[RenderableType] = [
        cell(verdict, _STYLES.get(found.verdict, "bold red")),
        cell(found.explanation),
    ]
    rows = Table("", "text", "log-probability", "first token's rank", box=None, pad_edge=False)
    for name, each in (("answer", found.answer_trajectory), ("truth", found.truth_trajectory)):
        if each.tokens:
            rows.add_row(name, cell(each.answer), f"{each.log_probability[-1]:.2f}", str(each.rank[-1] + 1))
    parts.append(rows)
    if found.HasField("chance_wrong"):
        chance = f"chance of being wrong, from what happens inside: {found.chance_wrong:.0%}"
        parts.append(cell(f"{chance} (suspected above {found.threshold:.0%})"))
    if found.HasField("needed"):
        names = ", ".join(_node(node) for node in found.needed.nodes) or "nothing alone"
        gap, left = found.needed.gap, found.needed.gap_without
        lacked = f"the truth lacked {gap:.2f} logits; without {names}: {left:.2f}"
        parts.append(cell(lacked if gap > 0 else f"the truth lies {-gap:.2f} logits above the answer"))
    if found.HasField("repair"):
        repair = found.repair
        change = f"{repair.truth_before:.2f} to {repair.truth_after:.2f}"
        outcome = "repairs it" if repair.repaired else "does not repair it"
        parts.append(cell(f"injecting {found.fact} {outcome}: the truth goes from {change}"))
    parts.append(cell(f"{found.passes.forward} passes", "dim"))
    return Group(*parts)


def trace(found: Any) -> RenderableType:
    """Answers by layer, after its MLP."""
    columns = [f"{each.answer} (rank)" for each in found.answers]
    rows = Table("layer", "stands highest", box=None, pad_edge=False)
    for column in columns:
        rows.add_column(cell(column))
    for depth in range(1, len(found.top), 2):
        values = [f"{each.log_probability[depth]:8.2f} ({each.rank[depth] + 1})" for each in found.answers]
        rows.add_row(str(depth // 2), cell(repr(found.top[depth])), *values)
    return rows


def heads(found: Any) -> RenderableType:
    """The strongest heads."""
    columns = ("head", "role", "on subject", "on relation", "direct", "mover", "relation", "ablated", "says")
    rows = Table(*columns, box=None, pad_edge=False)
    for each in found.heads[:_MOST]:
        rows.add_row(
            f"L{each.head.layer}H{each.head.head}",
            pb.HeadRole.Name(each.role).removeprefix("HEAD_ROLE_").lower(),
            f"{each.attention_subject:.2f}",
            f"{each.attention_relation:.2f}",
            f"{each.direct:+.2f}",
            f"{each.mover:+.2f}",
            f"{each.relation:+.2f}",
            f"{each.delta:+.2f}" if each.HasField("delta") else "",
            cell(" ".join(repr(piece) for piece in each.says)),
        )
    note = (
        f"movers from {found.mover_threshold:.2f} logits, relation heads from {found.relation_threshold:.2f}"
    )
    return Group(rows, cell(f"{note}; {found.passes.forward} passes", "dim"))


def knockout(found: Any) -> RenderableType:
    """Where each knockout hurts most."""
    rows = Table("blocked", "worst in layers", "change of probability", box=None, pad_edge=False)
    # Edges are blocked around a layer, sub-layers from one on.
    for curves, before in ((found.edges, found.window // 2), (found.sublayers, 0)):
        for curve in curves:
            layers = range(len(curve.relative))
            worst = min(layers, key=lambda at: curve.relative[at])
            window = layers[max(0, worst - before) : worst - before + found.window]
            ends = "-".join(map(str, sorted({window[0], window[-1]})))
            rows.add_row(cell(curve.what), ends, f"{curve.relative[worst]:+.0%}")
    return Group(rows, cell(f"windows of {found.window} layers; {found.passes.forward} passes", "dim"))


def recall(found: Any) -> RenderableType:
    """By layer, and what heads map the subject to."""
    rows = Table("layer", "attributes", "held", "attention says it", "MLP says it", box=None, pad_edge=False)
    for layer, rate in enumerate(found.attributes_rate):
        rows.add_row(
            str(layer),
            f"{rate:.0%}",
            f"{found.attributes_held[layer]:.0%}",
            "yes" if found.attention_extracts[layer] else "",
            "yes" if found.mlp_extracts[layer] else "",
        )
    lines = [
        cell(f"L{each.head.layer}H{each.head.head}: {' '.join(map(repr, each.tokens[:6]))}")
        for each in found.mappings
    ]
    return Group(rows, *lines)


def facts(found: Any) -> RenderableType:
    """What each fact, layer and head does."""
    title = f"“{found.answer}”: {found.with_facts:.2f} with facts, {found.plain:.2f} without"
    rows = Table("fact", "without it", "without each of its tokens", box=None, pad_edge=False)
    for each in found.facts:
        words = f"{each.subject} / {each.relation} / {each.object}"
        rows.add_row(cell(words), f"{each.delta:+.2f}", _numbers(each.token_deltas))
    layers = Table("layer", "blind to facts", box=None, pad_edge=False)
    for layer in found.layers:
        layers.add_row(str(layer.layer), f"{layer.delta:+.2f}")
    best = sorted(found.heads, key=lambda head: head.delta)[:_MOST]
    readers = Table("head", "attention", "direct", "blind to facts", box=None, pad_edge=False)
    for head in best:
        name = f"L{head.head.layer}H{head.head.head}"
        readers.add_row(name, f"{sum(head.attention):.2f}", f"{head.direct:+.2f}", f"{head.delta:+.2f}")
    return Group(cell(title), rows, layers, readers)


def circuit(found: Any) -> RenderableType:
    """Its size, how it does alone, its strongest edges."""
    size = (
        f"{found.nodes} of {found.all_nodes} nodes ({found.nodes / found.all_nodes:.1%}), "
        f"{found.edges} of {found.all_edges} edges ({found.edges / found.all_edges:.2%})"
    )
    rows = Table("", "log-probability", "among the ten best", "every token", box=None, pad_edge=False)
    for name in ("model", "circuit", "rest", "random", "nothing"):
        each = getattr(found, name)
        rows.add_row(name, f"{each.log_probability:.2f}", f"{each.hit10:.0%}", f"{each.whole_hit10:.0%}")
    edges = Table("from", "to", "worth", box=None, pad_edge=False)
    for edge in found.kept_edges[:_MOST]:
        edges.add_row(edge.source, edge.port, f"{edge.score:+.3f}")
    whose = "held out" if found.held_out else "that it was found with"
    note = f"judged with {found.judged} questions {whose}; "
    if found.HasField("faithfulness"):
        note += f"faithfulness {found.faithfulness:.2f}, completeness {found.completeness:.2f}; "
    return Group(cell(size), rows, edges, cell(f"{note}{_cost(found)}", "dim"))


def located(found: Any) -> RenderableType:
    """What silence costs, and the heads."""
    rows = Table("silent", "loss", "answered rightly", box=None, pad_edge=False)
    for name in ("none", "located", "random"):
        each = getattr(found, name)
        rows.add_row(name, f"{each.loss:.2f}", f"{each.right:.0%}")
    chosen = [f"L{each.head.layer}H{each.head.head}" for each in found.heads if each.chosen]
    whose = "held out" if found.held_out else "that they were found with"
    note = f"judged with {found.judged} questions {whose}; {_cost(found)}"
    return Group(rows, cell(" ".join(chosen)), cell(note, "dim"))


def emergence(found: Any) -> RenderableType:
    """Heads that belong to the answer, by where the fact stands."""
    title = (
        f"“{found.answer}”: {found.nowhere:.2f} with the fact told nowhere, {found.in_prompt:.2f} in the "
        f"prompt, {found.injected:.2f} injected"
    )
    rows = Table("head", "told nowhere", "in the prompt", "injected", "comes in", box=None, pad_edge=False)
    for each in found.heads[:_MOST]:
        ways = [
            name
            for name, enters in (("prompt", each.enters_in_prompt), ("injected", each.enters_injected))
            if enters
        ]
        values = (f"{value:+.2f}" for value in (each.nowhere, each.in_prompt, each.injected))
        rows.add_row(f"L{each.head.layer}H{each.head.head}", *values, " ".join(ways))
    return Group(cell(title), rows, cell(_cost(found), "dim"))


def grafting(found: Any) -> RenderableType:
    """Each scheme's answers."""
    rows = Table(
        "new weights at", "among five", "probability", "rank", "margin", "whole", box=None, pad_edge=False
    )
    for each in (*found.outcomes, *found.components):
        rows.add_row(
            each.scheme,
            f"{each.top5:.0%}",
            f"{each.probability:.3f}",
            f"{each.rank:.0f}",
            f"{each.margin:+.2f}",
            f"{each.log_probability:.2f}",
        )
    left = f", {found.left_out} facts left out" if found.left_out else ""
    losses = f"loss {found.losses[0]:.2f} to {found.losses[-1]:.2f}"
    note = f"{found.facts} facts, {found.cases} sentences{left}; {losses}; {_cost(found)}"
    return Group(rows, cell(note, "dim"))


def _cost(found: Any) -> str:
    back = f", {found.passes.backward} back" if found.passes.backward else ""
    return f"{found.passes.forward} passes{back}"


def _numbers(values: Sequence[float]) -> str:
    return " ".join(f"{value:+.2f}" for value in values)


def _node(node: Any) -> str:
    return f"MLP {node.layer}" if node.HasField("mlp") else f"L{node.layer}H{node.head}"
