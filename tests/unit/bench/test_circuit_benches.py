"""The benchmarks of the check and of recall, and the calibration they rest on, run whole on a tiny model."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bench import hallucination, heads, recall
from bench.hallucination_data import ENVIRONMENT, unseen
from circuits.answered import answer_all
from circuits.hallucination.calibration import USED, fit
from circuits.lab import Lab
from circuits.probe import Probe
from engines.models import load_model, model_digest
from service.cli.circuits import app
from service.studies import probes as circuit_probes
from tests.unit.engines.tiny_models import byte_tokenizer, tiny_model

SUBJECTS = ("Ann Lund", "Tom Berg", "Ida Holm", "Kim Dahl", "Eva Bjork", "Jon Vik")
TEMPLATES = ("{} lives in", "{} was born in", "{} works for", "{} speaks")


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("INTERLEAF_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(ENVIRONMENT, raising=False)
    folder = tmp_path / "tiny"
    tiny_model("llama").save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture
def data(tmp_path: Path, model: Path) -> Path:
    """Relations of which the model answers the first half of the subjects rightly: its answers are the objects."""
    lab = Lab(*load_model(model))
    folder = tmp_path / "lre" / "factual"
    folder.mkdir(parents=True)
    for at, template in enumerate(TEMPLATES):
        probes = [("", Probe(template.format(subject), subject, "x")) for subject in SUBJECTS]
        said = [item.answer for item in answer_all(lab, probes)]
        objects = [answer if number % 2 else "Constantinople" for number, answer in enumerate(said)]
        samples = [{"subject": s, "object": o} for s, o in zip(SUBJECTS, objects, strict=True)]
        values = {"name": f"relation {at}", "samples": samples, "prompt_templates": [template]}
        (folder / f"{at}.json").write_text(json.dumps(values))
    return folder.parent


def run(module: Any, tmp_path: Path, *arguments: str) -> dict[str, Any]:
    module.main(["--results", str(tmp_path / "results"), *arguments])
    name = module.__name__.removeprefix("bench.")
    found: dict[str, Any] = json.loads((tmp_path / "results" / f"{name}-quick.json").read_text())
    return found


def test_the_check_is_judged_beside_its_rivals(tmp_path: Path, model: Path, data: Path) -> None:
    rng = random.Random(0)
    rows = [{name: rng.gauss(0, 1) for name in USED} for _ in range(40)]
    digest = model_digest(load_model(model)[0])
    fitted = fit(digest, rows, [at % 2 == 0 for at in range(40)], ["other"] * 40)
    (tmp_path / f"calibration-{digest}.json").write_text(fitted.to_json())
    arguments = ("--data", str(data), "--model", str(model), "--encoder", "none", "--repairs", "0")
    found = run(hallucination, tmp_path, *arguments, "--calibration", str(tmp_path))
    assert found["n"] == len(found["rows"]) == len(SUBJECTS) * len(TEMPLATES)
    assert found["relations"] == len(TEMPLATES)
    assert 0 < found["wrong"] < 1
    for name in ("check", "maxprob", "entropy", "margin", "probe", "inside", "check_refit"):
        assert 0 <= found[f"auroc_{name}_lo"] <= found[f"auroc_{name}"] <= found[f"auroc_{name}_hi"] <= 1
    assert {row["right"] for row in found["rows"]} == {True, False}
    kept = run(hallucination, tmp_path, *arguments, "--calibration", str(tmp_path), "--minutes", "0")
    assert kept["rows"] == found["rows"]


def test_what_the_check_was_calibrated_on_is_not_asked_under_another_name() -> None:
    seen = [
        ("country largest city", Probe("The largest city in France is", "France", "Paris")),
        ("city in country", Probe("Paris is part of", "Paris", "France")),
        ("company hq", Probe("France Telecom is headquartered in", "France Telecom", "Paris")),
    ]
    new = [("landmark in city", Probe("The Louvre is in", "The Louvre", "Paris"))]
    assert unseen([*seen, *new], ["country_capital"]) == new
    assert unseen(seen, ["person_occupation"]) == seen


def test_recall_is_measured_on_what_the_model_answers_rightly(
    tmp_path: Path, model: Path, data: Path
) -> None:
    found = run(
        recall, tmp_path, "--data", str(data), "--model", str(model), "--probes", "3", "--window", "2"
    )
    assert found["n"] == 3
    for name in ("first_relation_layer", "first_subject_layer", "extraction_rate"):
        assert found[f"{name}_lo"] <= found[name] <= found[f"{name}_hi"]
    assert set(found["configuration"]["curves"]) == {"subject", "relation", "last", "attention", "mlp"}
    assert "attributes_drop_mlp" in found
    assert all(len(row["mappings"]) == 5 for row in found["rows"])
    few = ("--data", str(data), "--model", str(model), "--probes", "3", "--window", "2", "--minutes", "0")
    assert run(recall, tmp_path, *few)["configuration"] == found["configuration"]


def test_heads_are_taken_away_together_and_beside_random_ones(
    tmp_path: Path, model: Path, data: Path
) -> None:
    arguments = ("--data", str(data), "--model", str(model), "--probes", "4", "--ablated", "2")
    found = run(heads, tmp_path, *arguments)
    assert (found["n"], found["relations"], found["enough_relations"]) == (4, 4, False)
    for kind in ("movers", "relations", "random"):
        assert found[f"object_{kind}_lo"] <= found[f"object_{kind}"] <= found[f"object_{kind}_hi"]
        assert -1 <= found[f"others_{kind}"] <= 1
        assert found[f"relation_{kind}"] >= -1
        assert all(len(row[kind]) == 2 for row in found["rows"])
    assert all(not set(row["random"]) & {*row["movers"], *row["relations"]} for row in found["rows"])
    assert run(heads, tmp_path, *arguments, "--minutes", "0")["rows"] == found["rows"]


def test_without_data_or_a_calibration_they_say_why(
    tmp_path: Path, model: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for module in (hallucination, heads, recall):
        with pytest.raises(SystemExit) as ended:
            module.main(["--model", str(model)])
        assert ended.value.code == 2
        assert ENVIRONMENT in capsys.readouterr().err
    with pytest.raises(SystemExit):
        hallucination.main(["--data", str(data), "--model", str(model)])
    assert "interleaf circuits calibrate" in capsys.readouterr().err


def test_probes_are_found_once_and_kept(tmp_path: Path, model: Path) -> None:
    command = ["circuits", "probes", "--per-relation", "1", "--model", str(model), "--json"]
    first = CliRunner().invoke(app, command)
    assert first.exit_code == 0, first.output
    found = json.loads(first.stdout)
    assert len({item["relation"] for item in found["probes"]}) > 20
    assert not {item["relation"] for item in found["probes"]} & circuit_probes.LEFT_OUT
    kept = Path(found["file"])
    kept.write_text(json.dumps(found["probes"][:1]))
    again = CliRunner().invoke(app, command)
    assert json.loads(again.stdout)["probes"] == found["probes"][:1]
    shown = circuit_probes.counted(found["probes"])
    assert f"of {len(found['probes'])} right" in shown.splitlines()[-1]


def test_a_model_is_calibrated_on_built_in_facts(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    babble = CliRunner().invoke(
        app, ["circuits", "calibrate", "--per-relation", "1", "--model", str(model), "--out", str(tmp_path)]
    )
    assert babble.exit_code == 1  # a random model answers nothing rightly
    assert "right answers and wrong ones" in babble.output
    lab = Lab(*load_model(model))
    questions = circuit_probes.builtin_probes(1, random.Random(0))
    answers = {item.probe.prompt: item.answer for item in answer_all(lab, questions)}
    half = [
        (name, Probe(probe.prompt, probe.subject, answers.get(probe.prompt, "x") if at % 2 else "Zanzibar"))
        for at, (name, probe) in enumerate(questions)
    ]
    monkeypatch.setattr(circuit_probes, "builtin_probes", lambda count, rng: half)
    lines = circuit_probes.calibrate_model(str(model), 1, 0, tmp_path, lambda progress: None)
    digest = model_digest(lab.model)
    written = json.loads((tmp_path / f"calibration-{digest}.json").read_text())
    assert written["answers"] == len(answers)
    thresholds = json.loads((tmp_path / "head_thresholds.json").read_text())[digest]
    assert math.isfinite(thresholds["mover"] + thresholds["relation"])
    assert len(lines) == 2
