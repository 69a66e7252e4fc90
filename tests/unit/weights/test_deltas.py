"""Applying, stacking, reverting, saving: exact to the byte, or refused with nothing changed."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from editors.weights.delta import Delta, Dense, LowRank, tensor_digest
from editors.weights.delta_files import load_delta, save_delta
from editors.weights.errors import DeltaDamaged, DeltaInUse, DeltaMismatch, InvalidEdit
from editors.weights.model import EditableModel
from editors.weights.request import EditRequest

Make = Callable[..., EditableModel]
REQUEST = EditRequest("Tom Berg is from", "Tom Berg", "Oslo")
KINDS = ("llama", "gpt2")


def digests(editable: EditableModel) -> dict[str, str]:
    return {name: tensor_digest(tensor) for name, tensor in editable.model.state_dict().items()}


def random_delta(
    editable: EditableModel, seed: int, layers: tuple[int, ...] = (1,), dense: bool = False
) -> Delta:
    """For the model as it is."""
    generator = torch.Generator().manual_seed(seed)

    def drawn(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator) * 0.1

    changes = []
    for layer in layers:
        module = editable.spec.mlp_down(layer)
        rows, columns = editable.spec.weight_of(module).shape
        change = Dense(drawn(rows, columns)) if dense else LowRank(drawn(rows, 2), drawn(2, columns))
        changes.append(editable.change_at(module, change))
    return Delta("random", {"seed": seed}, editable.digest, (REQUEST,), tuple(changes))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dense", [False, True])
def test_a_revert_brings_every_byte_back(tiny: Make, kind: str, dense: bool) -> None:
    editable = tiny(kind)
    before = digests(editable)
    delta = random_delta(editable, 0, (0, 2), dense)
    with editable.applied(delta):
        changed = {name for name, digest in digests(editable).items() if digest != before[name]}
        assert changed == {change.name for change in delta.changes}
        assert len(changed) == 2
        assert editable.deltas == (delta,)
    assert digests(editable) == before
    assert editable.deltas == ()


def test_applied_reverts_after_an_exception(tiny: Make) -> None:
    editable = tiny()
    before = digests(editable)
    with pytest.raises(KeyboardInterrupt), editable.applied(random_delta(editable, 0)):
        raise KeyboardInterrupt
    assert digests(editable) == before


def test_a_change_is_added_in_the_stored_layout(tiny: Make) -> None:
    for kind in KINDS:
        editable = tiny(kind)
        module = editable.spec.mlp_down(1)
        before = editable.spec.weight_of(module).clone()
        rows, columns = before.shape
        left, right = torch.randn(rows, 1), torch.randn(1, columns)
        change = editable.change_at(module, LowRank(left, right))
        editable.apply(Delta("m", {}, editable.digest, (REQUEST,), (change,)))
        assert torch.allclose(editable.spec.weight_of(module), before + left @ right, atol=1e-5)


def test_deltas_computed_on_top_of_each_other_come_off_in_reverse_only(tiny: Make) -> None:
    editable = tiny()
    before = digests(editable)
    first = random_delta(editable, 1)
    editable.apply(first)
    between = digests(editable)
    second = random_delta(editable, 2)
    editable.apply(second)
    with pytest.raises(DeltaInUse, match=f"{second.digest} .* computed on top of {first.digest}"):
        editable.revert(first)
    editable.revert(second)
    assert digests(editable) == between
    with pytest.raises(DeltaInUse, match="not applied"):
        editable.revert(second)
    editable.revert(first)
    assert digests(editable) == before


def test_deltas_on_other_tensors_come_off_in_any_order(tiny: Make) -> None:
    for order in itertools.permutations(range(3)):
        editable = tiny()
        before = digests(editable)
        deltas = [random_delta(editable, layer, (layer,)) for layer in range(3)]
        for delta in deltas:
            editable.apply(delta)
        for index in order:
            editable.revert(deltas[index])
        assert digests(editable) == before


def test_combined_deltas_come_off_in_any_order_and_leave_what_the_others_make(tiny: Make) -> None:
    for order in itertools.permutations(range(3)):
        editable = tiny()
        before = digests(editable)
        deltas = [random_delta(editable, seed, (1, 2), dense=seed == 1) for seed in range(3)]
        for delta in deltas:
            editable.apply(delta, combine=True)
        left = list(deltas)
        for index in order:
            editable.revert(deltas[index])
            left.remove(deltas[index])
            alone = tiny()
            for delta in left:
                alone.apply(delta, combine=True)
            assert digests(editable) == digests(alone)
        assert digests(editable) == before


def test_a_delta_on_top_of_combined_ones_holds_them_all(tiny: Make) -> None:
    editable = tiny()
    first, second = random_delta(editable, 1), random_delta(editable, 2)
    editable.apply(first)
    editable.apply(second, combine=True)
    third = random_delta(editable, 3)
    editable.apply(third)
    for held in (first, second):
        with pytest.raises(DeltaInUse, match=third.digest):
            editable.revert(held)
    editable.revert(third)
    editable.revert(first)
    editable.revert(second)


def test_other_weights_are_refused_and_nothing_changes(tiny: Make) -> None:
    editable = tiny()
    delta = random_delta(editable, 0)
    other = random_delta(editable, 1)
    elsewhere = replace(delta, model_digest="of another model")
    with pytest.raises(DeltaMismatch, match="made for model of another model"):
        editable.apply(elsewhere)
    editable.apply(other)
    state = digests(editable)
    with pytest.raises(DeltaMismatch, match=f"carries other edits \\({other.digest}\\)"):
        editable.apply(delta)
    with pytest.raises(DeltaMismatch, match="applied already"):
        editable.apply(other)
    on_top = random_delta(editable, 2)
    editable.revert(other)
    with pytest.raises(DeltaMismatch, match="not the tensor"):
        editable.apply(on_top, combine=True)
    missing = replace(delta, changes=(replace(delta.changes[0], name="model.nowhere.weight"),))
    with pytest.raises(DeltaMismatch, match=r"no parameter model\.nowhere"):
        editable.apply(missing)
    assert digests(editable) != state
    assert editable.deltas == ()


def test_a_delta_that_does_not_do_what_it_says_is_refused_before_anything_is_written(tiny: Make) -> None:
    editable = tiny()
    before = digests(editable)
    delta = random_delta(editable, 0, (0, 1))
    broken = replace(delta, changes=(delta.changes[0], replace(delta.changes[1], after="0" * 64)))
    with pytest.raises(DeltaMismatch, match="does not become"):
        editable.apply(broken)
    assert digests(editable) == before
    editable.apply(delta)
    editable.revert(delta)
    assert digests(editable) == before


def test_somebody_elses_change_is_noticed_and_the_original_still_comes_back(tiny: Make) -> None:
    editable = tiny()
    before = digests(editable)
    delta = random_delta(editable, 0)
    editable.apply(delta)
    editable.model.get_parameter(delta.changes[0].name).data[0, 0] += 1
    with pytest.raises(DeltaMismatch, match="by somebody else"):
        editable.revert(delta)
    editable.revert_all()
    assert digests(editable) == before


def test_half_precision_weights_come_back_too(tiny: Make) -> None:
    editable = tiny()
    editable = EditableModel(editable.model.to(torch.bfloat16), editable.tokenizer)
    before = digests(editable)
    with editable.applied(random_delta(editable, 0)):
        assert digests(editable) != before
    assert digests(editable) == before


def test_adding_a_change_is_the_same_on_any_machine() -> None:
    """Against numpy, whose float64 products and sums are not fused either."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(33, 47, generator=generator)
    left, right = torch.randn(33, 3, generator=generator), torch.randn(3, 47, generator=generator)
    total = weight.numpy().astype(np.float64)
    for rank in range(3):
        total = total + np.multiply.outer(
            left[:, rank].numpy().astype(np.float64), right[rank].numpy().astype(np.float64)
        )
    assert np.array_equal(LowRank(left, right).added_to(weight).numpy(), total.astype(np.float32))


