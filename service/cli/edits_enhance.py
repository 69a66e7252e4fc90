"""`interleaf edits enhance`: HeadMap's maps for a task, trained on this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from interleaf.cli._connection import console
from interleaf.cli._text import cell

enhance_app = typer.Typer()


@enhance_app.command()
def enhance(
    task: Annotated[
        Path,
        typer.Argument(metavar="FILE", exists=True, help="JSON lines: text, answer, choices; ten or more."),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Where the maps are written.")],
    heads: Annotated[
        Path | None,
        typer.Option(
            "--heads",
            metavar="FILE",
            exists=True,
            help='{"layer": [head, ...]}, or what `circuits locate --out` writes; else they are searched for.',
        ),
    ] = None,
    model: Annotated[str, typer.Option(metavar="MODEL", help="`default`, or a folder.")] = "default",
    per_layer: Annotated[int, typer.Option(min=1, help="Heads to search for in each layer.")] = 2,
    rank: Annotated[int, typer.Option(min=1, help="Width between the two maps.")] = 16,
    scaling: Annotated[float, typer.Option(help="What the maps' output is multiplied with.")] = 1.0,
    after_mlp: Annotated[
        bool, typer.Option("--after-mlp", help="Add to the layer's output instead of the attention's.")
    ] = False,
    epochs: Annotated[int, typer.Option(min=1)] = 2,
    batch: Annotated[int, typer.Option(min=1)] = 8,
    rate: Annotated[float, typer.Option(min=0.0)] = 1e-3,
    seed: int = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Train small maps over the heads that matter for a task (HeadMap); everything else of the model stays frozen."""
    from circuits.errors import CircuitError
    from editors.headmap.maps import Where
    from editors.headmap.training import TaskSettings
    from engines.errors import EngineError
    from service.cli.encoder_show import working
    from service.edits.enhancing import Wanted, enhance
    from service.encoders.jobs import Progress

    try:
        given = None if heads is None else _heads(heads)
        wanted = Wanted(
            model,
            task,
            out,
            heads=given,
            per_layer=per_layer,
            rank=rank,
            scaling=scaling,
            where=Where.LAYER if after_mlp else Where.ATTENTION,
            training=TaskSettings(epochs=epochs, batch=batch, rate=rate, seed=seed),
        )
        with working("the same command goes on with the training") as (note, _):
            notes = enhance(wanted, lambda what, share: note(Progress(what, share)))
    except (CircuitError, EngineError, ValueError) as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(1) from None
    if as_json:
        typer.echo(json.dumps({**notes, "folder": str(out)}))
        return
    console().print(
        cell(
            f"Right answers on {notes['held_out']} items that were held out: {notes['accuracy_frozen']:.0%} before, "
            f"{notes['accuracy_enhanced']:.0%} with {notes['parameters']:,} parameters. Serve them with "
            f"engine.maps = {str(out)!r}."
        )
    )


def _heads(file: Path) -> dict[int, tuple[int, ...]]:
    """By layer. What `circuits locate` writes names every head that was searched, and which were chosen."""
    data = json.loads(file.read_text(encoding="utf-8"))
    try:
        if "heads" not in data:
            return {int(layer): tuple(int(head) for head in each) for layer, each in data.items()}
        found: dict[int, tuple[int, ...]] = {}
        for each in data["heads"]:
            if each.get("chosen"):
                layer, head = (int(each["head"].get(key, 0)) for key in ("layer", "head"))
                found[layer] = (*found.get(layer, ()), head)
        return found
    except (AttributeError, KeyError, TypeError, ValueError):
        raise ValueError(f'{file.name} must hold {{"layer": [head, ...]}}') from None
