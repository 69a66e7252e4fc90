"""`interleaf circuits`, what takes many questions or a fact's telling: discover, locate, emerge, graft."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from interleaf._calls import new_request_id
from interleaf.cli._connection import Shell, connected
from interleaf.v1 import circuits_pb2 as pb
from service.cli import circuits_show as shown
from service.cli.circuits_common import (
    ChatOption,
    OutOption,
    PromptArgument,
    input_of,
    parent_of,
    show,
    studied,
)

many_app = typer.Typer()
_MOST = 64  # questions of one kind, found with and judged with


def _above_zero(value: float | None) -> float | None:
    """To the server 0 means the default."""
    if value is not None and not value > 0:
        raise typer.BadParameter("must be more than 0")
    return value


TemplateOption = Annotated[
    str,
    typer.Option(
        "--template", "-t", help="A prompt with {} for the subject, such as 'The capital of {} is'."
    ),
]
PairOption = Annotated[
    list[str] | None, typer.Option("--pair", "-p", metavar="SUBJECT=OBJECT", help="May be repeated.")
]
HeldOption = Annotated[
    list[str] | None,
    typer.Option(
        "--held-out", metavar="SUBJECT=OBJECT", help="To be judged with, not found with; may be repeated."
    ),
]
ProbesOption = Annotated[
    Path | None,
    typer.Option(
        "--probes",
        metavar="FILE",
        help="Questions as `interleaf circuits probes --json` prints them. Those answered rightly count; every second "
        "one is held out.",
    ),
]
KindOption = Annotated[str, typer.Option("--relation", help="The relation of that file that is meant.")]


@many_app.command()
@connected
def discover(
    shell: Shell,
    template: TemplateOption = "",
    pair: PairOption = None,
    held_out: HeldOption = None,
    probes: ProbesOption = None,
    relation: KindOption = "",
    nodes: Annotated[float, typer.Option(help="Share of the model's nodes.", callback=_above_zero)] = 0.1,
    edges: Annotated[
        float | None,
        typer.Option(help="Share of its edges.", show_default="all among them", callback=_above_zero),
    ] = None,
    ablation: Annotated[str, typer.Option(help="What cut edges carry: zero, mean or resample.")] = "mean",
    score: Annotated[
        str, typer.Option(help="eap, eap_ig or eap_ig_edges.", show_default="as measured best")
    ] = "",
    out: OutOption = None,
) -> None:
    """Which nodes and edges are enough for answers of a kind, judged alone and beside random ones."""
    found, judged = _questions(template, pair, held_out, probes, relation)
    request = pb.DiscoverCircuitRequest(
        probes=found,
        held_out=judged,
        nodes=nodes,
        edges=edges or 0,
        ablation=_value(pb.Ablation, "ABLATION", ablation, "--ablation"),
        score=_value(pb.EdgeScore, "EDGE_SCORE", score, "--score"),
        request_id=new_request_id(None),
    )
    study = studied(shell, "DiscoverCircuit", request, pb.CircuitStudy)
    if out is not None and study.dot:
        out.mkdir(parents=True, exist_ok=True)
        (out / "circuit.dot").write_text(study.dot, encoding="utf-8")
    show(shell, study, "circuit", out, lambda: shown.circuit(study))


@many_app.command()
@connected
def locate(
    shell: Shell,
    template: TemplateOption = "",
    pair: PairOption = None,
    held_out: HeldOption = None,
    probes: ProbesOption = None,
    relation: KindOption = "",
    per_layer: Annotated[
        int | None, typer.Option(min=1, help="Heads of each layer.", show_default="a quarter")
    ] = None,
    unconditioned: Annotated[bool, typer.Option(help="Search each layer by itself, the control.")] = False,
    out: OutOption = None,
) -> None:
    """The heads whose silence costs the answers most (HeadMap), beside random ones."""
    found, judged = _questions(template, pair, held_out, probes, relation)
    request = pb.LocateHeadsRequest(
        probes=found,
        held_out=judged,
        per_layer=per_layer or 0,
        unconditioned=unconditioned,
        request_id=new_request_id(None),
    )
    located = studied(shell, "LocateHeads", request, pb.LocatedHeads)
    show(shell, located, "located", out, lambda: shown.located(located))


@many_app.command()
@connected
def emerge(
    shell: Shell,
    prompt: PromptArgument,
    answer: Annotated[str, typer.Option(help="Studied.", show_default="the best fact's object")] = "",
    threshold: Annotated[
        float, typer.Option(help="What a head must be worth, in log-probability.", callback=_above_zero)
    ] = 0.1,
    chat: ChatOption = False,
    out: OutOption = None,
) -> None:
    """Which heads come in when the fact that fits stands in the prompt, or is injected."""
    request = pb.StudyEmergenceRequest(
        parent=parent_of(shell),
        answer=answer,
        threshold=threshold,
        request_id=new_request_id(None),
        **input_of(prompt, chat),
    )
    found = studied(shell, "StudyEmergence", request, pb.EmergenceStudy)
    show(shell, found, "emergence", out, lambda: shown.emergence(found))


@many_app.command()
@connected
def graft(
    shell: Shell,
    facts: Annotated[int, typer.Option(min=1, help="How many of the namespace's facts, oldest first.")] = 100,
    template: Annotated[
        list[str] | None,
        typer.Option("--template", "-t", help="With {subject} and {relation}; may be repeated."),
    ] = None,
    epochs: Annotated[int, typer.Option(min=1, help="Times that the copy is trained on each.")] = 10,
    learning_rate: Annotated[
        float, typer.Option(help="Of the copy's training.", callback=_above_zero)
    ] = 5e-5,
    components: Annotated[bool, typer.Option(help="Also attention, O and FFN, by layers.")] = False,
    out: OutOption = None,
) -> None:
    """Where a copy that is fine-tuned on the namespace's facts keeps them. The model stays as it is."""
    request = pb.StudyGraftingRequest(
        parent=parent_of(shell),
        facts=facts,
        templates=template or (),
        epochs=epochs,
        learning_rate=learning_rate,
        components=components,
        request_id=new_request_id(None),
    )
    found = studied(shell, "StudyGrafting", request, pb.GraftingStudy)
    show(shell, found, "grafting", out, lambda: shown.grafting(found))


