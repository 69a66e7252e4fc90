"""Algorithm 1 and emergence against one ablation after another on tiny models."""

from __future__ import annotations

import random

import pytest
import torch

from circuits.discovery.scoring import Case
from circuits.emergence import TellingCase, Told, emergence, emergence_cost
from circuits.errors import Cancelled, InvalidIntervention, InvalidProbe
from circuits.headmap import easiest, locate_heads, locating_cost, random_heads, silenced
from circuits.interventions import Head, ablated
from circuits.lab import Lab, Meter, Passes, scored
from editors.headmap.maps import Where, attached, headmap
from tests.unit.circuits.labs import tiny_lab
from tests.unit.circuits.untouched import stays_as_it_is
from tests.unit.engines.slow_reference import reference_logits

CASES = [Case((10, 72, 101, 33, 7), (150, 99)), Case((45, 60, 3, 81), (17,)), Case((5, 6), (7, 8))]


def _loss(lab: Lab, case: Case, heads: list[Head]) -> float:
    with ablated(lab.spec, heads):
        logits = lab.run([case.row])
    return -float(scored(logits[0], case.row, len(case.prompt)).mean())


@pytest.mark.parametrize("kind", ["gemma2", "gpt2", "gpt_neox", "gptj", "llama"])
@pytest.mark.parametrize("conditioned", [True, False])
def test_heads_are_found_as_one_after_the_other_would_find_them(kind: str, conditioned: bool) -> None:
    lab = tiny_lab(kind)
    with stays_as_it_is(lab.model), lab.metered(Meter()) as meter:
        found = locate_heads(lab, CASES, 2, layers=[1, 3], conditioned=conditioned)
    assert meter.done == locating_cost(lab, len(CASES), 2)
    chosen: list[Head] = []
    for layer in (1, 3):
        losses = [
            sum(_loss(lab, case, [*(chosen if conditioned else []), Head(layer, head)]) for case in CASES) / 3
            for head in range(lab.spec.heads)
        ]
        assert found.losses[layer].tolist() == pytest.approx(losses, abs=1e-3)
        best = sorted(range(lab.spec.heads), key=lambda head, of=losses: -of[head])[:2]  # type: ignore[misc]
        assert found.heads[layer] == tuple(sorted(best))
        chosen += [Head(layer, head) for head in best]
    assert found.losses[[0, 2]].isnan().all()
    assert found.plain == pytest.approx(sum(_loss(lab, case, []) for case in CASES) / 3, abs=1e-3)


@pytest.mark.parametrize("where", list(Where))
def test_heads_are_found_in_a_model_with_maps(where: Where) -> None:
    lab = tiny_lab()
    torch.manual_seed(0)
    maps = headmap(lab.spec, {1: (0,), 2: (1,)}, 3, where=where)
    with torch.no_grad():
        for parameter in maps.parameters():
            parameter.normal_(std=0.3)
    with attached(lab.spec, maps):
        found = locate_heads(lab, CASES, 1, conditioned=False)
        assert found.plain == pytest.approx(sum(_loss(lab, case, []) for case in CASES) / 3, abs=1e-3)
        for layer in range(lab.layers):
            losses = [
                sum(_loss(lab, case, [Head(layer, head)]) for case in CASES) / 3
                for head in range(lab.spec.heads)
            ]
            assert found.losses[layer].tolist() == pytest.approx(losses, abs=1e-3)


def test_silenced_heads_controls_and_the_easiest_cases() -> None:
    lab = tiny_lab()
    found = locate_heads(lab, CASES, 1)
    with stays_as_it_is(lab.model), silenced(lab, found.heads):
        logits = lab.run([CASES[0].row])
    with ablated(lab.spec, [Head(layer, heads[0]) for layer, heads in found.heads.items()]):
        assert torch.allclose(logits, lab.run([CASES[0].row]), atol=1e-5)
    other = random_heads(lab, found.heads, random.Random(0))
    assert {layer: len(heads) for layer, heads in other.items()} == dict.fromkeys(range(4), 1)
    order = sorted(CASES, key=lambda case: _loss(lab, case, []))
    assert easiest(lab, CASES, 2) == order[:2]
    with pytest.raises(InvalidIntervention, match="5 heads"):
        locate_heads(lab, CASES, 5)
    asked: list[float] = []
    meter = Meter(Passes(9), asked.append, lambda: len(asked) == 2)
    with stays_as_it_is(lab.model), pytest.raises(Cancelled), lab.metered(meter):
        locate_heads(lab, CASES, 1)


def test_heads_that_come_in_are_those_whose_loss_costs_the_told_answer() -> None:
    lab = tiny_lab()
    adapter = lab.adapter
    assert adapter is not None
    facts = (adapter.fact("one", 3),)  # type: ignore[attr-defined]
    case = TellingCase((10, 72, 101), (45, 60, 3, 10, 72, 101), (150, 99), facts)
    with stays_as_it_is(lab.model), lab.metered(Meter()) as meter:
        found = emergence(lab, [case], threshold=0.05)
    assert meter.done == emergence_cost(lab, 1, True)
    for told, prompt, given in (
        (Told.NOWHERE, case.plain, ()),
        (Told.PROMPT, case.told, ()),
        (Told.TOKENS, case.plain, facts),
    ):
        row = [*prompt, *case.answer]
        with torch.no_grad():
            logits = reference_logits(lab.model, row, adapter, list(given), since=len(prompt) - 1)
        whole = scored(logits, row, len(prompt)).sum()
        assert found.log_probability[told] == pytest.approx(float(whole), abs=2e-3)
        for head in (Head(0, 1), Head(3, 2)):
            with lab.injected(1, given, since=len(prompt) - 1), ablated(lab.spec, [head]):
                without = scored(lab.run([row])[0], row, len(prompt)).sum()
            assert float(found.worth[told][head.layer, head.head]) == pytest.approx(
                float(whole - without), abs=2e-3
            )
    for told in (Told.PROMPT, Told.TOKENS):
        entering = found.entering(told)
        assert set(entering) == set(found.heads(told)) - set(found.heads(Told.NOWHERE))
        worth = [float(found.worth[told][head.layer, head.head]) for head in entering]
        assert worth == sorted(worth, reverse=True)
    assert set(found.shared()) == set(found.entering(Told.PROMPT)) & set(found.entering(Told.TOKENS))
    plain = emergence(lab, [TellingCase(case.plain, case.told, case.answer)])
    assert set(plain.worth) == {Told.NOWHERE, Told.PROMPT}
    assert plain.shared() == []
    with pytest.raises(InvalidProbe):
        emergence(lab, [])