def test_factors_are_kept_only_while_they_are_smaller(tiny: Make) -> None:
    editable = tiny()
    module = editable.spec.mlp_down(0)
    rows, columns = editable.spec.weight_of(module).shape
    for rank, kind in ((2, LowRank), (rows * columns // (rows + columns) + 1, Dense)):
        change = editable.change_at(module, LowRank(torch.ones(rows, rank), torch.ones(rank, columns)))
        assert isinstance(change.change, kind)


@pytest.mark.parametrize("dense", [False, True])
def test_a_saved_delta_is_the_same_delta(tiny: Make, tmp_path: Path, dense: bool) -> None:
    editable = tiny()
    delta = random_delta(editable, 0, (0, 2), dense)
    save_delta(delta, tmp_path / "d")
    loaded = load_delta(tmp_path / "d")
    assert loaded.digest == delta.digest
    assert loaded.requests == (REQUEST,)
    manifest = json.loads((tmp_path / "d" / "manifest.json").read_text())
    assert manifest["tensors"][0]["before"] == delta.changes[0].before
    editable.apply(delta)
    state = digests(editable)
    editable.revert(loaded)
    editable.apply(loaded)
    assert digests(editable) == state


def _other_target(folder: Path) -> None:
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace("Oslo", "Rome"))


def _flipped_byte(folder: Path) -> None:
    path = folder / "delta.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))


def _cut(folder: Path) -> None:
    path = folder / "delta.safetensors"
    path.write_bytes(path.read_bytes()[:-8])


def _no_manifest(folder: Path) -> None:
    (folder / "manifest.json").unlink()


def _other_format(folder: Path) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 2}))


