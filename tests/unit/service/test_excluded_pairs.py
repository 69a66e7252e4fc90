"""The pairs that a training leaves out are the same from its beginning to its end, and said as they were."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from kb_store.errors import WrongState
from service.cli.encoder import app
from service.encoders.excluded import EXCLUDED
from service.encoders.jobs import TrainJob
from service.encoders.recipe_file import parse_recipe, recipe_values
from service.encoders.shelf import BEGUN, FOLDER, EncoderState, Shelf, begin, check_goes_on
from tests.tiny import RECIPE, tiny_folder

PAIRS, OTHERS = "Albania\tTirana\r\nMali\tBamako\n", "France\tParis\n"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_folder(tmp_path_factory.mktemp("models") / "tiny")


def recipe(model: Path, steps: int = 2) -> dict[str, Any]:
    values = recipe_values(parse_recipe(RECIPE)) | {"model": str(model)}
    values["train"]["steps"] = steps
    return values


def train(folder: Path, values: dict[str, Any], pairs: str = "") -> dict[str, Any] | None:
    """What the manifest says of them."""
    manifest = TrainJob(str(folder), values, pairs).run(lambda progress: None, lambda: False)["manifest"]
    found: dict[str, Any] | None = manifest["excluded_pairs"]
    return found


def test_a_training_goes_on_with_the_pairs_that_it_was_begun_with(model: Path, tmp_path: Path) -> None:
    folder = tmp_path / FOLDER / "mine"
    said = {"count": 2, "sha256": hashlib.sha256(PAIRS.encode()).hexdigest()}
    assert train(folder, recipe(model), PAIRS) == said
    with pytest.raises(WrongState, match="'mine' was begun with another list of pairs to exclude"):
        train(folder, recipe(model, 3), OTHERS)
    in_other_order = "Mali\tBamako\n\nAlbania\tTirana"
    check_goes_on(folder, recipe(model, 3), in_other_order)
    assert train(folder, recipe(model, 3)) == said
    assert f"2 ({said['sha256']})" in (folder / "record.md").read_text()


def test_a_training_that_left_out_nothing_does_not_begin_to(tmp_path: Path) -> None:
    folder, values = tmp_path / "mine", recipe(Path("m"))
    (folder / BEGUN).parent.mkdir(parents=True)
    begin(folder, values, "")
    with pytest.raises(WrongState, match="another list of pairs"):
        check_goes_on(folder, values, PAIRS)
    check_goes_on(folder, values)


def begun(data: Path, manifest: dict[str, Any] | None = None) -> Shelf:
    """As an earlier version left it: no list is kept."""
    folder = data / FOLDER / "mine"
    (folder / BEGUN).parent.mkdir(parents=True)
    (folder / BEGUN).write_text(json.dumps(recipe(Path("m"))))
    if manifest:
        whole = {"recipe": {}, "run": {"steps": 2}, "digest": "d", **manifest}
        (folder / "manifest.json").write_text(json.dumps(whole))
    return Shelf(data)


def test_what_an_earlier_version_began_goes_on(tmp_path: Path) -> None:
    more = recipe(Path("m"), 3)
    interrupted = begun(tmp_path / "interrupted")
    for pairs in ("", PAIRS):
        assert interrupted.place("mine", more, pairs)
    plain = begun(tmp_path / "plain", {"excluded_pairs": None})
    assert plain.place("mine", more)
    with pytest.raises(WrongState, match="another list of pairs"):
        plain.place("mine", more, PAIRS)
    sha = hashlib.sha256(PAIRS.encode()).hexdigest()
    without = begun(tmp_path / "without", {"excluded_pairs": {"count": 2, "sha256": sha}})
    assert without.place("mine", more, PAIRS)
    for pairs in ("", OTHERS):
        with pytest.raises(WrongState, match="give the same one"):
            without.place("mine", more, pairs)


def test_a_kept_list_that_nothing_can_have_been_trained_with_binds_nobody(tmp_path: Path) -> None:
    """Servers of earlier versions kept what no training could read."""
    shelf = begun(tmp_path)
    (tmp_path / FOLDER / "mine" / EXCLUDED).write_text("no tab here")
    for pairs in ("", PAIRS):
        assert shelf.place("mine", recipe(Path("m"), 3), pairs)
    assert shelf.get("mine").state is EncoderState.UNFINISHED


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"Norway, Oslo\n", "pairs.tsv, line 1: a pair is a subject, a tab and an object"),
        (b"\xff", "cannot read"),
    ],
)
def test_a_list_that_is_none_is_refused_before_anything_is_begun(
    tmp_path: Path, content: bytes, said: str
) -> None:
    pairs = tmp_path / "pairs.tsv"
    pairs.write_bytes(content)
    words = ["encoder", "train", "mine", "--exclude-pairs", str(pairs), "--data-dir", str(tmp_path / "data")]
    result = CliRunner().invoke(app, words)
    assert (result.exit_code, said in result.stderr) == (1, True), result.output
    assert not (tmp_path / "data" / FOLDER).exists()
