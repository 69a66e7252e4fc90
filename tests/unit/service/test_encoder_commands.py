"""`interleaf encoder`: what it prints, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from kb_store.errors import WrongState
from kb_store.model import Content, Context, CreateFact, RelationExamples
from kb_store.sql import open_store
from service.cli.encoder import app
from service.cli.encoder_show import write_sweep
from service.config import load
from service.datadir import DataDir
from service.encoders.jobs import CalibrateJob, TrainJob
from service.encoders.recipe_file import parse_recipe, recipe_of, recipe_values
from service.encoders.training import Recipe
from tests.tiny import tiny_folder

RUNNER = CliRunner()


def run(*words: str, code: int = 0) -> str:
    result = RUNNER.invoke(app, ["encoder", *words])
    assert result.exit_code == code, (result.output, result.exception)
    return result.stdout if code == 0 else result.stderr


def test_the_shipped_encoder_is_listed_and_shown(tmp_path: Path) -> None:
    (entry,) = json.loads(run("list", "--json", "--data-dir", str(tmp_path)))
    assert (entry["name"], entry["shipped"], entry["state"]) == ("smollm2-135m-instruct", True, "trained")
    assert "smollm2-135m-instruct" in run("list", "--data-dir", str(tmp_path))
    shown = run("show", "--data-dir", str(tmp_path))
    assert entry["digest"] in shown
    assert "right_seen" in shown
    whole = json.loads(run("show", "smollm2-135m-instruct", "--json", "--data-dir", str(tmp_path)))
    assert whole["manifest"]["digest"] == entry["digest"]


def test_the_default_recipe_is_printed_to_be_changed() -> None:
    assert parse_recipe(run("recipe")) == Recipe()
    assert parse_recipe(run("recipe", "--model", "OWNER/NAME")).model == "OWNER/NAME"


def test_refusals_are_sentences(tmp_path: Path) -> None:
    data = ("--data-dir", str(tmp_path))
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("[train]\nspeed = 2\n")
    assert run("train", "x", "--config", str(recipe), *data, code=1).startswith(
        "Error: train.speed: there is no such key"
    )
    assert "encoder_id: must be 1-63 lower-case letters" in run("train", "My_Encoder", *data, code=1)
    assert "is shipped" in run("train", "smollm2-135m-instruct", *data, code=1)
    assert "give NAME or --out" in run("train", "x", "--out", str(tmp_path / "y"), *data, code=2)
    assert "no model at" in run("train", "x", "--model", str(tmp_path / "none"), *data, code=1)
    assert "'encoders/none' does not exist" in run("evaluate", "none", *data, code=3)
    assert "'encoders/none' does not exist" in run("show", "none", *data, code=3)
    assert "does not exist" in run("calibrate", "--namespace", "nowhere", *data, code=3)
    assert not (tmp_path / "encoders").exists() or not list((tmp_path / "encoders").glob("*/manifest.json"))


def test_layers_that_the_model_has_not_are_refused_before_anything_is_taught(tmp_path: Path) -> None:
    data, recipe = ("--data-dir", str(tmp_path)), tmp_path / "recipe.toml"
    recipe.write_text("layers = [99]\n[matching]\nsteps = 1\nrecalled = 0\n[states]\nsteps = 0\n")
    words = ("train", "mine", "--model", str(tiny_folder(tmp_path / "tiny")), "--config", str(recipe), *data)
    assert "layers: must be from 0 to 3 for this model" in run(*words, code=1)
    assert not list((tmp_path / "encoders").rglob("*.safetensors"))
    assert "mine" not in {item["name"] for item in json.loads(run("list", "--json", *data))}
    recipe.write_text("layers = [98]\n")  # another recipe: the name is free
    assert "layers: must be from 0 to 3 for this model" in run(*words, code=1)


def test_the_data_folder_is_the_configured_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By INTERLEAF_CONFIG and by an option; `--data-dir` goes before both."""
    file, own, data = tmp_path / "server.toml", tmp_path / "own.toml", tmp_path / "data"
    file.write_text(f'[store]\ndata_dir = "{data}"\n')
    own.write_text(f'[store]\ndata_dir = "{tmp_path / "other"}"\n')
    begun = data / "encoders" / "mine" / "run" / "begun.json"
    begun.parent.mkdir(parents=True)
    begun.write_text(json.dumps(recipe_values(recipe_of({}))))
    folders: list[Path] = []

    def kept(job: TrainJob, note: object, cancelled: object) -> None:
        folders.append(Path(job.folder))
        raise WrongState("enough", kind="job", name="job")

    monkeypatch.setattr(TrainJob, "run", kept)
    monkeypatch.setenv("INTERLEAF_CONFIG", str(file))
    assert "mine" in {item["name"] for item in json.loads(run("list", "--json"))}
    assert "unfinished" in run("show", "mine")
    for command in ("evaluate", "calibrate"):
        assert "train it to its end first" in run(command, "mine", code=1)
        assert "does not exist" in run(command, "mine", "--config", str(own), code=3)
    assert "namespace" in run("calibrate", "--namespace", "nowhere", code=3)
    assert (data / "facts.db").exists()
    for options in ((), ("--server-config", str(own)), ("--data-dir", str(tmp_path / "given"))):
        assert "enough" in run("train", "new", *options, code=1)
    assert folders == [tmp_path / folder / "encoders" / "new" for folder in ("data", "other", "given")]
    for options in (("list",), ("train", "new")):
        monkeypatch.setenv("INTERLEAF_CONFIG", str(tmp_path / "nowhere.toml"))
        assert "there is no configuration file" in run(*options, code=1)


