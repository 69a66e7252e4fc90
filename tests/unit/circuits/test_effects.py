"""Knockouts, head scores and recall against the slow reference, one change at a time."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from circuits.errors import InvalidProbe
from circuits.heads import (
    HeadThresholds,
    Role,
    calibrate_heads,
    head_scores,
    heads_cost,
    role_of,
    study_heads,
)
from circuits.interventions import Ablation, Head, Part, Site, gather_reference
from circuits.knockout import (
    Source,
    edge_knockout,
    edge_knockout_cost,
    sublayer_knockout,
    sublayer_knockout_cost,
    window_of,
)
from circuits.lab import Lab, Meter
from circuits.look import look
from circuits.probe import Placed, Probe, answer_tokens
from circuits.recall import (
    attribute_tokens,
    attributes_rate,
    extraction,
    gradient_times_input,
    head_mappings,
    look_at_prompt,
    recall_cost,
)
from tests.unit.circuits.labs import ANSWER, PROMPT, SUBJECT, placed_in, tiny_lab
from tests.unit.circuits.untouched import stays_as_it_is
from tests.unit.engines.slow_reference import reference_logits
from tests.unit.engines.tiny_models import CONFIGS, LAYERS

KINDS = sorted(CONFIGS)
Touch = Callable[[str, int, Tensor], Tensor]


def said(
    lab: Lab, placed: Placed, tokens: list[int], touch: Touch = lambda what, layer, tensor: tensor
) -> Tensor:
    with torch.no_grad():
        logits = reference_logits(lab.model, [*placed.ids, *tokens], touch=touch)
    return logits[placed.last : -1].log_softmax(-1)[range(len(tokens)), tokens]


@pytest.mark.parametrize("kind", KINDS)
def test_knocked_out_edges_cost_what_they_cost_one_by_one(kind: str) -> None:
    lab = tiny_lab(kind)
    placed, tokens = placed_in(lab), answer_tokens(lab, PROMPT, ANSWER)
    with stays_as_it_is(lab.model), lab.metered(Meter()) as meter:
        curves = edge_knockout(lab, placed, tokens, window=2)
    assert meter.done == edge_knockout_cost(lab, len(Source))
    assert [curve.what for curve in curves] == [source.value for source in Source]
    plain = said(lab, placed, tokens).sum()
    last = placed.last
    keys: dict[str, list[int]] = {
        "subject": list(placed.subject),
        "relation": list(placed.relation),
        "others": [at for at in range(last) if at not in placed.subject],
    }
    layer = 2
    for curve in curves:

        def hidden(what: str, at: int, tensor: Tensor, curve_name: str = curve.what) -> Tensor:
            if what != "visible" or at not in (1, 2):
                return tensor
            tensor = tensor.clone()
            for query in range(last, last + len(tokens)):
                tensor[:, query, [query] if curve_name == "last" else keys[curve_name]] = False
            return tensor

        expected = float(said(lab, placed, tokens, hidden).sum() - plain)
        assert curve.log_change[layer] == pytest.approx(expected, abs=2e-3), curve.what
        assert curve.relative[layer] == pytest.approx(math.expm1(expected), abs=1e-2)
        assert len(curve.layers) == LAYERS


@pytest.mark.parametrize("kind", KINDS)
def test_a_knocked_out_sublayer_writes_nothing(kind: str) -> None:
    lab = tiny_lab(kind)
    placed, tokens = placed_in(lab), answer_tokens(lab, PROMPT, ANSWER)
    with stays_as_it_is(lab.model), lab.metered(Meter()) as meter:
        curves = sublayer_knockout(lab, placed, tokens, span=2)
    assert meter.done == sublayer_knockout_cost(lab)
    plain = said(lab, placed, tokens).sum()
    for curve in curves:

        def silent(what: str, at: int, tensor: Tensor, name: str = curve.what) -> Tensor:
            return torch.zeros_like(tensor) if what == name and at in (2, 3) else tensor

        expected = float(said(lab, placed, tokens, silent).sum() - plain)
        assert curve.log_change[2] == pytest.approx(expected, abs=2e-3)


def test_windows_are_centred_and_clipped() -> None:
    assert list(window_of(5, 9, 30)) == list(range(1, 10))
    assert list(window_of(0, 9, 30)) == [0, 1, 2, 3, 4]
    assert list(window_of(29, 3, 30)) == [28, 29]
    with pytest.raises(InvalidProbe):
        window_of(0, 0, 3)


def test_no_curve_for_positions_that_are_not_there() -> None:
    lab = tiny_lab()
    placed = placed_in(lab, "Ulm", "Ulm")
    curves = edge_knockout(lab, placed, answer_tokens(lab, "Ulm", "x"))
    assert [curve.what for curve in curves] == ["subject", "last"]


@pytest.mark.parametrize("kind", ["gemma2", "gpt_neox", "llama"])
def test_heads_are_scored_by_where_their_say_comes_from_and_by_ablation(kind: str) -> None:
    lab = tiny_lab(kind)
    probe = Probe(PROMPT, SUBJECT, ANSWER, alternatives=("Oslo", "Bern"))
    placed, tokens = placed_in(lab), answer_tokens(lab, PROMPT, ANSWER)
    never = HeadThresholds(math.inf, math.inf)
    with stays_as_it_is(lab.model), lab.metered(Meter()) as meter:
        reports, used = study_heads(lab, probe, never)
    assert used == never
    assert meter.done == heads_cost(lab, deltas=True)
    assert {report.head for report in reports} == {
        Head(at, head) for at in range(LAYERS) for head in range(4)
    }
    plain = said(lab, placed, tokens)
    for report in (reports[0], reports[7]):

        def without(what: str, at: int, tensor: Tensor, head: Head = report.head) -> Tensor:
            tensor = tensor.clone()
            if (what, at) == ("heads", head.layer):
                tensor[:, head.head] = 0
            return tensor

        changed = said(lab, placed, tokens, without)
        assert report.delta == pytest.approx(float((changed - plain).sum()), abs=2e-3)
        assert report.first_delta == pytest.approx(float((changed - plain)[0]), abs=2e-3)
        assert report.role is Role.NONE
    seen = look(lab, placed.ids, [placed.last])
    everything = head_scores(seen, range(len(placed.ids)), range(len(placed.ids)), 85, [79, 66])
    assert torch.allclose(everything.mover, everything.direct, atol=1e-4)
    assert torch.allclose(everything.attention_subject, torch.ones(LAYERS, 4), atol=1e-4)
    spans = head_scores(seen, placed.subject, placed.relation, 85, [])
    assert (spans.attention_subject + spans.attention_relation <= 1.0001).all()


def test_roles_follow_from_both_thresholds() -> None:
    thresholds = HeadThresholds(1.0, 2.0)
    assert [role_of(m, r, thresholds) for m, r in ((0, 0), (1, 0), (0, 2), (1, 2))] == [
        Role.NONE,
        Role.MOVER,
        Role.RELATION,
        Role.MIXTURE,
    ]


def test_thresholds_are_what_meaningless_spans_seldom_reach() -> None:
    lab = tiny_lab()
    probes = [Probe(f"Ann {name} of Ulm lives in", name, "Oslo") for name in ("Berg", "Lund", "Holm", "Dahl")]
    loose, strict = calibrate_heads(lab, probes, 0.2), calibrate_heads(lab, probes, 0.01)
    assert strict.mover > loose.mover
    assert strict.relation > loose.relation
    assert strict.false_positives <= loose.false_positives < 0.6
    assert loose.probes == 4


def test_without_a_calibration_the_prompt_gives_the_thresholds() -> None:
    lab = tiny_lab()
    probe = Probe(PROMPT, SUBJECT, ANSWER, "is from", ("Oslo",))
    reports, used = study_heads(lab, probe, None, deltas=False)
    assert all(report.role is role_of(report.mover, report.relation, used) for report in reports)
    assert all(math.isnan(report.delta) for report in reports)
    assert math.isfinite(used.mover + used.relation)
    assert math.isnan(used.false_positives)


def test_heads_can_be_ablated_with_what_they_say_elsewhere() -> None:
    lab = tiny_lab()
    probe = Probe(PROMPT, SUBJECT, ANSWER)
    sites = [Site(Part.HEADS, layer) for layer in range(LAYERS)]

    def forward() -> Tensor:
        lab.run([[5, 6, 7, 8]])
        return torch.ones(1, 4)

    reference = gather_reference(lab.spec, sites, [forward])
    never = HeadThresholds(math.inf, math.inf)
    by_zero, by_mean = (
        {
            report.head: report.delta
            for report in study_heads(lab, probe, never, how=how, reference=reference)[0]
        }
        for how in (Ablation.ZERO, Ablation.MEAN)
    )
    assert by_zero.keys() == by_mean.keys()
    assert max(abs(by_zero[head] - by_mean[head]) for head in by_zero) > 1e-3


@pytest.mark.parametrize("kind", ["gemma3_text", "gptj", "llama"])
def test_what_is_recalled_is_read_through_the_final_norm(kind: str) -> None:
    lab = tiny_lab(kind)
    placed, tokens = placed_in(lab), answer_tokens(lab, PROMPT, ANSWER)
    with stays_as_it_is(lab.model), lab.metered(Meter()) as meter:
        seen = look_at_prompt(lab, placed)
        slopes = gradient_times_input(lab, placed, tokens)
    assert meter.done == recall_cost()
    states: dict[tuple[str, int], Tensor] = {}

    def note(what: str, at: int, tensor: Tensor) -> Tensor:
        states[what, at] = tensor
        return tensor

    with torch.no_grad():
        reference_logits(lab.model, placed.ids, touch=note)

        def best(state: Tensor) -> Tensor:
            found: Tensor = lab.spec.lm_head(lab.spec.final_norm(state)).argmax(-1)
            return found

        updates = [best(states["attention", at][-1]) for at in range(LAYERS)]
        writes = [best(states["mlp", at][-1]) for at in range(LAYERS)]
    token = int(updates[1])
    found = extraction(seen, token)
    assert list(found.attention) == [int(each) == token for each in updates]
    assert list(found.mlp) == [int(each) == token for each in writes]
    assert slopes.shape == (LAYERS + 1, len(placed.ids))
    step = 1e-2
    for layer, position in ((1, 3), (3, placed.last)):
        both = []
        for sign in (1, -1):

            def scaled(what: str, at: int, tensor: Tensor, by: float = 1 + sign * step) -> Tensor:
                tensor = tensor.clone()
                if (what, at) == ("residual", layer):  # noqa: B023 - used at once
                    tensor[position] *= by  # noqa: B023
                return tensor

            both.append(float(said(lab, placed, tokens, scaled).sum()))
        assert (both[0] - both[1]) / (2 * step) == pytest.approx(float(slopes[layer, position]), abs=2e-2)


def test_attributes_are_counted_among_the_words_that_a_state_holds() -> None:
    lab = tiny_lab()
    placed = placed_in(lab)
    seen = look_at_prompt(lab, placed)
    wanted = attribute_tokens(lab, ["Ulm on Danube", "an"], ignored={"danube"})
    assert wanted == {lab.tokenizer(text).input_ids[0] for text in ("Ulm", " Ulm")}
    with pytest.raises(InvalidProbe):
        attributes_rate(lab, seen, placed, frozenset())


def test_a_heads_value_output_circuit_is_what_it_writes_with_all_attention_on_the_subject() -> None:
    lab = tiny_lab()
    placed = placed_in(lab)
    seen = look(lab, placed.ids, [placed.last])
    (mapping,) = head_mappings(lab, seen, placed, [Head(2, 3)], 4)
    spec, model = lab.spec, lab.model
    states: dict[int, Tensor] = {}

    def note(what: str, at: int, tensor: Tensor) -> Tensor:
        if what == "residual":
            states[at] = tensor
        return tensor

    with torch.no_grad():
        reference_logits(model, placed.ids, touch=note)
        layer = model.model.layers[2]
        value = layer.self_attn.v_proj(layer.input_layernorm(states[2][placed.subject[-1]])).view(2, 16)[1]
        written = layer.self_attn.o_proj.weight[:, 48:64] @ value
        top = model.lm_head(model.model.norm(written)).topk(4)
    assert mapping.tokens == lab.prompts.pieces(top.indices.tolist())
    assert mapping.logits == pytest.approx(top.values.tolist(), abs=1e-3)
    assert spec.kv_heads == 2
