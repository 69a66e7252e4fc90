"""What `interleaf encoder` shows: progress while it works, tables when it has."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from interleaf.cli._connection import console
from service.encoders.jobs import Cancelled, Note
from service.encoders.jobs import Progress as Stage
from service.encoders.shelf import Shelved
from service.pictures.chart import Line, line_chart

_INTERRUPTED = 130
_EVERY_STEPS = 20
_BAR = 20


@contextmanager
def working(how_to_go_on: str = "") -> Iterator[tuple[Note, Cancelled]]:
    """Progress on standard error; Ctrl-C ends the work with a word on how to go on with it."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    try:
        with Progress(*columns, console=Console(stderr=True)) as progress:
            yield _noting(progress), lambda: False
    except KeyboardInterrupt:
        typer.echo(f"Stopped{f': {how_to_go_on}' if how_to_go_on else ''}.", err=True)
        raise typer.Exit(_INTERRUPTED) from None


def _noting(progress: Progress) -> Callable[[Stage], None]:
    tasks: dict[str, Any] = {}

    def note(stage: Stage) -> None:
        if stage.stage not in tasks:
            tasks[stage.stage] = progress.add_task(stage.stage, total=1.0)
        text = stage.stage
        if stage.losses:
            parts = "  ".join(f"{name} {value:.2f}" for name, value in stage.losses.items())
            text = f"step {stage.step}  {parts}"
            if stage.step % _EVERY_STEPS == 0:
                progress.console.print(f"{text}  {stage.seconds:.1f} s", markup=False)
        progress.update(tasks[stage.stage], description=text, completed=stage.share)

    return note


def figures(values: Mapping[str, float], questions: int = 0) -> None:
    """Rates; with the number of questions behind each also their 95% intervals."""
    table = Table("figure", "value", *(["95%"] if questions else []), box=None, pad_edge=False)
    for name, value in values.items():
        interval = [_interval(value, questions)] if questions and 0 <= value <= 1 else [""][: bool(questions)]
        table.add_row(name, f"{value:.3f}", *interval)
    console().print(table)


def _interval(rate: float, count: int) -> str:
    """Wilson's: it stays within 0 and 1."""
    z = 1.96
    middle = (rate + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * (rate * (1 - rate) / count + z * z / (4 * count * count)) ** 0.5
    return f"{middle - half:.3f} to {middle + half:.3f}"


def record(folder: Path, paths: Sequence[str]) -> None:
    """Where a training left what it made."""
    typer.echo(f"The encoder is in {folder}: serve with it by `interleaf serve --encoder {folder}`")
    for path in paths:
        typer.echo(f"  {path}")


def calibration(values: Mapping[str, Any], path: Path) -> None:
    """What was fitted, and what was seen with it."""
    table = Table("calibration", "", box=None, pad_edge=False)
    for name in ("grounded_threshold", "prior_scale", "prior_offset", "top_k"):
        table.add_row(name, f"{values[name]:.4g}")
    for name, value in values["figures"].items():
        table.add_row(Text(name, style="dim"), f"{value:.3f}")
    console().print(table)
    typer.echo(f"Kept in {path}; a server takes it up when it starts.")


def layers(result: Mapping[str, Any], paths: Sequence[Path]) -> None:
    """A row for each layer, the suggested ones marked."""
    facts = result["same_relation_facts"], result["same_subject_facts"]
    table = Table(
        "layer", f"among {facts[0]} of a relation", f"among {facts[1]} of a subject", "fitted", "correlation", "",
        box=None, pad_edge=False,
    )  # fmt: skip
    for score in result["layers"]:
        chosen = score["layer"] in result["suggested"]
        rates = [f"{score[name]:.2f}" for name in ("same_relation", "same_subject", "fitted", "correlation")]
        bar = "█" * round(_BAR * min(score["same_relation"], score["same_subject"]))
        table.add_row(str(score["layer"]), *rates, bar, style="bold green" if chosen else "")
    console().print(table)
    typer.echo(f"suggested: {', '.join(map(str, result['suggested']))}")
    for path in paths:
        typer.echo(str(path))


def write_sweep(result: Mapping[str, Any], folder: Path) -> tuple[Path, ...]:
    """The sweep as JSON and as a picture."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = {
        f"among {result['same_relation_facts']} of a relation": "same_relation",
        f"among {result['same_subject_facts']} of a subject": "same_subject",
    }
    lines = [
        Line(name, [(score["layer"], score[key]) for score in result["layers"]])
        for name, key in drawn.items()
    ]
    picture = line_chart(
        f"Where {result['model']} can find a fact",
        "layer",
        "right fact first",
        lines,
        marks=result["suggested"],
    )
    paths = folder / "layers.json", folder / "layers.svg"
    paths[0].write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    paths[1].write_text(picture, encoding="utf-8")
    return paths


def encoders(found: Sequence[Shelved]) -> None:
    """A row for each."""
    table = Table(box=None, pad_edge=False)
    table.add_column("name", no_wrap=True)
    for column in ("model", "state", "steps", "digest", "calibrated"):
        table.add_column(column, overflow="fold")
    for item in found:
        kind = "shipped" if item.shipped else item.state.value
        steps, digest = (str(value) for value in (_steps(item), item.manifest.get("digest", "")))
        table.add_row(
            item.encoder_id,
            _model(item),
            kind,
            steps,
            digest,
            "yes" if item.calibration is not None else "no",
        )
    console().print(table)


def one(found: Shelved) -> None:
    """Everything about an encoder."""
    manifest = found.manifest
    typer.echo(f"{found.encoder_id}  {found.state.value}  {found.folder}")
    if not manifest:
        return
    typer.echo(f"{manifest['digest']}  for {manifest['model']}  layers {manifest['shape']['layers']}")
    typer.echo(_hours(manifest))
    typer.echo("  ".join(f"{what} {digest[:16]}" for what, digest in manifest["data"].items()))
    figures(manifest["figures"])
    if found.calibration is not None:
        calibration(asdict(found.calibration), found.calibration_folder)


def _hours(manifest: Mapping[str, Any]) -> str:
    """Of the maps and of the judge: an encoder may have taken over what another one was trained to."""
    run = manifest["run"]
    maps = manifest.get("maps", {}).get("run", run)
    text = f"{maps['steps']} steps in {maps['minutes']} minutes on {maps['cores']} cores"
    if judge := run.get("minutes_of_judge"):
        text += f", and {' + '.join(f'{minutes:g}' for minutes in judge)} for the judge of relations"
    return text


def plain(found: Shelved) -> dict[str, Any]:
    """As JSON has it."""
    return {
        "name": found.encoder_id,
        "state": found.state.value,
        "shipped": found.shipped,
        "folder": str(found.folder),
        "model": _model(found),
        "digest": found.manifest.get("digest", ""),
        "steps": _steps(found),
        "figures": found.manifest.get("figures", {}),
        "calibration": None if found.calibration is None else asdict(found.calibration),
    }


def _model(found: Shelved) -> str:
    return str(found.manifest.get("model", found.model))


def _steps(found: Shelved) -> int:
    return int(found.manifest["run"]["steps"]) if found.manifest else 0
