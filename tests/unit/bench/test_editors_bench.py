"""The editors' benchmark and the layer sweep, run whole on a tiny model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench import editors, editors_data, editors_tune
from bench.counterfact_records import read_records
from editors.metrics.counterfact import EditCase
from editors.weights.specs import Chosen, spec_of, write_chosen
from engines.models import load_model, model_digest
from service import edit_tuning
from tests.unit.engines.tiny_models import byte_tokenizer, tiny_model

RECORDS = [
    {
        "case_id": number,
        "prompt": f"{subject} lives in",
        "subject": subject,
        "target_new": "Peru",
        "ground_truth": "Norway",
        "rephrase_prompt": f"The home of {subject} is in",
        "locality_prompt": f"{other} lives in",
        "locality_ground_truth": "Norway",
    }
    for number, (subject, other) in enumerate([("Ann", "Eva"), ("Tom", "Jon"), ("Kim", "Lea")])
]


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("INTERLEAF_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "tiny"
    tiny_model("llama").save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return folder


def last_line(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    return found


def test_every_key_is_there_and_null_where_nothing_was_measured(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, specs = tmp_path / "records.json", tmp_path / "specs"
    data.write_text(json.dumps(RECORDS))
    digest = model_digest(load_model(model)[0])
    write_chosen(specs / "t.json", "tiny", digest, "ft_m", Chosen({"layer": 3, "rate": 0.02}))
    rome = {"layer": 1, "steps": 3, "prefixes": [[2, 1]]}
    write_chosen(specs / "t.json", "tiny", digest, "rome", Chosen(rome))
    arguments = ["--model", str(model), "--data", str(data), "--specs", str(specs), "--sequence", "2"]
    editors.main([*arguments, "--results", str(tmp_path), "--key-tokens", "300"])
    found = last_line(capsys)
    for name in ("rome", "rrome", "ftl", "ftm", "memit", "kv"):
        measured = name in ("rome", "rrome", "ftm")
        for kind in ("es", "ps", "ns", "s", "seconds"):
            assert (found[f"{kind}_{name}"] is not None) == measured
    assert {"seq100_rome", "seq100_rrome", "seq100_ftm"} <= set(found)
    assert all(0 <= found[f"seq2_{name}"] <= 1 for name in ("rome", "rrome", "ftm"))
    assert found["es_ftm"] == 1.0
    assert found["undo_exact"] is True
    assert (found["n"], found["model"]) == (2, "tiny")
    rows = json.loads((tmp_path / "editors-quick.json").read_text())["rows"]
    assert [row["method"] for row in rows] == ["rome"] * 2 + ["rrome"] * 2 + ["ftm"] * 2
    assert all(row["edited"][0] > row["edited"][1] for row in rows if row["method"] == "ftm")


def test_without_data_it_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("INTERLEAF_COUNTERFACT", raising=False)
    with pytest.raises(SystemExit, match="2"):
        editors.main([])
    assert "--data or INTERLEAF_COUNTERFACT" in capsys.readouterr().err


def test_the_sweep_writes_a_spec(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = tmp_path / "spec.json"
    arguments = ["--model", str(model), "--cases", "1", "--spec", str(spec), "--key-tokens", "300"]
    editors_tune.main(
        ["--method", "ft_l", "--layers", "0,3", *arguments, "--settings", '{"steps": 2, "rate": 0.01}']
    )
    best = last_line(capsys)
    chosen = spec_of(model_digest(load_model(model)[0]), tmp_path)
    assert chosen.model == "tiny"
    assert chosen.settings("ft_l") == {"layer": best["layer"], "steps": 2, "rate": 0.01}
    editors_tune.main(
        ["--method", "memit", "--layers", "0+1,2", *arguments, "--settings", '{"steps": 1, "prefixes": []}']
    )
    assert last_line(capsys)["layer"] in ([0, 1], [2])


def test_known_facts_are_told_as_sentences_and_edited_by_their_templates() -> None:
    relations = edit_tuning.known_relations()
    assert sum(len(relation.facts) for relation in relations) > 30_000
    assert all("{s}" in template for relation in relations for template in relation.templates)
    text = " ".join(edit_tuning.key_text().texts())
    assert "{" not in text
    assert "The chemical symbol of Hassium is Hs." in text


def test_a_record_is_an_edit_with_a_paraphrase_and_a_neighbour(tmp_path: Path) -> None:

    path = tmp_path / "records.json"
    path.write_text(json.dumps(RECORDS[:1]))
    (case,) = editors_data.edit_cases(read_records(path))
    assert isinstance(case, EditCase)
    assert (case.request.prompt, case.request.subject, case.request.target) == ("Ann lives in", "Ann", "Peru")
    assert (case.true, case.paraphrases) == ("Norway", ("The home of Ann is in",))
    assert case.neighbours == ("Eva lives in",)