@pytest.mark.parametrize("damage", [_other_target, _flipped_byte, _cut, _no_manifest, _other_format])
def test_damaged_files_are_refused(tiny: Make, tmp_path: Path, damage: Any) -> None:
    save_delta(random_delta(tiny(), 0), tmp_path)
    damage(tmp_path)
    with pytest.raises(DeltaDamaged):
        load_delta(tmp_path)


@pytest.mark.parametrize("kind", KINDS)
@torch.inference_mode()
def test_edited_and_unedited_model_answer_side_by_side(tiny: Make, kind: str) -> None:
    editable = tiny(kind)
    ids = torch.arange(24).view(4, 6)
    delta = random_delta(editable, 0, (1, 2))
    plain = editable.model(input_ids=ids).logits
    before = digests(editable)
    rows = torch.tensor([True, False, True, False])
    with editable.seen_through([delta], rows):
        mixed = editable.model(input_ids=ids).logits
    assert digests(editable) == before
    with editable.applied(delta):
        edited = editable.model(input_ids=ids).logits
        with editable.original(~rows):
            again = editable.model(input_ids=ids).logits
        with editable.original():
            undone = editable.model(input_ids=ids).logits
    assert torch.equal(mixed[~rows], plain[~rows])
    assert not torch.allclose(edited, plain, atol=1e-3)
    for found, wanted in ((mixed, edited), (again, edited)):
        assert torch.allclose(found[rows], wanted[rows], atol=1e-4)
    assert torch.allclose(again[~rows], plain[~rows], atol=1e-4)
    assert torch.allclose(undone, plain, atol=1e-4)


@pytest.mark.parametrize(
    ("prompt", "subject", "target", "field"),
    [
        ("Tom is from", "Anna", "Oslo", "subject"),
        ("Tom is from ", "Tom", "Oslo", "prompt"),
        ("Tom is from", "Tom", "", "target"),
        ("Tom is from", "Tom", " Oslo", "target"),
    ],
)
def test_requests_that_mean_nothing_are_refused(prompt: str, subject: str, target: str, field: str) -> None:
    with pytest.raises(InvalidEdit) as caught:
        EditRequest(prompt, subject, target)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("prompt", "subject", "before"),
    [
        ("In Romania people say that Roman was born in", "Roman", "In Romania people say that Roman"),
        ("Tom and Tom live in", "Tom", "Tom"),
        ("Romania is in", "Roman", "Roman"),
        ("2.5 is more than 5, and", "5", "2.5 is more than 5"),
    ],
)
def test_the_subject_of_a_request_is_its_first_mention_as_a_word(
    prompt: str, subject: str, before: str
) -> None:
    assert prompt[: EditRequest(prompt, subject, "Oslo").subject_end] == before


def test_a_change_of_a_double_weight_makes_a_new_one() -> None:
    weight = torch.ones(2, 3, dtype=torch.float64)
    changed = LowRank(torch.ones(2, 1), torch.ones(1, 3)).added_to(weight)
    assert torch.equal(weight, torch.ones_like(weight))
    assert torch.equal(changed, 2 * weight)
