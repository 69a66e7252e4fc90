"""Every editor on a tiny random model of every family: it takes, it writes nothing, it comes off."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from editors.metrics.speaking import ModelSpeaker
from editors.weights.contract import Means
from editors.weights.delta import tensor_digest
from editors.weights.delta_files import load_delta, save_delta
from editors.weights.errors import InvalidEdit
from editors.weights.hooks import forward_until, shifted
from editors.weights.memit import Memit
from editors.weights.methods import METHODS, make_editor
from editors.weights.model import EditableModel
from editors.weights.optimise import Shifts
from editors.weights.prefixes import own_prefixes
from editors.weights.request import EditRequest
from editors.weights.rome import Rome
from editors.weights.texts import asked, batch, targets, taught
from engines.architectures import ARCHITECTURES
from tests.unit.weights.conftest import REQUESTS, TINY

Make = Callable[..., EditableModel]
# The subject stands last, so that a random model has a short way from it to the target.
LAST = EditRequest("a letter to Tom Berg", "Tom Berg", "Oslo")


def state(editable: EditableModel) -> dict[str, str]:
    return {name: tensor_digest(tensor) for name, tensor in editable.model.state_dict().items()}


def hooks(editable: EditableModel) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in editable.model.modules())


@pytest.mark.parametrize("kind", sorted(ARCHITECTURES))
@pytest.mark.parametrize("method", sorted(METHODS))
def test_an_edit_takes_and_comes_off(tiny: Make, means: Means, kind: str, method: str, tmp_path: Any) -> None:
    editable = tiny(kind)
    before = state(editable)
    speaker = ModelSpeaker(editable.model, editable.tokenizer)
    pairs = [(LAST.prompt, LAST.target)]
    unedited = speaker.forced(pairs)[0].mean
    delta = make_editor(method, TINY[method]).compute(editable, [LAST], means)
    assert (state(editable), hooks(editable)) == (before, 0)
    assert not any(p.requires_grad or p.grad is not None for p in editable.model.parameters())
    save_delta(delta, tmp_path)
    with editable.applied(load_delta(tmp_path)):
        assert speaker.forced(pairs)[0].mean > unedited + 0.3
    assert state(editable) == before
    assert speaker.forced(pairs)[0].mean == unedited
    layers = {1, 2} if method == "memit" else {1}
    touched = {editable.model.get_parameter(change.name).data_ptr() for change in delta.changes}
    assert touched == {editable.spec.weight_of(editable.spec.mlp_down(at)).data_ptr() for at in layers}


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_the_corrected_form_maps_the_mean_key_to_the_value(tiny: Make, means: Means, kind: str) -> None:
    """ROME's defining equation: what the edited map makes of the key moves by exactly (v* - mean output)."""
    editable = tiny(kind)
    layer = TINY["rome"]["layer"]
    module = editable.spec.mlp_down(layer)
    rows = batch([asked(editable, LAST, p) for p in own_prefixes(editable, ((2, 2),))], editable.device)

    def written() -> torch.Tensor:
        (passed,) = forward_until(editable.model, [module], **rows.inputs)
        return passed.wrote[rows.rows, rows.columns]

    outputs = written()
    for corrected in (True, False):
        settings = {**TINY["rome"], "corrected": corrected}
        delta = make_editor("rome", settings).compute(editable, [LAST], means)
        with editable.applied(delta):
            now = written()
        moved = now - outputs
        rank_one = moved[:1] * (moved.norm(dim=-1) / moved[0].norm())[:, None]
        assert torch.allclose(moved.abs(), rank_one.abs(), atol=1e-4)  # one direction for every text
        # The value is reached at the mean of the texts (corrected), or at the bare prompt (original).
        value_at_key = now.mean(0) if corrected else now[0]
        loss = _loss_with(editable, module, value_at_key - outputs[0])
        assert loss == pytest.approx(delta.figures["losses"][0], rel=0.02, abs=0.02)
        again = make_editor("rome", settings).compute(editable, [LAST], means)
        assert again.digest == delta.digest


def _loss_with(editable: EditableModel, module: nn.Module, shift: torch.Tensor) -> float:
    """The optimised loss at this shift: mean over texts of the target's mean negative log-likelihood."""
    texts = [taught(editable, LAST, p) for p in own_prefixes(editable, ((2, 2),))]
    read = batch(texts, editable.device)
    wanted = targets(texts, editable.device)
    with torch.no_grad(), shifted(module, read.rows, read.columns, shift.expand(len(texts), -1)):
        logits = editable.model(**read.inputs, logits_to_keep=wanted.shape[1]).logits.float()
    said = logits.log_softmax(-1).gather(2, wanted[..., None])[..., 0]
    return float(-said.mean())


def test_the_original_form_is_another_edit(tiny: Make, means: Means) -> None:
    editable = tiny()
    corrected, original = (
        make_editor("rome", {**TINY["rome"], "corrected": flag}).compute(editable, [LAST], means)
        for flag in (True, False)
    )
    assert corrected.changes[0].after != original.changes[0].after


