"""Grafts against the slow way: token by token, a whole model with swapped weights for each, one cache."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import torch
from torch import Tensor

from circuits.errors import Cancelled, InvalidIntervention, InvalidProbe
from circuits.grafting.picture import picture
from circuits.grafting.router import Component, Graft, grafted
from circuits.grafting.schemes import (
    MAIN,
    GraftCase,
    Positions,
    Scheme,
    component_schemes,
    graft_all,
    grafting_cost,
    hybrid,
    places,
)
from circuits.grafting.tuning import Tuning, fine_tuned, tuning_cost
from circuits.lab import Meter, Passes
from engines.architectures import spec_for
from tests.unit.circuits.labs import tiny_lab
from tests.unit.circuits.untouched import stays_as_it_is
from tests.unit.engines.tiny_models import LAYERS, tiny_model

CASES = [
    GraftCase((10, 72, 101, 33, 7, 150, 99), (1, 2), (45, 60)),
    GraftCase((81, 3, 17, 4), (0, 1), (12,)),
]
CLOSE = {"atol": 3e-4, "rtol": 1e-4}
# Parts of parameter names, by family.
OUTPUT = {"gpt2": "attn.c_proj", "gpt_neox": "attention.dense", "gptj": "attn.out_proj"}
SOME = ["gemma2", "gemma3_text", "gpt2", "gpt_neox", "gptj", "llama", "qwen3"]


def _slowly(pre: Any, post: Any, row: list[int], where: list[bool], taken: Callable[[str], bool]) -> Tensor:
    mixed = copy.deepcopy(pre)
    given = dict(post.named_parameters())
    for name, parameter in mixed.named_parameters():
        if taken(name):
            parameter.data.copy_(given[name])
    cache, logits = None, []
    for token, there in zip(row, where, strict=True):
        out = (mixed if there else pre)(torch.tensor([[token]]), past_key_values=cache, use_cache=True)
        cache = out.past_key_values
        logits.append(out.logits[0, -1])
    return torch.stack(logits)


@pytest.mark.parametrize("kind", SOME)
def test_grafts_are_what_swapped_models_say_token_by_token(kind: str) -> None:
    lab, post = tiny_lab(kind), tiny_model(kind, seed=1)
    row, where = CASES[0].row, places(CASES[:1], Positions.FE_LT)
    assert where[0].tolist() == [False, True, True, False, False, False, True, True, True]
    output = OUTPUT.get(kind, "self_attn.o_proj")
    middle = [f".{layer}." for layer in (1, 2)]

    def in_middle(name: str) -> bool:
        is_part = output in name or ".mlp." in name
        return is_part and any(layer in name for layer in middle)

    whole = Graft(spec_for(post), where)
    part = Graft(spec_for(post), where, (Component.OUTPUT, Component.FFN), (1, 2))
    for graft, taken in ((whole, lambda name: True), (part, in_middle)):
        with stays_as_it_is(lab.model), stays_as_it_is(post), torch.no_grad(), grafted(lab.spec, [graft]):
            found = lab.run([row])[0]
        with torch.no_grad():
            assert torch.allclose(found, _slowly(lab.model, post, row, where[0].tolist(), taken), **CLOSE)


@pytest.mark.parametrize("kind", ["gemma3_text", "gpt2", "llama"])
def test_everything_grafted_everywhere_is_the_other_model(kind: str) -> None:
    lab, post = tiny_lab(kind), tiny_model(kind, seed=1)
    # As many tokens as heads, too: norms on heads must not take the one for the other.
    for row in (CASES[0].row, CASES[1].row[: lab.spec.heads]):
        graft = Graft(spec_for(post), torch.ones(1, len(row), dtype=torch.bool))
        with torch.no_grad(), grafted(lab.spec, [graft]):
            found = lab.run([row])
        with torch.no_grad():
            assert torch.allclose(found, post(torch.tensor([row])).logits, **CLOSE)


def test_schemes_divide_the_positions_between_them() -> None:
    by_name = {each: places(CASES, each) for each in Positions}
    assert torch.equal(by_name[Positions.FE] | by_name[Positions.LT], by_name[Positions.FE_LT])
    assert torch.equal(~by_name[Positions.FE_LT], by_name[Positions.COMPLEMENT])
    assert torch.equal(~by_name[Positions.FE], by_name[Positions.NOT_FE])
    assert not by_name[Positions.PRE].any()
    assert by_name[Positions.SFT].all()
    with pytest.raises(InvalidProbe, match="ends with its subject"):
        places([GraftCase((1, 2), (0, 1), (3,))], Positions.FE)
    names = [scheme.label for scheme in component_schemes(LAYERS)]
    assert len(set(names)) == len(names) == 13
    taken = [scheme.layers for scheme in component_schemes(10) if scheme.label.startswith("ffn_quarter")]
    assert sum(taken, ()) == tuple(range(10))  # type: ignore[arg-type]


def test_tuning_learns_and_leaves_the_model_alone_and_grafts_tell_where() -> None:
    lab = tiny_lab()
    tuning = Tuning(epochs=25, batch=2, learning_rate=3e-3)
    with stays_as_it_is(lab.model), lab.metered(Meter()) as meter:
        tuned = fine_tuned(lab, CASES, tuning)
    assert meter.done == tuning_cost(len(CASES), tuning)
    assert tuned.losses[-1] < tuned.losses[0] / 2
    donor = spec_for(tuned.model)
    with stays_as_it_is(lab.model), lab.metered(Meter()) as meter:
        found = {each.scheme.positions: each for each in graft_all(lab, donor, CASES)}
    assert meter.done == grafting_cost(lab, len(CASES), len(MAIN))
    assert min(found[Positions.SFT].probability) > max(found[Positions.PRE].probability)
    for each in found.values():
        assert [rank == 0 for rank in each.rank] == [margin > 0 for margin in each.margin]
        assert each.top5 == [rank < 5 for rank in each.rank]
    # Two tunings that are the same are one, with the relation's half among the task's.
    both = hybrid(lab, donor, donor, CASES)
    assert both.probability == pytest.approx(found[Positions.FE_LT].probability, abs=1e-6)
    svg = ElementTree.fromstring(picture(list(found.values()), "<script>"))  # noqa: S314 - our own
    texts = [element.text or "" for element in svg.iter("{http://www.w3.org/2000/svg}text")]
    assert {"<script>", "FE and LT", "all but FE and LT"} <= set(texts)


def test_a_training_that_was_ended_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    lab, kept = tiny_lab(), tmp_path / "kept.safetensors"
    tuning = Tuning(epochs=4, batch=1, learning_rate=3e-3, seed=5)
    whole = fine_tuned(lab, CASES, tuning)
    first = fine_tuned(lab, CASES, replace(tuning, epochs=2), kept)
    rest = fine_tuned(lab, CASES, tuning, kept)
    assert first.losses == whole.losses[:2]
    assert rest.losses == pytest.approx(whole.losses)
    for one, other in zip(rest.model.parameters(), whole.model.parameters(), strict=True):
        assert torch.allclose(one, other)
    with lab.metered(Meter()) as meter:
        fine_tuned(lab, CASES, tuning, kept)
    assert meter.done == Passes()


def test_other_shapes_are_refused_and_a_stop_leaves_nothing() -> None:
    lab = tiny_lab()
    where = torch.ones(1, 4, dtype=torch.bool)
    for other in (tiny_model("mistral"), tiny_model("llama", num_hidden_layers=2)):
        with (
            pytest.raises(InvalidIntervention, match="same shape"),
            grafted(lab.spec, [Graft(spec_for(other), where)]),
        ):
            pass
    with (
        stays_as_it_is(lab.model),
        pytest.raises(InvalidIntervention, match="4 positions"),
        grafted(lab.spec, [Graft(spec_for(tiny_model("llama", seed=2)), where)]),
    ):
        lab.run([[1, 2, 3]])
    asked: list[float] = []
    meter = Meter(Passes(10, 10), asked.append, lambda: len(asked) == 3)
    with stays_as_it_is(lab.model), pytest.raises(Cancelled), lab.metered(meter):
        fine_tuned(lab, CASES)
    with stays_as_it_is(lab.model), pytest.raises(InvalidIntervention, match="onto itself"):
        graft_all(lab, lab.spec, CASES, [Scheme(Positions.LT)])
