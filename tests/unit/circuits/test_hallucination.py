"""The check of an answer: its parts equal separate computations, its chance is fitted and kept."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from circuits.answered import answer_all, first_clause, is_right
from circuits.errors import Cancelled, Uncalibrated
from circuits.hallucination.calibration import (
    USED,
    Calibration,
    calibration_of,
    fit,
    read_calibration,
)
from circuits.hallucination.check import Verdict, check, check_cost
from circuits.hallucination.features import features, told_at
from circuits.interventions import Head
from circuits.lab import Meter, Passes
from circuits.lens import look_at_answer
from circuits.probe import Probe, answer_tokens
from tests.unit.circuits.labs import PROMPT, SUBJECT, placed_in, tiny_lab
from tests.unit.circuits.untouched import stays_as_it_is
from tests.unit.engines.slow_reference import reference_logits
from tests.unit.engines.tiny_models import CONFIGS

KINDS = sorted(CONFIGS)
WRONG, TRUTH = "Oslo", "Orb"  # they part at their second letter


def rows_and_labels(count: int = 200) -> tuple[list[dict[str, float]], list[bool], list[str]]:
    """Wrong answers have less brought to them from their subject; nothing else tells."""
    rng = random.Random(0)
    wrong = [rng.random() < 0.6 for _ in range(count)]
    rows = [
        {name: rng.gauss(-2.0 if name == "moved" and is_wrong else 0.0, 1.0) for name in USED}
        for is_wrong in wrong
    ]
    return rows, wrong, [rng.choice("abc") for _ in range(count)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_wrong_answer_is_taken_apart_where_it_leaves_the_truth(kind: str) -> None:
    lab = tiny_lab(kind)
    adapter: Any = lab.adapter
    facts = [adapter.fact("one", 3)]
    with stays_as_it_is(lab.model), lab.metered(Meter()) as meter:
        found = check(lab, PROMPT, SUBJECT, WRONG, truth=TRUTH, facts=facts)
    assert found.passes == meter.done
    assert meter.done.forward <= check_cost(truth=True, facts=True).forward == 5
    placed = placed_in(lab)
    said, right = (answer_tokens(lab, PROMPT, text) for text in (WRONG, TRUTH))
    at = 2  # a space and an O are common
    assert said[:at] == right[:at]

    def gap(touch: Any) -> float:
        with torch.no_grad():
            logits = reference_logits(lab.model, [*placed.ids, *said[:at]], touch=touch)[-1]
        return float(logits[said[at]] - logits[right[at]])

    def untouched(what: str, layer: int, tensor: Tensor) -> Tensor:
        return tensor

    needed = found.needed
    assert needed is not None
    assert needed.gap == pytest.approx(gap(untouched), abs=2e-3)

    def without(what: str, layer: int, tensor: Tensor) -> Tensor:
        tensor = tensor.clone()
        for node in needed.nodes:
            if isinstance(node, Head) and (what, layer) == ("heads", node.layer):
                tensor[:, node.head] = 0
            elif not isinstance(node, Head) and (what, layer) == (node.part.value, node.layer):
                tensor[:] = 0
        return tensor

    assert needed.after == pytest.approx(gap(without), abs=2e-3)
    strongest = [driver.towards_answer for driver in found.drivers]
    assert strongest == sorted(strongest, reverse=True)
    assert len(strongest) == lab.layers * (lab.spec.heads + 1)
    assert found.truth is not None
    assert found.repair is not None
    repair = found.repair
    for text, tokens, before, after in (
        (WRONG, said, repair.answer_before, repair.answer_after),
        (TRUTH, right, repair.truth_before, repair.truth_after),
    ):
        for value, told in ((before, ()), (after, facts)):
            with torch.no_grad():
                logits = reference_logits(lab.model, [*placed.ids, *tokens], adapter, told, since=placed.last)
            lines = logits[placed.last : -1].log_softmax(-1)
            assert value == pytest.approx(float(lines[range(len(tokens)), tokens].sum()), abs=2e-3), text
    assert repair.repaired == (repair.truth_after > repair.answer_after)
    assert {head.layer for head, _, _ in repair.readers} <= {1, 3}
    assert found.chance_wrong is None
    assert found.verdict is not Verdict.OK
    assert all(math.isfinite(value) for value in found.features.values())


def test_an_answer_that_is_the_truth_is_fine_and_costs_one_pass() -> None:
    lab = tiny_lab()
    found = check(lab, PROMPT, SUBJECT, "Ulm", truth="the town of Ulm", same=True)
    assert (found.verdict, found.truth, found.passes) == (Verdict.OK, None, Passes(1))
    again = check(lab, PROMPT, SUBJECT, "Ulm", truth="Ulm")
    assert (again.verdict, again.needed, again.drivers) == (Verdict.OK, None, ())


@pytest.mark.parametrize(
    ("answer", "truth"), [("Ulm", "Ulm on Danube"), ("Ulm on Danube", "Ulm"), ("19", "1984")]
)
def test_an_answer_that_begins_the_truth_is_taken_apart_where_one_of_them_ends(
    answer: str, truth: str
) -> None:
    lab = tiny_lab()
    adapter: Any = lab.adapter
    with lab.metered(Meter()) as meter:
        found = check(lab, PROMPT, SUBJECT, answer, truth=truth, facts=[adapter.fact("one", 3)])
    assert meter.done.forward <= check_cost(truth=True, facts=True).forward
    said, right = (answer_tokens(lab, PROMPT, text) for text in (answer, truth))
    at = min(len(said), len(right))
    with torch.no_grad():
        logits = reference_logits(lab.model, [*placed_in(lab).ids, *(said[:at])])[-1]
    goes_on = (said if len(said) > at else right)[at]
    instead = max(float(value) for token, value in enumerate(logits) if token != goes_on)
    gap = float(logits[goes_on]) - instead
    assert found.needed is not None
    assert found.needed.gap == pytest.approx(gap if len(said) > at else -gap, abs=2e-3)
    assert found.drivers
    assert found.verdict is not Verdict.OK
    assert found.repair is not None
    assert found.repair.repaired == found.repair.says_truth  # the shorter of them is always the more probable


def test_where_nobody_knows_the_truth_the_calibration_judges() -> None:
    lab = tiny_lab()
    rows, wrong, relations = rows_and_labels()
    fitted = fit("tiny", rows, wrong, relations)
    found = check(lab, PROMPT, SUBJECT, "Ulm", calibration=fitted)
    assert found.chance_wrong == fitted.chance_wrong(found.features)
    calm = replace(fitted, threshold=1.0)
    assert check(lab, PROMPT, SUBJECT, "Ulm", calibration=calm).verdict is Verdict.OK
    cases = [
        ({"moved_least": 1e9}, Verdict.NO_MOVER),
        ({"moved_least": -1e9, "enriched_worst": -1.0}, Verdict.NEVER_ENRICHED),
        ({"moved_least": -1e9, "enriched_worst": 1e9}, Verdict.WRONG_MOVER),
    ]
    for changes, verdict in cases:
        strict = replace(fitted, threshold=-1.0, **changes)
        assert check(lab, PROMPT, SUBJECT, "Ulm", calibration=strict).verdict is verdict


def test_a_stopped_check_leaves_nothing() -> None:
    lab = tiny_lab()
    for limit in range(2):
        calls: list[int] = []

        def cancelled(calls: list[int] = calls, limit: int = limit) -> bool:
            calls.append(1)
            return len(calls) > limit

        with (
            stays_as_it_is(lab.model),
            pytest.raises(Cancelled),
            lab.metered(Meter(cancelled=cancelled)),
        ):
            check(lab, PROMPT, SUBJECT, WRONG, truth=TRUTH)


def test_features_are_read_where_the_answer_begins_to_tell() -> None:
    lab = tiny_lab()
    placed = placed_in(lab)
    tokens = answer_tokens(lab, PROMPT, "Ulm")
    assert told_at(lab, tokens) == 1  # behind the space, which is a token here
    seen = look_at_answer(lab, placed, tokens)
    found = features(lab, seen, placed, tokens)
    said = seen.logits[1].log_softmax(-1)
    assert found.values["told_log_probability"] == pytest.approx(float(said[tokens[1]]))
    assert found.values["output_entropy"] == pytest.approx(
        float(torch.distributions.Categorical(logits=seen.logits[0]).entropy()), abs=1e-4
    )
    assert 0 <= found.values["emerged"] <= found.values["settled"] <= 1
    assert set(USED) <= set(found.values)


def test_a_fitted_calibration_tells_and_is_kept(tmp_path: Path) -> None:
    rows, wrong, relations = rows_and_labels()
    fitted = fit("tiny", rows, wrong, relations)
    chances = [fitted.chance_wrong(row) for row in rows]
    right_mean = sum(c for c, w in zip(chances, wrong, strict=True) if not w) / wrong.count(False)
    wrong_mean = sum(c for c, w in zip(chances, wrong, strict=True) if w) / wrong.count(True)
    assert wrong_mean > right_mean + 0.3
    weights = dict(zip(fitted.names, map(abs, fitted.weights), strict=True))
    assert max(weights, key=weights.__getitem__) == "moved"
    assert read_calibration(fitted.to_json()) == fitted
    (tmp_path / "calibration-tiny.json").write_text(fitted.to_json())
    assert calibration_of("tiny", tmp_path) == fitted
    assert calibration_of("unknown", tmp_path) is None
    with pytest.raises(Uncalibrated):
        read_calibration("{}")
    with pytest.raises(Uncalibrated):
        fit("tiny", rows, [True] * len(rows), relations)
    assert isinstance(fitted, Calibration)


@pytest.mark.parametrize(
    ("answer", "wanted", "right"),
    [
        ("Paris, France", "Paris", True),
        (" the United States of America", "United States", True),
        ('"Paris"', "paris", True),
        ("Parisian", "Paris", False),
        ("in Paris", "Paris", False),
        ("Paris", "", False),
        ("5.", "5", True),
        ("5.7 metres", "5", False),
        ("1,200", "1", False),
        ("東京です", "東京", True),
    ],
)
def test_answers_are_judged_by_how_they_begin(answer: str, wanted: str, right: bool) -> None:
    assert is_right(answer, wanted) is right


def test_probes_are_answered_greedily_up_to_the_end_of_the_clause() -> None:
    lab = tiny_lab(rows=2)
    probes = [("home", Probe(f"{name} is from", name, "Ulm")) for name in ("Tom Berg", "Ann", "Ida Lund")]
    found = list(answer_all(lab, [*probes, ("home", Probe("Who?", "Eva", "Ulm"))], tokens=4))
    assert [item.probe for item in found] == [probe for _, probe in probes]
    for item in found:
        ids = list(item.placed.ids)
        with torch.no_grad():
            for token in item.tokens:
                assert int(reference_logits(lab.model, ids)[-1].argmax()) == token
                ids.append(token)
    assert first_clause(lab, lab.tokenizer("ab, cd").input_ids) == lab.tokenizer("ab").input_ids
    assert first_clause(lab, lab.tokenizer(",").input_ids) == lab.tokenizer(",").input_ids