def test_statistics_change_the_direction_and_can_be_left_out(tiny: Make, means: Means) -> None:
    editable = tiny()
    with_statistics = make_editor("rome", TINY["rome"]).compute(editable, [LAST], means)
    without = {**TINY["rome"], "statistics": False}
    plain = make_editor("rome", without).compute(editable, [LAST], Means())
    assert plain.changes[0].after != with_statistics.changes[0].after
    with pytest.raises(InvalidEdit, match="statistics"):
        make_editor("rome", TINY["rome"]).compute(editable, [LAST], Means())


@pytest.mark.parametrize("method", sorted(METHODS))
def test_edits_one_after_the_other_rest_on_each_other(tiny: Make, means: Means, method: str) -> None:
    editable = tiny()
    before = state(editable)
    editor = make_editor(method, TINY[method])
    first = editor.compute(editable, REQUESTS[:1], means)
    editable.apply(first)
    second = editor.compute(editable, REQUESTS[1:], means)
    assert [change.before for change in second.changes] == [change.after for change in first.changes]
    editable.apply(second)
    editable.revert(second)
    editable.revert(first)
    assert state(editable) == before


def test_facts_found_together_have_the_values_of_facts_found_alone(tiny: Make, means: Means) -> None:
    editable = tiny()
    together, alone = (
        make_editor("memit", {**TINY["memit"], "facts_at_once": size, "steps": 6}).compute(
            editable, REQUESTS, means
        )
        for size in (2, 1)
    )
    assert together.figures["losses"] == pytest.approx(alone.figures["losses"], rel=1e-3)


def test_both_forms_of_rome_are_what_each_would_be_alone(tiny: Make, means: Means) -> None:
    editable = tiny()
    rome = make_editor("rome", TINY["rome"])
    assert isinstance(rome, Rome)
    for corrected, delta in zip((True, False), rome.both_forms(editable, LAST, means), strict=True):
        alone = make_editor("rome", {**TINY["rome"], "corrected": corrected})
        assert delta.digest == alone.compute(editable, [LAST], means).digest


@pytest.mark.parametrize("requests", [REQUESTS, REQUESTS[::-1]])
def test_memits_values_can_be_found_in_parts(
    tiny: Make, means: Means, requests: Sequence[EditRequest]
) -> None:
    """Found fact by fact and put together they spread to the delta of all facts at once, in whatever order."""
    editable = tiny()
    memit = make_editor("memit", {**TINY["memit"], "steps": 6, "facts_at_once": 1})
    assert isinstance(memit, Memit)
    parts = [memit.values(editable, [request], means) for request in requests]
    joined = Shifts(
        torch.cat([part.shift for part in parts]),
        torch.cat([part.initial for part in parts]),
        tuple(loss for part in parts for loss in part.losses),
        tuple(steps for part in parts for steps in part.steps),
    )
    delta = memit.spread(editable, requests, joined, means)
    assert delta.digest == memit.compute(editable, requests, means).digest


@pytest.mark.parametrize(
    ("kind", "short"), [("llama", 1e-3), ("gpt2", 1e-3), ("gemma2", 0.25), ("gemma3_text", 0.25)]
)
def test_memit_brings_about_what_it_looked_for(tiny: Make, means: Means, kind: str, short: float) -> None:
    """Where a norm stands behind the MLP, all but what its size does not allow."""
    editable = tiny(kind)
    settings = {**TINY["memit"], "clamp": 0.75, "covariance": 1e-6, "prefixes": ()}
    memit = make_editor("memit", settings)
    assert isinstance(memit, Memit)
    found = memit.values(editable, [LAST], means)
    rows = batch([asked(editable, LAST)], editable.device)
    with editable.applied(memit.spread(editable, [LAST], found, means)):
        (passed,) = forward_until(editable.model, [editable.spec.layers[2]], **rows.inputs)
    missing = found.initial + found.shift - passed.wrote[rows.rows, rows.columns]
    assert missing.norm() < short * found.shift.norm()


class Stopped(Exception):
    pass


@contextmanager
def failing_at(call: int) -> Any:
    """The given call of any module fails; counts the calls."""
    seen = [0]

    def hook(module: nn.Module, args: Any) -> None:
        seen[0] += 1
        if seen[0] == call:
            raise Stopped

    handle = torch.nn.modules.module.register_module_forward_pre_hook(hook)
    try:
        yield seen
    finally:
        handle.remove()


@pytest.mark.parametrize("kind", ["llama", "gpt2", "gptj"])
@pytest.mark.parametrize("method", sorted(METHODS))
def test_a_computation_that_fails_anywhere_leaves_the_model_as_it_was(
    tiny: Make, means: Means, kind: str, method: str
) -> None:
    editable = tiny(kind)
    before = state(editable)
    ids = torch.arange(12)[None]
    plain = editable.model(input_ids=ids).logits
    editor = make_editor(method, {**TINY[method], "steps": 3})
    with failing_at(0) as calls:
        editor.compute(editable, REQUESTS, means)
    assert calls[0] > 50
    rng = random.Random(f"{kind}/{method}")
    for _ in range(9):
        editable._remembered.clear()  # so that everything is computed again
        with pytest.raises(Stopped), failing_at(rng.randint(1, calls[0])):
            editor.compute(editable, REQUESTS, means)
        assert (state(editable), hooks(editable)) == (before, 0)
    assert torch.equal(editable.model(input_ids=ids).logits, plain)


