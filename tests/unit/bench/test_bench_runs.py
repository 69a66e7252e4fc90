"""Each benchmark runs from end to end on a tiny world, and its last line holds what docs and comparisons rely on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench import counterfact, encoder, latency
from editors.kv.trained import SHIPPED
from editors.weights.specs import Chosen, write_chosen
from engines.models import DEFAULT_MODEL

pytestmark = [pytest.mark.slow, pytest.mark.model]

EVERY = {"bench", "size", "seed", "model", "n", "seconds", "machine"}
ENCODER = """
none right_seen right_phrasing right_relation right_chat right_no_relation_words absent_same_subject_intrusion
absent_same_relation_intrusion absent_unchanged repeats_excess chat_clean shuffled_follows shuffled_truth novel_none
novel_right kb_1e1 kb_1e2 same_subject near_duplicate two_facts numbers dates long_names absent_auroc
ppl_ratio_unrelated empty_identical
""".split()
COUNTERFACT = """
edits es ps ns s ns_unedited es_icl ps_icl ns_icl s_icl s_rag s_ftm s_rrome edits_weight
""".split()
LATENCY = """
ttft_ratio_text_8 ttft_ratio_text_16 ttft_ratio_text_64 ttft_ratio_none_16 mem_ratio_text_16 accuracy_kv_16
accuracy_text_16
""".split()


def last_line(capsys: pytest.CaptureFixture[str], folder: Path) -> dict[str, Any]:
    keys: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    whole = json.loads((folder / f"{keys['bench']}-quick.json").read_text())
    assert whole.items() >= keys.items()
    assert whole["rows"]
    assert keys.keys() >= EVERY
    for name, low in keys.items():
        if name.endswith("_lo"):
            assert low <= keys[f"{name[:-3]}_hi"]
    return keys


def test_encoder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    encoder.main(["--n", "2", "--facts", "200", "--kb", "10", "100", "--results", str(tmp_path)])
    keys = last_line(capsys, tmp_path)
    assert keys.keys() >= set(ENCODER)
    assert keys["kb_1e5"] is None
    assert keys["empty_identical"] is True
    assert keys["novel_none"] == 0.0
    assert 0.9 < keys["ppl_ratio_unrelated"] < 1.1


def test_counterfact(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = [
        {
            "prompt": f"{name} speaks the language",
            "subject": name,
            "target_new": "Dutch",
            "ground_truth": "French",
            "rephrase_prompt": f"The language used by {name} is",
            "locality_prompt": f"{other} speaks the language",
            "locality_ground_truth": "French",
        }
        for name, other in (("Ada Moreau", "Luc Petit"), ("Noor Lindqvist", "Jean Blanc"))
    ]
    data = tmp_path / "records.json"
    data.write_text(json.dumps(records))
    digest = json.loads((SHIPPED / DEFAULT_MODEL / "manifest.json").read_text())["model_digest"]
    write_chosen(tmp_path / "specs" / "own.json", "default", digest, "ft_m", Chosen({"layer": 10}))
    counterfact.main(
        ["--data", str(data), "--rag", "--specs", str(tmp_path / "specs"), "--results", str(tmp_path)]
    )
    keys = last_line(capsys, tmp_path)
    assert keys.keys() >= set(COUNTERFACT)
    assert keys["edits"] == 2
    assert keys["es"] == 1.0
    assert keys["ns"] == keys["ns_unedited"]
    assert keys["s_ftm"] is not None


def test_latency(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    latency.main(["--n", "2", "--timed", "1", "--facts", "300", "--results", str(tmp_path)])
    keys = last_line(capsys, tmp_path)
    assert keys.keys() >= set(LATENCY)
    assert keys["text_tokens_64"] > keys["text_tokens_16"] > keys["text_tokens_8"]
    assert keys["mem_ratio_text_16"] > 1