def test_an_encoder_of_another_model_is_refused(tmp_path: Path) -> None:
    tiny = tiny_folder(tmp_path / "tiny")
    said = run("evaluate", "--model", str(tiny), "--data-dir", str(tmp_path), code=1)
    assert "was trained for SmolLM2-135M-Instruct" in said


def test_a_sweep_is_printed_and_drawn(tmp_path: Path) -> None:
    tiny = tiny_folder(tmp_path / "tiny")
    out = tmp_path / "sweep"
    result = json.loads(
        run(
            "sweep-layers",
            "--model",
            str(tiny),
            "--pairs",
            "100",
            "--groups",
            "1",
            "--out",
            str(out),
            "--json",
        )
    )
    assert [score["layer"] for score in result["layers"]] == [0, 1, 2, 3]
    assert json.loads((out / "layers.json").read_text()) == result
    picture = ElementTree.fromstring((out / "layers.svg").read_text())  # noqa: S314 - our own
    assert len(picture.findall("{http://www.w3.org/2000/svg}polyline")) == 2
    assert write_sweep(result, out / "again")[0].is_file()


@pytest.mark.parametrize(
    "command", ["train", "evaluate", "calibrate", "sweep-layers", "list", "show", "recipe"]
)
def test_every_command_explains_itself(command: str) -> None:
    assert "Usage" in run(command, "--help")


def test_a_namespace_is_calibrated_on_as_it_says_it_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    examples = (RelationExamples("employer", ("Who pays {s}?", "{s} earns a living at")),)
    settings = load(None, {"store": {"data_dir": tmp_path}})
    with DataDir(settings.store.data_dir):
        store = open_store(settings.database, settings.limits.for_store())
        store.create_namespace("people", "", frozenset(), Context("test"), examples)
        fact = Content("Anna Keller", "employer", "Nordlicht")
        store.submit([CreateFact("people", fact)], Context("test")).result()
        store.close()
    jobs: list[CalibrateJob] = []

    def kept(job: CalibrateJob, note: object, cancelled: object) -> None:
        jobs.append(job)
        raise WrongState("enough", kind="job", name="job")

    monkeypatch.setattr(CalibrateJob, "run", kept)
    assert "enough" in run("calibrate", "--namespace", "people", "--data-dir", str(tmp_path), code=1)
    assert jobs[0].facts == [["Anna Keller", "employer", "Nordlicht"]]
    assert jobs[0].examples == {"employer": ["Who pays {s}?", "{s} earns a living at"]}