@pytest.mark.slow
@pytest.mark.parametrize("method", sorted(METHODS))
def test_a_hundred_failures_on_an_edited_model_and_then_its_first_bytes(
    tiny: Make, means: Means, method: str
) -> None:
    """On top of an applied edit: that one stays to the byte, and is taken back to the byte at the end."""
    editable = tiny()
    first = state(editable)
    editor = make_editor(method, {**TINY[method], "steps": 3})
    editable.apply(editor.compute(editable, REQUESTS[:1], means))
    edited = state(editable)
    assert edited != first
    with failing_at(0) as calls:
        editor.compute(editable, REQUESTS[1:], means)
    rng = random.Random(method)
    for _ in range(100):
        editable._remembered.clear()
        with pytest.raises(Stopped), failing_at(rng.randint(1, calls[0])):
            editor.compute(editable, REQUESTS[1:], means)
        assert (state(editable), hooks(editable)) == (edited, 0)
    editable.revert(editable.deltas[0])
    assert state(editable) == first


@pytest.mark.parametrize("method", sorted(METHODS))
def test_progress_may_cancel(tiny: Make, means: Means, method: str) -> None:
    editable = tiny()
    before = state(editable)
    reports: list[float] = []

    def cancel(what: str, share: float) -> None:
        reports.append(share)
        if len(reports) == 2:
            raise Stopped

    with pytest.raises(Stopped):
        make_editor(method, TINY[method]).compute(editable, REQUESTS, replace(means, progress=cancel))
    assert all(0 <= share <= 1 for share in reports)
    assert (state(editable), hooks(editable)) == (before, 0)


@pytest.mark.parametrize("context", [torch.inference_mode, torch.no_grad, nullcontext])
def test_editors_work_wherever_they_are_called(
    tiny: Make, means: Means, context: Callable[[], AbstractContextManager[None]]
) -> None:
    editable = tiny()
    for method, settings in TINY.items():
        with context():
            delta = make_editor(method, {**settings, "steps": 2}).compute(editable, REQUESTS, means)
            editable.apply(delta)
        editable.revert(delta)


@pytest.mark.parametrize(
    ("method", "settings", "field"),
    [
        ("tome", {}, "method"),
        ("rome", {}, "settings.layer"),
        ("ft_m", {"layer": 1, "speed": 3}, "settings.speed"),
        ("ft_m", {"layer": 4}, "layer"),
        ("memit", {"layers": ()}, "layer"),
        ("memit", {"layers": [2, 1]}, "layers"),
        ("memit", {"layers": 1}, "settings.layers"),
        ("memit", {"layers": [1, "2"]}, "settings.layers"),
        ("memit", {"layers": [1], "covariance": 0}, "settings.covariance"),
        ("ft_m", {"layer": "x"}, "settings.layer"),
        ("ft_m", {"layer": 1.0}, "settings.layer"),
        ("ft_m", {"layer": True}, "settings.layer"),
        ("ft_m", {"layer": -1}, "settings.layer"),
        ("ft_m", {"layer": 1, "facts_at_once": 0}, "settings.facts_at_once"),
        ("ft_m", {"layer": 1, "steps": -3}, "settings.steps"),
        ("ft_m", {"layer": 1, "rate": 0}, "settings.rate"),
        ("ft_m", {"layer": 1, "rate": -0.1}, "settings.rate"),
        ("ft_m", {"layer": 1, "rate": 1e30}, "settings.rate"),
        ("ft_m", {"layer": 1, "rate": float("inf")}, "settings.rate"),
        ("ft_l", {"layer": 1, "clamp": -1}, "settings.clamp"),
        ("ft_l", {"layer": 1, "stop": None}, "settings.stop"),
        ("rome", {"layer": 1, "corrected": "no"}, "settings.corrected"),
        ("rome", {"layer": 1, "prefixes": [5, 2]}, "settings.prefixes"),
        ("rome", {"layer": 1, "prefixes": [[0, 2]]}, "settings.prefixes"),
        ("rome", {"layer": 1, "ridge": -1e-3}, "settings.ridge"),
    ],
)
def test_settings_that_mean_nothing_are_refused(
    tiny: Make, means: Means, method: str, settings: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidEdit) as caught:
        make_editor(method, settings).compute(tiny(), REQUESTS, means)
    assert caught.value.field == field


def test_no_request_is_refused(tiny: Make, means: Means) -> None:
    with pytest.raises(InvalidEdit, match="requests: there are none"):
        make_editor("ft_m", TINY["ft_m"]).compute(tiny(), [], means)
