"""Commands that need the server's packages: serve, prepare, doctor, config show, new-key.

They join the `interleaf` command through the entry-point group `interleaf.commands`.
"""

from __future__ import annotations

import asyncio
import json
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from interleaf.cli._connection import console
from service.config import ConfigError, Settings, effective, load

serve_app = typer.Typer(no_args_is_help=True)
config_app = typer.Typer(no_args_is_help=True, help="The server's configuration.")
serve_app.add_typer(config_app, name="config")

ConfigOption = Annotated[
    Path | None, typer.Option("--config", envvar="INTERLEAF_CONFIG", metavar="FILE", help="A TOML file.")
]
DataDirOption = Annotated[
    Path | None, typer.Option(metavar="FOLDER", help="Where facts are kept.", show_default=False)
]
EngineOption = Annotated[
    str | None, typer.Option(metavar="KIND", help="`transformers`, `vllm`, or `none`: facts without a model.")
]
ModelOption = Annotated[str | None, typer.Option(metavar="MODEL", help="`default`, or a model's folder.")]
EncoderOption = Annotated[
    str | None, typer.Option(metavar="ENCODER", help="`default`, an encoder's folder, or `none`.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def refuse(error: Exception) -> NoReturn:
    """One line on stderr, exit code 1."""
    Console(stderr=True, highlight=False).print(Text(f"Error: {error}", style="bold red"), soft_wrap=True)
    raise typer.Exit(1)


def settings_of(config: Path | None, **given: Any) -> Settings:
    """Options are `section__key=value`; those that were not given stay out."""
    overrides: dict[str, dict[str, Any]] = {}
    for name, value in given.items():
        if value is not None:
            section, key = name.split("__")
            overrides.setdefault(section, {})[key] = value
    try:
        return load(config, overrides)
    except ConfigError as error:
        refuse(error)


def _hide_loading_bars() -> None:
    from transformers.utils import logging as chatter

    chatter.disable_progress_bar()


@serve_app.command()
def serve(
    config: ConfigOption = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.", show_default="127.0.0.1")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 takes a free one.", show_default="7421")] = None,
    data_dir: DataDirOption = None,
    engine: EngineOption = None,
    model: ModelOption = None,
    encoder: EncoderOption = None,
    log_level: Annotated[
        str | None, typer.Option(help="debug, info, warning or error.", show_default="info")
    ] = None,
) -> None:
    """Run the service until SIGTERM or Ctrl-C, which lets calls in flight end first.

    `interleaf config show` lists all that can be configured.
    """
    settings = settings_of(
        config,
        listen__host=host,
        listen__port=port,
        store__data_dir=data_dir,
        engine__kind=engine,
        engine__model=model,
        engine__encoder=encoder,
        log__level=log_level,
    )
    from service.logs import configure
    from service.server import serve as run

    configure(settings.log)
    _hide_loading_bars()
    try:
        asyncio.run(run(settings))
    except ConfigError as error:
        refuse(error)


@serve_app.command()
def prepare() -> None:
    """Make the default model and the reader of questions ready: once, from installed packages, without a download."""
    from engines.errors import EngineError
    from engines.models import DEFAULT_MODEL, prepare_default_model
    from engines.reader import READER, prepare_reader

    console = Console(stderr=True, highlight=False)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    try:
        with Progress(*columns, console=console) as progress:
            paths = []
            for name, prepare_one in ((READER, prepare_reader), (DEFAULT_MODEL, prepare_default_model)):
                task = progress.add_task(name, total=1.0)
                paths.append(prepare_one(partial(_tell, progress, task, name)))
    except EngineError as error:
        refuse(error)
    for path in paths:
        typer.echo(str(path))


def _tell(progress: Progress, task: TaskID, name: str, what: str, share: float) -> None:
    progress.update(task, description=f"{name}: {what}", completed=share)


@serve_app.command()
def doctor(
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    engine: EngineOption = None,
    model: ModelOption = None,
    encoder: EncoderOption = None,
    deep: Annotated[
        bool,
        typer.Option("--deep", help="Also load the model; compare SQL, index, full text and compiled facts."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Say what is installed, what would be used, and whether it fits together; exits 1 when it does not."""
    settings = settings_of(
        config,
        store__data_dir=data_dir,
        engine__kind=engine,
        engine__model=model,
        engine__encoder=encoder,
    )
    from service.doctor.look import examine

    _hide_loading_bars()
    findings = examine(settings, deep=deep)
    healthy = not any(finding.problem for finding in findings)
    if as_json:
        entries = [
            {"name": f.name, "value": f.value, "ok": not f.problem, "problem": f.problem, "hint": f.hint}
            for f in findings
        ]
        typer.echo(json.dumps({"healthy": healthy, "findings": entries}))
    else:
        table = Table("", "what", "found", box=None, pad_edge=False)
        for finding in findings:
            mark = Text("✘", style="bold red") if finding.problem else Text("✔", style="green")
            found = Text(finding.value)
            if finding.problem:
                found.append(f"{' ' if finding.value else ''}{finding.problem}", style="red")
            if finding.hint:
                found.append(f"\n→ {finding.hint}", style="yellow")
            table.add_row(mark, Text(finding.name), found)
        console().print(table)
    if not healthy:
        raise typer.Exit(1)


@config_app.command()
def show(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Print the values in force: command line, environment, file, defaults."""
    values = effective(settings_of(config))
    if as_json:
        typer.echo(json.dumps(values))
        return
    for section, keys in values.items():
        typer.echo(f"[{section}]")
        for key, value in keys.items():
            typer.echo(f"# {key} is unset" if value is None else f"{key} = {_toml(value)}")
        typer.echo("")


def _toml(value: Any) -> str:
    """JSON is TOML, but for tables."""
    if not isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    return "{" + ", ".join(f"{json.dumps(name)} = {_toml(item)}" for name, item in value.items()) + "}"


@serve_app.command("new-key")
def new_key(
    name: Annotated[str, typer.Argument(help="Whose key it is; names the writer in the history of facts.")],
    grant: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SCOPES@NAMESPACE",
            help="What it may do, such as read@films; * for all namespaces. Scopes: read, write, edit, ops, admin. "
            "May be given again.",
            show_default="read,write@*",
        ),
    ] = None,
    *,
    file: Annotated[Path, typer.Option("--file", metavar="FILE", help="The file of keys (only digests).")],
) -> None:
    """Make an API key and print it once; its digest is added to the file (security.api_keys_file)."""
    from service.access.keys import USUAL_GRANTS
    from service.access.keys import new_key as make

    try:
        typer.echo(make(file, name, grant or USUAL_GRANTS))
    except ConfigError as error:
        refuse(error)


@serve_app.command()
def health(
    config: ConfigOption = None,
    service: Annotated[str, typer.Option(metavar="NAME", help="Such as interleaf.v1.Inference.")] = "",
) -> None:
    """Ask the server of this configuration, on this machine, how it is; exits 1 unless it serves."""
    from service.health_check import SERVING
    from service.health_check import health as ask

    found = ask(settings_of(config), service)
    typer.echo(found)
    if found != SERVING:
        raise typer.Exit(1)
