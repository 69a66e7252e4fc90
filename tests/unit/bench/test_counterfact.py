"""CounterFact records, their relations, and the score."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench import counterfact
from bench.counterfact_records import contradicted, read_records, score_keys
from bench.counterfact_relations import is_known, relation_of, template_of
from bench.text_facts import before


def entry(**changes: object) -> dict[str, object]:
    return {
        "case_id": 1,
        "prompt": "The mother tongue of Ada Moreau is",
        "subject": "Ada Moreau",
        "target_new": "Dutch",
        "ground_truth": "French",
        "rephrase_prompt": "At home Ada Moreau spoke",
        "locality_prompt": "The mother tongue of Luc Petit is",
        "locality_ground_truth": "French",
        **changes,
    }


def written(folder: Path, *entries: object) -> Path:
    path = folder / "records.json"
    path.write_text(json.dumps(entries))
    return path


def test_a_record_becomes_a_fact_with_the_relation_of_its_prompt(tmp_path: Path) -> None:
    (record,) = read_records(written(tmp_path, entry()))
    assert record.content.subject == "Ada Moreau"
    assert record.content.relation == "native language"
    assert record.content.object == "Dutch"
    assert record.pair("es") == record.pair("ps") == ("Dutch", "French")
    assert record.pair("ns") == ("French", "Dutch")


@pytest.mark.parametrize(
    ("prompt", "subject", "relation"),
    [
        ("Which position does Bo Lind play? They play as", "Bo Lind", "position"),
        ("Kalahari Desert is located in the continent", "Kalahari Desert", "continent"),
        ("Bo Lind was buried near", "Bo Lind", "buried near"),
        ("Bo Lind is the", "Bo Lind", "is the"),
    ],
)
def test_relations_by_table_and_by_rule(prompt: str, subject: str, relation: str) -> None:
    template = template_of(prompt, subject)
    assert relation_of(template) == relation
    assert is_known(template) == (relation in {"position", "continent"})


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"target_new": ""}, "target_new must be a text"),
        ({"rephrase_prompt": 3}, "rephrase_prompt must be a text"),
        ({"subject": "Somebody Else"}, "does not name its subject"),
    ],
)
def test_a_damaged_record_is_named(tmp_path: Path, changes: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        read_records(written(tmp_path, entry(**changes)))


def test_edits_that_contradict_each_other_are_known(tmp_path: Path) -> None:
    records = read_records(
        written(
            tmp_path,
            entry(case_id=1),
            entry(case_id=2, target_new="Irish"),
            entry(case_id=3, prompt="Ada Moreau works as", target_new="judge"),
        )
    )
    assert contradicted(records) == {1, 2}


def test_the_score_is_the_harmonic_mean() -> None:
    keys = score_keys("_icl", [[True, True, False], [True, False, True]])
    assert (keys["es_icl"], keys["ps_icl"], keys["ns_icl"]) == (1.0, 0.5, 0.5)
    assert keys["s_icl"] == pytest.approx(0.6)
    assert score_keys("", [[True, True, False]])["s"] == 0.0
    assert keys["s_icl_lo"] <= keys["s_icl"] <= keys["s_icl_hi"]


def test_facts_stand_before_the_prompt_the_best_one_next_to_it(tmp_path: Path) -> None:
    first, second = (
        record.content
        for record in read_records(
            written(tmp_path, entry(), entry(subject="Ada", prompt="The mother tongue of Ada is"))
        )
    )
    assert before("Who?", []) == "Who?"
    assert before("Who?", [first, second]).splitlines() == [
        "The native language of Ada is Dutch.",
        "The native language of Ada Moreau is Dutch.",
        "Who?",
    ]


@pytest.mark.parametrize("given", [[], ["--data", "no-such-file.json"]])
def test_without_data_it_says_so_and_ends_with_2(
    given: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(counterfact.ENVIRONMENT, raising=False)
    with pytest.raises(SystemExit) as ended:
        counterfact.main(given)
    assert ended.value.code == 2
    assert counterfact.ENVIRONMENT in capsys.readouterr().err
