"""The benchmark of circuits runs whole on a tiny model, and goes on from what was kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench import circuits
from bench.common import Bench
from bench.kept import Kept, kept_arguments
from circuits.lab import Lab
from engines.models import load_model
from tests.unit.engines.tiny_models import byte_tokenizer, tiny_model

FIRST = ("Ann", "Tom", "Ida", "Kim", "Eva", "Jon")
LAST = ("Lund", "Berg", "Holm", "Dahl")
TEMPLATES = ("{} is from ", "{} works at ", "{} speaks ")


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("INTERLEAF_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "tiny"
    tiny_model("llama").save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return folder


def relations(tmp_path: Path, model: Path) -> Path:
    """Relations whose objects are a letter that the model may say next, if there is one."""
    lab = Lab(*load_model(model))
    folder = tmp_path / "lre" / "factual"
    folder.mkdir(parents=True)
    subjects = [f"{first} {last}" for first in FIRST for last in LAST]
    for at, template in enumerate(TEMPLATES):
        samples = []
        for subject in subjects:
            best = lab.run([lab.prompts.encode(template.format(subject))])[0, -1].topk(10).indices.tolist()
            letters = [text for text in map(lab.tokenizer.decode, best) if text.isascii() and text.isalpha()]
            samples.append({"subject": subject, "object": (letters or ["Z"])[0]})
        values = {"name": f"relation {at}", "samples": samples, "prompt_templates": [template]}
        (folder / f"{at}.json").write_text(json.dumps(values))
    return folder.parent


def run(tmp_path: Path, *arguments: str) -> dict[str, Any]:
    circuits.main(["--results", str(tmp_path / "results"), "--nodes", "0.4", "--rounds", "2", *arguments])
    found: dict[str, Any] = json.loads((tmp_path / "results" / "circuits-quick.json").read_text())
    return found


def test_circuits_are_measured_and_a_later_run_goes_on(tmp_path: Path, model: Path) -> None:
    arguments = ("--data", str(relations(tmp_path, model)), "--model", str(model))
    with pytest.raises(SystemExit) as ended:
        run(tmp_path, *arguments, "--minutes", "0")
    assert ended.value.code == 2
    found = run(tmp_path, *arguments, "--pictures", str(tmp_path / "pictures"))
    assert (found["relations"], found["n"], found["edges_compared"]) == (2, 12, 120)
    assert 0 < found["nodes_share"] <= 0.45
    for name in ("model", "circuit", "random"):
        assert found[f"hit10_{name}_lo"] <= found[f"hit10_{name}"] <= found[f"hit10_{name}_hi"]
    assert -1 <= found["spearman_eap_exact"] <= 1
    assert found["hit10_circuit"] == found["mean_hit10_circuit"]
    assert len(list((tmp_path / "pictures").glob("*.svg"))) == 2
    again = run(tmp_path, *arguments, "--minutes", "0")
    moving = {"seconds", "peak_gb"}
    assert {name: again[name] for name in found if name not in moving} == {
        name: found[name] for name in found if name not in moving
    }


def test_rows_are_kept_whole_and_by_what_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTERLEAF_CACHE", str(tmp_path))
    bench = Bench("made", argv=["--seed", "3"], add_arguments=kept_arguments)
    kept = Kept(bench, [circuits], facts=2)
    assert kept.row("a", lambda: {"value": 1}) == {"value": 1}
    assert kept.row("a", lambda: {"value": 2}) == {"value": 1}
    with kept.path.open("a") as file:
        file.write('["b", {"val')  # ended in the middle of a line
    again = Kept(bench, [circuits], facts=2)
    assert again.get("a") == {"value": 1}
    assert "b" not in again
    again.keep("c", {"value": 3})
    assert Kept(bench, [circuits], facts=2).get("c") == {"value": 3}
    assert Kept(bench, [circuits], facts=3).get("a") is None
    late = Bench("made", argv=["--seed", "3", "--minutes", "0"], add_arguments=kept_arguments)
    assert Kept(late, [circuits], facts=2).row("d", lambda: {"value": 4}) is None