def _questions(
    template: str,
    pairs: list[str] | None,
    held_out: list[str] | None,
    file: Path | None,
    relation: str,
) -> tuple[list[Any], list[Any]]:
    if file is None:
        if "{}" not in template or not pairs:
            raise typer.BadParameter("give --template with {} and --pair SUBJECT=OBJECT, or --probes FILE")
        return _paired(template, pairs), _paired(template, held_out or [])
    try:
        read = json.loads(file.read_text(encoding="utf-8"))
        items = [item for item in (read["probes"] if isinstance(read, dict) else read) if item["right"]]
        kinds = sorted({item["relation"] for item in items})
        made = [
            pb.Probe(prompt=item["prompt"], subject=item["subject"], object=item["object"])
            for item in items
            if item["relation"] == relation
        ][: 2 * _MOST]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise typer.BadParameter(f"{file} holds no probes: {error!r}") from None
    if not made:
        raise typer.BadParameter(f"--relation must be one of: {', '.join(kinds)}")
    return made[::2], made[1::2]


def _paired(template: str, pairs: list[str]) -> list[Any]:
    found = []
    for pair in pairs:
        subject, _, value = pair.partition("=")
        if not subject.strip() or not value.strip():
            raise typer.BadParameter(f"{pair!r} is not SUBJECT=OBJECT")
        found.append(pb.Probe(prompt=template.replace("{}", subject), subject=subject, object=value))
    return found


def _value(enum: Any, prefix: str, name: str, option: str) -> Any:
    if not name:
        return 0
    known = {each.removeprefix(f"{prefix}_").lower(): number for each, number in enum.items() if number}
    if name not in known:
        raise typer.BadParameter(f"{option} must be one of: {', '.join(known)}")
    return known[name]
