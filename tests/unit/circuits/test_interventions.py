"""Every intervention equals the plain slow computation, in every family, and leaves nothing behind."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest
import torch
from torch import Tensor

from circuits.errors import InvalidIntervention
from circuits.interventions import (
    Ablation,
    Block,
    Change,
    Head,
    Part,
    Reference,
    Site,
    ablated,
    attended,
    blocked,
    bypassed,
    captured,
    gather_reference,
    muted,
    replaced,
)
from engines.architectures import spec_for
from engines.contract import KVAdapter
from engines.kv_attention import AttentionRecord, KVBatch, inject
from tests.unit.circuits.labs import tiny_lab
from tests.unit.circuits.untouched import stays_as_it_is, traces
from tests.unit.engines.slow_reference import reference_logits
from tests.unit.engines.tiny_models import CONFIGS, LAYERS, RandomAdapter, tiny_model

IDS = [10, 72, 101, 33, 7, 150, 99, 201, 45, 60]
KINDS = sorted(CONFIGS)
CLOSE = {"atol": 2e-4, "rtol": 1e-4}
Touch = Callable[[str, int, Tensor], Tensor]


def run(model: Any, ids: list[int] = IDS) -> Tensor:
    with torch.no_grad():
        logits: Tensor = model(torch.tensor([ids]), use_cache=False).logits
    return logits[0]


def slowly(model: Any, touch: Touch, ids: list[int] = IDS, adapter: Any = None, facts: Any = ()) -> Tensor:
    with torch.no_grad():
        return reference_logits(model, ids, adapter, facts, touch)


def changing(what: str, layer: int, made: Callable[[Tensor], Tensor]) -> Touch:
    """A touch at one place."""

    def touch(name: str, at: int, tensor: Tensor) -> Tensor:
        return made(tensor.clone()) if (name, at) == (what, layer) else tensor

    return touch


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_captured_is_what_passes(kind: str) -> None:
    model = tiny_model(kind)
    spec = spec_for(model)
    sites = [Site(part, layer) for part in Part for layer in range(LAYERS)] + [Site(Part.RESIDUAL, LAYERS)]
    known: dict[tuple[str, int], Tensor] = {}

    def note(what: str, layer: int, tensor: Tensor) -> Tensor:
        known[what, layer] = tensor
        return tensor

    plain = slowly(model, note)
    with stays_as_it_is(model), captured(spec, sites) as seen, attended(spec) as patterns:
        assert torch.allclose(run(model), plain, **CLOSE)
    assert set(seen) == set(sites)
    for site, passed in seen.items():
        assert torch.allclose(passed[0], known[site.part.value, site.layer], **CLOSE), site
    for layer in range(LAYERS):
        assert torch.allclose(patterns[layer].probabilities[0], known["pattern", layer], **CLOSE)
        said = patterns[layer].probabilities[0] @ patterns[layer].values[0].repeat_interleave(
            spec.heads // spec.kv_heads, dim=0
        )
        assert torch.allclose(said.transpose(0, 1), known["heads", layer], **CLOSE)


@pytest.mark.parametrize("kind", KINDS)
def test_zero_ablation_takes_away_all_that_a_node_says(kind: str) -> None:
    model = tiny_model(kind)
    spec = spec_for(model)

    def without_heads(tensor: Tensor) -> Tensor:
        tensor[:, [0, 2]] = 0
        return tensor

    cases: list[tuple[Any, Touch]] = [
        ([Head(1, 0), Head(1, 2)], changing("heads", 1, without_heads)),
        ([Site(Part.ATTENTION, 2)], changing("attention", 2, torch.zeros_like)),
        ([Site(Part.MLP, 0)], changing("mlp", 0, torch.zeros_like)),
    ]
    plain = run(model)
    for nodes, touch in cases:
        with stays_as_it_is(model), ablated(spec, nodes):
            changed = run(model)
        assert torch.allclose(changed, slowly(model, touch), **CLOSE), nodes
        assert not torch.allclose(changed, plain, **CLOSE), nodes
    assert torch.equal(run(model), plain)


@pytest.mark.parametrize("kind", KINDS)
def test_mean_and_resample_stand_ins_come_from_other_prompts(kind: str) -> None:
    model = tiny_model(kind)
    spec = spec_for(model)
    sites = [Site(Part.HEADS, 1), Site(Part.MLP, 2)]
    others = torch.tensor([[5, 6, 7, 256], [90, 91, 92, 93]])
    mask = torch.tensor([[1, 1, 1, 0], [1, 1, 1, 1]])

    def forward() -> Tensor:
        with torch.no_grad():
            model(others, attention_mask=mask, use_cache=False)
        return mask

    with stays_as_it_is(model):
        reference = gather_reference(spec, sites, [forward], seed=3)
    samples = reference.samples[sites[0]]
    assert samples.shape == (7, spec.heads, spec.head_dim)
    generator = torch.Generator().manual_seed(3)
    chosen = torch.randint(7, (1, len(IDS)), generator=generator)[0]

    def of_mean(what: str, layer: int, tensor: Tensor) -> Tensor:
        tensor = tensor.clone()
        if (what, layer) == ("heads", 1):
            tensor[:, 3] = samples[:, 3].mean(0)
        if (what, layer) == ("mlp", 2):
            tensor[:] = reference.samples[sites[1]].mean(0)
        return tensor

    def of_samples(what: str, layer: int, tensor: Tensor) -> Tensor:
        tensor = tensor.clone()
        if (what, layer) == ("heads", 1):
            tensor[:, 3] = samples[chosen, 3]
        if (what, layer) == ("mlp", 2):
            tensor[:] = reference.samples[sites[1]][chosen]
        return tensor

    nodes = [Head(1, 3), sites[1]]
    for how, touch in ((Ablation.MEAN, of_mean), (Ablation.RESAMPLE, of_samples)):
        with stays_as_it_is(model), ablated(spec, nodes, how, reference):
            changed = run(model)
        assert torch.allclose(changed, slowly(model, touch), **CLOSE), how
        with pytest.raises(InvalidIntervention, match="needs a reference"), ablated(spec, nodes, how):
            pass
        with (
            pytest.raises(InvalidIntervention, match="nothing of mlp0"),
            ablated(spec, [Site(Part.MLP, 0)], how, reference),
        ):
            run(model)


@pytest.mark.parametrize("kind", KINDS)
def test_a_state_is_patched_at_positions_and_heads(kind: str) -> None:
    model = tiny_model(kind)
    spec = spec_for(model)
    other = [*reversed(IDS)]
    for part in Part:
        site = Site(part, 2)
        with captured(spec, [site]) as seen:
            run(model, other)
        value = seen[site]
        where = torch.zeros(1, len(IDS), dtype=torch.bool)
        where[0, [3, 4]] = True
        patch: Tensor = (
            where[..., None] & torch.tensor([True, False, True, False]) if part is Part.HEADS else where
        )

        def patched(tensor: Tensor, value: Tensor = value, patch: Tensor = patch) -> Tensor:
            tensor[patch[0]] = value[0][patch[0]]
            return tensor

        with stays_as_it_is(model), replaced(spec, [Change(site, value, patch)]):
            changed = run(model)
        assert torch.allclose(changed, slowly(model, changing(part.value, 2, patched)), **CLOSE), part
    final = Site(Part.RESIDUAL, LAYERS)
    with captured(spec, [final]) as seen:
        expected = run(model, other)
    with replaced(spec, [Change(final, seen[final])]):
        assert torch.allclose(run(model), expected, **CLOSE)


@pytest.mark.parametrize("kind", KINDS)
def test_blocked_edges_are_not_there_and_the_rest_is_weighted_anew(kind: str) -> None:
    model = tiny_model(kind)
    spec = spec_for(model)
    last = len(IDS) - 1

    def hidden(what: str, layer: int, tensor: Tensor) -> Tensor:
        if what != "visible":
            return tensor
        tensor = tensor.clone()
        if layer in (1, 2):
            tensor[:, last, [6, 7]] = False
        if layer == 3:
            tensor[2, [4, last], 3] = False
        return tensor

    blocks = [Block((1, 2), (last,), (6, 7)), Block((3,), (4, last), (3,), heads=(2,))]
    with stays_as_it_is(model), blocked(spec, blocks), attended(spec) as patterns:
        changed = run(model)
    assert torch.allclose(changed, slowly(model, hidden), **CLOSE)
    seen = patterns[1].probabilities[0]
    assert float(seen[:, last, [6, 7]].sum()) == 0
    assert torch.allclose(seen.sum(-1), torch.ones_like(seen.sum(-1)))
    assert not torch.allclose(changed[last], run(model)[last], **CLOSE)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_a_batch_are_changed_each_in_its_own_way(kind: str) -> None:
    model = tiny_model(kind)
    spec = spec_for(model)
    batch = torch.tensor([IDS] * 3)
    only = torch.tensor([[False], [True], [False]])
    edge = Block((0,), (9,), (8,), rows=(2,))
    with ablated(spec, [Head(2, 1)], where=only), blocked(spec, [edge]), torch.no_grad():
        logits = model(batch, use_cache=False).logits
    plain = run(model)
    with ablated(spec, [Head(2, 1)]):
        second = run(model)
    with blocked(spec, [Block((0,), (9,), (8,))]):
        third = run(model)
    for row, expected in zip(logits, (plain, second, third), strict=True):
        assert torch.allclose(row, expected, **CLOSE)


@pytest.mark.parametrize("kind", KINDS)
def test_interventions_work_beside_injected_facts_and_heads_can_be_blind_to_them(kind: str) -> None:
    model = tiny_model(kind)
    spec, adapter = spec_for(model), RandomAdapter.of(model)
    facts = [adapter.fact("one", 3), adapter.fact("two", 2)]
    blind = {Head(1, 0), Head(3, 2)}
    biases = {layer: adapter.head_bias(layer).detach().clone() for layer in adapter.layers}
    for each in blind:
        biases[each.layer][each.head] = float("-inf")

    class Blind:
        layers = adapter.layers
        query = staticmethod(adapter.query)
        head_bias = staticmethod(biases.__getitem__)

    def hidden(what: str, layer: int, tensor: Tensor) -> Tensor:
        tensor = tensor.clone()
        if (what, layer) == ("visible", 1):
            tensor[:, 9, 5] = False
        if (what, layer) == ("heads", 3):
            tensor[:, 3] = 0
        return tensor

    record = AttentionRecord(full=True)
    chosen: KVAdapter = muted(adapter, blind)
    with (
        stays_as_it_is(model),
        inject(model, chosen, KVBatch.pack([facts], adapter.layers), record),
        blocked(spec, [Block((1,), (9,), (5,))]),
        ablated(spec, [Head(3, 3)]),
        attended(spec) as patterns,
    ):
        changed = run(model)
    assert torch.allclose(changed, slowly(model, hidden, adapter=Blind(), facts=facts), **CLOSE)
    assert float(record.probabilities[1][0, 0].sum()) == 0
    assert float(record.probabilities[1][0, 1].sum()) > 0
    assert torch.allclose(patterns[1].probabilities.sum(-1), torch.ones(1, spec.heads, len(IDS)))


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_flow_through_what_is_captured_and_replaced(kind: str) -> None:
    model = tiny_model(kind)
    spec = spec_for(model)
    site, scale = Site(Part.HEADS, 1), torch.ones(spec.heads, requires_grad=True)
    with (
        stays_as_it_is(model),
        replaced(spec, [Change(site, lambda passing: passing * scale[:, None])]),
        captured(spec, [site]) as seen,
    ):
        loss = model(torch.tensor([IDS]), use_cache=False).logits[0, -1, 65]
        by_scale, by_state = torch.autograd.grad(loss, [scale, seen[site]])
    for head in range(spec.heads):
        step = 1e-2
        both = []
        for sign in (1, -1):
            factor = 1 + sign * step * torch.nn.functional.one_hot(torch.tensor(head), spec.heads)
            with replaced(spec, [Change(site, lambda passing, by=factor: passing * by[:, None])]):
                both.append(float(run(model)[-1, 65]))
        assert (both[0] - both[1]) / (2 * step) == pytest.approx(float(by_scale[head]), abs=2e-2)
    assert torch.allclose((by_state * seen[site]).sum((0, 1, 3)), by_scale, atol=1e-4)


class Stopped(BaseException):
    """Not even an Exception: what a cancelled task or a key press raises."""


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_left_behind_when_a_forward_fails_or_is_stopped(kind: str) -> None:
    model = tiny_model(kind)
    spec, adapter = spec_for(model), RandomAdapter.of(model)
    clean, plain = traces(model), run(model)

    def stop(passing: Tensor) -> Tensor:
        raise Stopped

    for depth in range(1, 6):
        with pytest.raises(Stopped), ExitStack() as stack:  # noqa: PT012 - all of it must be undone
            stack.enter_context(inject(model, adapter, KVBatch.pack([[adapter.fact("a")]], adapter.layers)))
            contexts = (
                captured(spec, [Site(Part.MLP, 1)]),
                ablated(spec, [Head(0, 0)]),
                blocked(spec, [Block((0, 1), (9,), (1,))]),
                attended(spec),
                replaced(spec, [Change(Site(Part.RESIDUAL, 3), stop)]),
            )
            for context in contexts[-depth:]:
                stack.enter_context(context)
            assert len(traces(model)) > len(clean)
            run(model)
        assert traces(model) == clean
    assert torch.equal(run(model), plain)


def test_what_the_model_does_not_have_is_refused_and_leaves_nothing() -> None:
    model = tiny_model("llama")
    spec = spec_for(model)
    wrong: list[Callable[[], Any]] = [
        lambda: captured(spec, [Site(Part.MLP, 0), Site(Part.MLP, LAYERS)]),
        lambda: ablated(spec, [Site(Part.MLP, 0), Head(0, 4)]),
        lambda: attended(spec, [0, LAYERS]),
        lambda: blocked(spec, [Block((0,), (len(IDS),), (0,))]),
        lambda: blocked(spec, [Block((0,), (2,), (0, 1, 2))]),
        lambda: replaced(spec, [Change(Site(Part.MLP, 0), torch.zeros(7))]),
    ]
    for context in wrong:
        with stays_as_it_is(model), pytest.raises(InvalidIntervention), context():
            run(model)
    model.config._attn_implementation = "flash_attention_2"
    with pytest.raises(InvalidIntervention, match="sdpa or eager"), attended(spec):
        pass


def test_samples_of_a_reference_come_from_one_position_at_all_sites() -> None:
    one, two = Site(Part.MLP, 0), Site(Part.MLP, 1)
    samples = torch.arange(5.0)[:, None]
    reference = Reference({one: samples, two: samples * 10}, seed=1)
    drawn = reference.drawn(one, 4, 6)
    assert torch.equal(reference.drawn(two, 4, 6), drawn * 10)
    assert len(set(drawn.flatten().tolist())) > 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_forward_that_begins_late_goes_on_as_one_from_the_start(kind: str) -> None:
    lab = tiny_lab(kind)
    row = [10, 72, 101, 33, 7]
    site = Site(Part.RESIDUAL, 2)
    with captured(lab.spec, [site]) as seen:
        whole = lab.run([row])
    ran: list[int] = []
    hooks = [
        lab.spec.mlp(layer).register_forward_hook(lambda *_, layer=layer: ran.append(layer))
        for layer in range(lab.layers)
    ]
    with bypassed(lab.spec, range(2)), replaced(lab.spec, [Change(site, seen[site])]):
        late = lab.run([[1, 2, 3, 4, 5]])
    for hook in hooks:
        hook.remove()
    assert ran == list(range(2, lab.layers))
    assert torch.equal(late, whole)
    with stays_as_it_is(lab.model), pytest.raises(RuntimeError, match="stop"), bypassed(lab.spec, [0, 3]):
        raise RuntimeError("stop")
    assert torch.equal(lab.run([row]), whole)
