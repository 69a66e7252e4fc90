"""`interleaf encoder`: train, recipe, evaluate, calibrate, sweep-layers, list, show.

Works in this process and on this machine; a running server does the same for its callers (Encoders service).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from interleaf.cli._failure import NOT_FOUND
from service.cli.serving import ConfigOption, settings_of
from service.config import ConfigError, Settings

app = typer.Typer(no_args_is_help=True)
encoder_app = typer.Typer(
    no_args_is_help=True, help="Train, measure and list the encoders that turn facts into attention."
)
app.add_typer(encoder_app, name="encoder")

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
DataDirOption = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="The server's data folder.", show_default="as configured"),
]
# `train --config` is a recipe.
ServerConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--server-config", envvar="INTERLEAF_CONFIG", metavar="FILE", help="A TOML file of the server."
    ),
]
EncoderArgument = Annotated[
    str, typer.Argument(metavar="ENCODER", help="`default`, a name that `list` prints, or a folder.")
]
ModelOption = Annotated[
    str | None,
    typer.Option(metavar="MODEL", help="`default`, a folder, or OWNER/NAME of the hub.", show_default=False),
]


@encoder_app.command()
def train(
    name: Annotated[
        str | None, typer.Argument(help="Its name in the data folder.", show_default="the model's name")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A recipe; `interleaf encoder recipe` prints one.")
    ] = None,
    model: ModelOption = None,
    steps: Annotated[int | None, typer.Option(min=1, show_default="as the recipe")] = None,
    seed: Annotated[int | None, typer.Option(show_default="as the recipe")] = None,
    out: Annotated[Path | None, typer.Option(help="A folder elsewhere, in place of NAME.")] = None,
    exclude_pairs: Annotated[
        Path | None, typer.Option(help="File of subject<TAB>object lines never to train on.", exists=True)
    ] = None,
    server_config: ServerConfigOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train an encoder for a model. What was interrupted goes on when it is called by the same name again."""
    from service.cli.encoder_show import figures, record, working
    from service.encoders.excluded import read_excluded
    from service.encoders.jobs import TrainJob
    from service.encoders.recipe_file import read_recipe, recipe_of, recipe_values
    from service.encoders.shelf import encoder_id_of

    if name and out:
        raise typer.BadParameter("give NAME or --out, not both")
    with _explained():
        values = recipe_values(read_recipe(config) if config else recipe_of({}))
        values["model"] = model or values["model"]
        given = {"steps": steps, "seed": seed}
        values["train"].update({key: value for key, value in given.items() if value is not None})
        encoder_id = name or encoder_id_of(Path(_folder_name(values["model"])).name)
        excluded = read_excluded(exclude_pairs) if exclude_pairs else ""
        folder = out or _shelf(server_config, data_dir).place(encoder_id, values, excluded)
        job = TrainJob(str(folder), values, excluded)
        with working(f"the same command goes on from the last checkpoint in {folder}") as (note, cancelled):
            result = job.run(note, cancelled)
    if as_json:
        typer.echo(json.dumps(result["manifest"]["figures"]))
    else:
        figures(result["manifest"]["figures"])
        record(folder, result["record"])


@encoder_app.command()
def recipe(model: ModelOption = None) -> None:
    """Print the default recipe as TOML, to be changed and given to `train --config`."""
    from service.encoders.recipe_file import recipe_of, recipe_text, recipe_values

    with _explained():
        typer.echo(recipe_text(recipe_values(recipe_of({"model": model} if model else {}))), nl=False)


