"""The editors' benchmark and the layer sweep, run whole on a tiny model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from bench import editors, editors_data, editors_many, editors_tune, editors_undo
from bench.common import Bench
from bench.counterfact_records import read_records
from bench.editors_kv import Served, mass_facts, row_name
from bench.editors_memory import peak
from bench.editors_ring import Ring
from bench.editors_undo import digests, undo_keys, undo_tries
from bench.kept import Kept, kept_arguments
from editors.metrics.counterfact import EditCase
from editors.weights.contract import Means
from editors.weights.corpus import builtin_corpus
from editors.weights.model import EditableModel
from editors.weights.specs import Chosen, spec_of, write_chosen
from editors.weights.statistics import KeyStatistics
from engines.models import load_model, model_digest
from service.edits import tuning as edit_tuning
from tests.tiny import tiny_folder
from tests.unit.bench.test_gates_bench import tiny_encoder
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


@pytest.fixture
def ready(model: Path, tmp_path: Path) -> list[str]:
    """Arguments of a run on records, with settings for ROME, FT-M and MEMIT."""
    data, specs = tmp_path / "records.json", tmp_path / "specs"
    data.write_text(json.dumps(RECORDS))
    digest = model_digest(load_model(model)[0])
    few: dict[str, Any] = {"steps": 3, "prefixes": [[2, 1]]}
    for method, settings in {
        "ft_m": {"layer": 3, "rate": 0.02},
        "rome": {"layer": 1, **few},
        "memit": {"layers": [1, 2], "covariance": 0.1, **few},
    }.items():
        write_chosen(specs / "t.json", "tiny", digest, method, Chosen(settings))
    given = ["--model", str(model), "--data", str(data), "--specs", str(specs), "--results", str(tmp_path)]
    return [*given, "--key-tokens", "300"]


def test_every_key_is_there_and_null_where_nothing_was_measured(
    ready: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    editors.main([*ready, "--pictures", str(tmp_path / "pictures")])
    found = last_line(capsys)
    for name in ("rome", "rrome", "ftl", "ftm", "memit", "kv"):
        for kind in ("es", "ps", "ns", "s", "seconds"):
            assert (found[f"{kind}_{name}"] is None) == (name in ("ftl", "kv"))
    assert found["es_ftm"] == 1.0
    assert 0 < found["cpu_seconds_rrome"] == found["cpu_seconds_rome"]  # one search for both
    assert {"seq100_rome", "seq100_rrome", "seq100_ftm", "mass1000_memit", "mass10000_kv"} <= set(found)
    assert found["seq100_rrome"] is None
    assert all(0 <= found[f"seq1_{name}"] <= 1 for name in ("rome", "rrome", "ftm"))
    assert found["ppl_mass1_memit"] > 0
    assert (found["undo_exact"], found["undo_tries"]) == (True, 4)
    assert found["layer_facts"] == 1
    assert found["layers_jump_ftm"] > 0
    charts = sorted(path.name for path in (tmp_path / "pictures").iterdir())
    assert charts == [f"layer-{layer}.svg" for layer in range(4)]
    assert (tmp_path / "pictures" / "layer-1.svg").read_text().count("<polyline") == 3
    assert (found["n"], found["edits_ftm"], found["model"]) == (2, 2, "tiny")
    rows = json.loads((tmp_path / "editors-quick.json").read_text())["rows"]
    assert [row["method"] for row in rows if "method" in row] == [
        name for name in ("rome", "rrome", "ftm", "memit", "none") for _ in range(2)
    ]
    likelihoods = [row["likelihoods"] for row in rows if row.get("method") == "ftm"]
    assert all(edited[0] > edited[1] for edited, _, _ in likelihoods)


def test_a_run_that_was_ended_is_carried_on_with_the_same_rows(ready: list[str], tmp_path: Path) -> None:
    editors.main([*ready, "--edits", "1", "--methods", "rrome,ftm"])
    first = json.loads((tmp_path / "editors-quick.json").read_text())["rows"]
    editors.main([*ready, "--edits", "2", "--methods", "rrome,ftm", "--minutes", "0"])
    nothing_new = json.loads((tmp_path / "editors-quick.json").read_text())
    assert (nothing_new["rows"], nothing_new["n"], nothing_new["records_wanted"]) == (first, 1, 2)
    editors.main([*ready, "--edits", "2", "--methods", "rrome,ftm"])
    both = json.loads((tmp_path / "editors-quick.json").read_text())["rows"]
    assert len(both) == 2 * len(first)
    assert all(row in both for row in first)  # seconds too: they were not measured again


def test_sequences_go_on_from_their_deltas(ready: list[str], tmp_path: Path) -> None:
    """The point that a run reached from deltas on disk is what a run in one go reaches."""
    editable = EditableModel(*load_model(Path(ready[1])))
    means = Means(KeyStatistics(builtin_corpus(), 300))
    settings = spec_of(editable.digest, Path(ready[5])).settings("ft_m")
    ring = Ring(editable, means, {"ftm": settings})
    cases = editors_data.edit_cases(read_records(Path(ready[3])))
    before = digests(editable)
    kept, other = (_kept(ready, name) for name in ("once", "twice"))
    editors_many.in_sequence(ring, kept, "ftm", cases, [1, 3])
    editors_many.in_sequence(ring, other, "ftm", cases, [1])
    assert len(list(other.path.parent.glob(f"{other.path.stem}*/1/manifest.json"))) == 1
    editors_many.in_sequence(ring, other, "ftm", cases, [1, 3])
    row = ring.row("sequence", "ftm")
    assert kept.get(f"{row}/3") == other.get(f"{row}/3")
    assert kept.get(f"{row}/3") != kept.get(f"{row}/1")
    assert digests(editable) == before


def test_undo_sees_a_hook_that_a_try_leaves_and_not_one_that_was_there(
    ready: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    editable = EditableModel(*load_model(Path(ready[1])))
    settings = spec_of(editable.digest, Path(ready[5])).settings("ft_m")
    ring = Ring(editable, Means(KeyStatistics(builtin_corpus(), 300)), {"ftm": settings})
    cases = editors_data.edit_cases(read_records(Path(ready[3])))
    module = editable.spec.layers[0]

    def leave(*ignored: Any) -> None:
        module.register_forward_hook(lambda *given: None)

    leave()
    kept = _kept(ready, "there before")
    undo_tries(ring, kept, cases, 2)
    assert undo_keys(kept, 2) == {"undo_exact": True, "undo_tries": 2, "undo_thrown": 1}
    kept = _kept(ready, "left behind")
    monkeypatch.setattr(editors_undo, "digests", lambda model: leave() or digests(model))
    undo_tries(ring, kept, cases, 2)
    assert undo_keys(kept, 2)["undo_exact"] is False


def _kept(ready: list[str], name: str) -> Kept:
    bench = Bench("editors", argv=[], add_arguments=kept_arguments)
    return Kept(bench, (), data=name)


@pytest.mark.slow
@pytest.mark.model
def test_facts_by_the_thousand_are_asked_of_a_service(ready: list[str], tmp_path: Path) -> None:
    kept = _kept(ready, "facts")
    model = tiny_folder(tmp_path / "bank")
    served = Served(str(model), "d", str(tiny_encoder(tmp_path / "encoder")))
    cases = editors_data.edit_cases(read_records(Path(ready[3])))
    mass_facts(kept, served, cases, [1, 3])
    for point in (1, 3):
        row = kept.get(row_name("d", point)) or {}
        assert [len(outcome) for outcome in row["outcomes"]] == [3] * point
        assert row["perplexity"] > 0


def test_memory_is_counted_from_where_it_began() -> None:
    seen: list[float | None] = []
    for _ in range(3):  # the system may take other pages of the process back at the same moment
        with peak() as took:
            block = torch.ones(64 * 2**18)  # 64 MiB: more than malloc ever takes from what it has
        assert block.sum() > 0
        seen.append(took.megabytes)
        del block
    assert all(megabytes is None or megabytes < 250 for megabytes in seen)
    assert any(megabytes is None or megabytes > 55 for megabytes in seen)


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
