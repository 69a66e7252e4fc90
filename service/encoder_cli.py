"""`interleaf encoder train | show`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

app = typer.Typer(no_args_is_help=True)
encoder_app = typer.Typer(
    no_args_is_help=True, help="Train and inspect the encoder that turns facts into attention."
)
app.add_typer(encoder_app, name="encoder")


@encoder_app.command()
def train(
    model: Annotated[str, typer.Option(help="`default`, or a model folder.")] = "default",
    out: Annotated[
        Path, typer.Option(help="Where the encoder goes; an interrupted run there is resumed.")
    ] = Path("encoder"),
    steps: Annotated[int, typer.Option(min=1)] = 600,
    seed: int = 0,
    exclude_pairs: Annotated[
        Path | None, typer.Option(help="File of subject<TAB>object lines never to train on.", exists=True)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Train an encoder for a model; about an hour on two cores for the default one."""
    from editors.kv.train import StepReport, TrainSettings
    from service.training import Recipe, train_encoder

    recipe = Recipe(model=model, train=replace(TrainSettings(), steps=steps, seed=seed))
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        start = progress.add_task("closed-form start", total=1.0)
        task = progress.add_task("training", total=steps)

        def on_start(what: str, share: float) -> None:
            progress.update(start, description=what, completed=share)

        def on_step(report: StepReport) -> None:
            parts = "  ".join(f"{name} {value:.2f}" for name, value in report.losses.items())
            text = f"step {report.step}  {parts}"
            progress.update(task, description=text, completed=report.step + 1)
            if report.step % 20 == 0:
                progress.console.print(f"{text}  {report.seconds:.1f} s", markup=False)

        manifest = train_encoder(recipe, out, exclude_pairs, on_start, on_step)
    if as_json:
        typer.echo(json.dumps(manifest["figures"]))
    else:
        _print_figures(manifest["figures"])


@encoder_app.command()
def show(
    encoder: Annotated[str, typer.Argument(help="`default`, or an encoder's folder.")] = "default",
    model_name: Annotated[str, typer.Option(help="For `default`: of which model.")] = "SmolLM2-135M-Instruct",
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """What an encoder was trained on, and what it was measured to do."""
    from editors.kv.trained import load_encoder

    try:
        loaded = load_encoder(encoder, model_name)
    except FileNotFoundError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    if as_json:
        typer.echo(json.dumps(loaded.manifest))
        return
    manifest = loaded.manifest
    typer.echo(f"{loaded.digest}  for {manifest['model']}  layers {manifest['shape']['layers']}")
    typer.echo(
        f"{manifest['run']['steps']} steps in {manifest['run']['minutes']} minutes on {manifest['run']['cores']} cores"
    )
    _print_figures(manifest["figures"])


def _print_figures(figures: dict[str, float]) -> None:
    table = Table("figure", "value")
    for name, value in figures.items():
        table.add_row(name, f"{value:.3f}")
    Console().print(table)