@encoder_app.command()
def evaluate(
    encoder: EncoderArgument = "default",
    model: ModelOption = None,
    problems: Annotated[int, typer.Option(min=1, help="Batches of 32 questions for each figure.")] = 8,
    seed: int = 0,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure an encoder on subjects, objects, phrasings and relations that training never shows."""
    from service.cli.encoder_show import figures, working
    from service.encoders.jobs import EvaluateJob

    with _explained():
        found = _trained(encoder, config, data_dir)
        job = EvaluateJob(str(found.folder), model or found.model, problems, seed)
        with working() as (note, cancelled):
            result = job.run(note, cancelled)
    if as_json:
        typer.echo(json.dumps(result))
    else:
        figures(result["figures"], result["questions"])


@encoder_app.command()
def calibrate(
    encoder: EncoderArgument = "default",
    namespace: Annotated[
        str | None, typer.Option(help="Whose facts to ask for.", show_default="the held-out world")
    ] = None,
    model: ModelOption = None,
    questions: Annotated[
        int, typer.Option(min=2, help="How many; each is asked with its fact and without.")
    ] = 96,
    seed: int = 0,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fit what a server decides with: grounded threshold, weight of the retriever's evidence, facts to retrieve."""
    from service.cli.encoder_show import calibration, working
    from service.encoders.jobs import CalibrateJob

    with _explained():
        found = _trained(encoder, config, data_dir)
        facts, examples = _of_namespace(namespace, seed, config, data_dir) if namespace else ([], {})
        job = CalibrateJob(
            str(found.folder),
            model or found.model,
            str(found.calibration_folder),
            facts,
            namespace or "",
            questions,
            seed,
            examples,
        )
        with working() as (note, cancelled):
            result = job.run(note, cancelled)
    if as_json:
        typer.echo(json.dumps(result["calibration"]))
    else:
        calibration(result["calibration"], Path(result["path"]))


@encoder_app.command("sweep-layers")
def sweep_layers(
    model: Annotated[
        str, typer.Option(metavar="MODEL", help="`default`, a folder, or a hub name.")
    ] = "default",
    pairs: Annotated[int, typer.Option(min=100, help="Pairs to fit the directions on.")] = 1500,
    groups: Annotated[int, typer.Option(min=1, help="Groups of facts, of each kind, to search in.")] = 10,
    seed: int = 0,
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Also write layers.json and layers.svg there.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Measure at which layers of a model a question can find its fact: no training, some minutes."""
    from service.cli.encoder_show import layers, working, write_sweep
    from service.encoders.jobs import SweepJob

    with _explained(), working() as (note, cancelled):
        result = SweepJob(model, pairs, seed, groups).run(note, cancelled)
    paths = write_sweep(result, out) if out else ()
    if as_json:
        typer.echo(json.dumps(result))
    else:
        layers(result, paths)


@encoder_app.command("list")
def list_encoders(
    config: ConfigOption = None, data_dir: DataDirOption = None, as_json: JsonOption = False
) -> None:
    """The encoders that come with Interleaf, and those in the data folder."""
    from service.cli.encoder_show import encoders, plain

    with _explained():
        found = _shelf(config, data_dir).list()
    if as_json:
        typer.echo(json.dumps([plain(item) for item in found]))
    else:
        encoders(found)


@encoder_app.command()
def show(
    encoder: EncoderArgument = "default",
    model_name: Annotated[str, typer.Option(help="For `default`: of which model.")] = "SmolLM2-135M-Instruct",
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """What an encoder was trained on, and what it was measured to do."""
    from service.cli.encoder_show import one, plain

    with _explained():
        found = _shelf(config, data_dir).named(encoder, model_name)
    if as_json:
        typer.echo(json.dumps({**plain(found), "manifest": dict(found.manifest)}))
    else:
        one(found)


def _settings(config: Path | None, data_dir: Path | None) -> Settings:
    return settings_of(config, store__data_dir=data_dir)


def _shelf(config: Path | None, data_dir: Path | None) -> Any:
    from service.encoders.shelf import Shelf

    return Shelf(_settings(config, data_dir).store.data_dir)


def _trained(encoder: str, config: Path | None, data_dir: Path | None) -> Any:
    from engines.models import DEFAULT_MODEL

    return _shelf(config, data_dir).named(encoder, DEFAULT_MODEL).checked()


def _of_namespace(
    namespace: str, seed: int, config: Path | None, data_dir: Path | None
) -> tuple[list[list[str]], dict[str, list[str]]]:
    """Read while no server has the data folder; a running one calibrates by itself (CalibrateEncoder)."""
    from kb_store.sql import open_store
    from service.datadir import DataDir
    from service.encoders.facts import examples_of, sample_of_facts

    settings = _settings(config, data_dir)
    with DataDir(settings.store.data_dir):
        store = open_store(settings.database, settings.limits.for_store())
        try:
            return sample_of_facts(store, namespace, seed), examples_of(store, namespace)
        finally:
            store.close()


def _folder_name(model: str) -> str:
    from engines.models import DEFAULT_MODEL

    return f"{DEFAULT_MODEL}-own" if model == "default" else model.partition("@")[0]


@contextmanager
def _explained() -> Iterator[None]:
    """What can go wrong is said in one sentence."""
    from editors.kv.trained import EncoderMismatch
    from engines.errors import EngineError
    from kb_store.errors import NotFound, StoreError

    try:
        yield
    except (ConfigError, EncoderMismatch, EngineError, StoreError) as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(NOT_FOUND if isinstance(error, NotFound) else 1) from None
