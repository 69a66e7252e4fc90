"""HeadMap's enhancement on tiny models: it changes nothing untrained, learns a task, is saved, goes with facts."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

from circuits.interventions import bypassed
from editors.headmap.checkpoint import Checkpoint, run_name
from editors.headmap.choosing import choices
from editors.headmap.items import TaskItem, read_task
from editors.headmap.maps import SideMaps, Where, attached, headmap, lora_beside
from editors.headmap.storage import load_maps, save_maps
from editors.headmap.training import TaskSettings, train_maps
from editors.kv.trunk import from_trunk, run_trunk
from editors.weights.delta import tensor_digest
from editors.weights.errors import DeltaDamaged, DeltaMismatch
from engines.architectures import ARCHITECTURES, spec_for
from engines.kv_attention import inject
from engines.kv_batch import KVBatch
from engines.prompts import PromptEncoder
from tests.unit.engines.tiny_models import RandomAdapter, byte_tokenizer, tiny_model

LOCATED = {1: (0, 2), 3: (1,)}
IDS = torch.arange(60, 75)[None]
ITEMS = [
    TaskItem(f"Question {word}? Answer:", answer, ("yes", "no"))
    for word, answer in (("one", "yes"), ("two", "no"), ("three", "yes"), ("four", "no"))
]


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(input_ids=IDS).logits
    return found


def moved(maps: SideMaps) -> SideMaps:
    """As if trained."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in maps.parameters():
            parameter.normal_(std=0.3)
    return maps


@pytest.mark.parametrize("kind", sorted(ARCHITECTURES))
@pytest.mark.parametrize("where", list(Where))
def test_untrained_maps_change_nothing_and_trained_ones_only_within(kind: str, where: Where) -> None:
    model = tiny_model(kind)
    spec = spec_for(model)
    plain = logits(model)
    maps = headmap(spec, LOCATED, 3, where=where)
    with attached(spec, maps):
        assert torch.equal(logits(model), plain)
    moved(maps)
    with attached(spec, maps):
        assert not torch.allclose(logits(model), plain, atol=1e-3)
    with pytest.raises(ZeroDivisionError), attached(spec, maps):
        raise ZeroDivisionError
    assert torch.equal(logits(model), plain)


def test_maps_read_only_the_located_heads() -> None:
    """By hand: the heads' own columns, down, up, added to the attention's output."""
    model = tiny_model("llama")
    spec = spec_for(model)
    maps = moved(headmap(spec, {1: (2,)}, 3, scaling=0.5))
    heads = torch.randn(1, 4, spec.heads * spec.head_dim)
    down, up = maps.down["1"], maps.up["1"]
    own = heads[..., 2 * spec.head_dim : 3 * spec.head_dim]
    by_hand = 0.5 * ((own @ down.weight.T + down.bias) @ up.weight.T + up.bias)
    assert torch.allclose(maps.added(1, heads), by_hand, atol=1e-5)
    with pytest.raises(ValueError, match="not within the model"):
        headmap(spec, {0: (99,)}, 3)


def test_lora_beside_has_no_more_parameters() -> None:
    spec = spec_for(tiny_model("llama"))
    maps = headmap(spec, LOCATED, 16)
    lora = lora_beside(spec, maps)
    assert 0.5 * maps.parameters_count < lora.parameters_count <= maps.parameters_count
    assert set(lora.config.columns) == set(LOCATED)


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_training_learns_a_task_and_leaves_the_model_alone(kind: str, tmp_path: Path) -> None:
    model, tokenizer = tiny_model(kind), byte_tokenizer()
    spec = spec_for(model)
    before = {name: tensor_digest(value) for name, value in model.state_dict().items()}
    torch.manual_seed(1)
    maps = headmap(spec, {0: (0, 1), 1: (0, 1), 2: (0, 1)}, 8)
    losses = train_maps(model, tokenizer, maps, ITEMS, TaskSettings(epochs=60, batch=4, rate=0.02))
    assert losses[-1] < 0.5 * losses[0]
    assert {name: tensor_digest(value) for name, value in model.state_dict().items()} == before
    assert all(parameter.grad is None for parameter in model.parameters())
    save_maps(maps, tmp_path, "digest", {"items": len(ITEMS)})
    with attached(spec, load_maps(tmp_path, "digest")):
        assert all(choice.is_right for choice in choices(model, tokenizer, ITEMS, rows=3))
        enhanced = logits(model)
    with attached(spec, maps):
        assert torch.allclose(logits(model), enhanced)
    with pytest.raises(DeltaMismatch):
        load_maps(tmp_path, "another")
    file = tmp_path / "maps.safetensors"
    file.write_bytes(file.read_bytes()[:-4] + b"\xff" * 4)
    with pytest.raises(DeltaDamaged):
        load_maps(tmp_path, "digest")
    with pytest.raises(ValueError, match="nothing"):
        train_maps(model, tokenizer, maps, [], TaskSettings())


class Ended(Exception):
    pass


def test_a_training_that_was_ended_goes_on_as_if_it_had_not(tmp_path: Path) -> None:
    model, tokenizer = tiny_model("llama"), byte_tokenizer()
    spec, settings = spec_for(model), TaskSettings(epochs=24, batch=4, rate=0.02)

    def fresh() -> SideMaps:
        torch.manual_seed(1)
        return headmap(spec, {0: (0, 1), 1: (0, 1)}, 4)

    calls = [0]

    def ending(what: str, share: float) -> None:
        calls[0] += 1
        if calls[0] == 16:
            raise Ended

    whole, first, second = fresh(), fresh(), fresh()
    losses = train_maps(model, tokenizer, whole, ITEMS, settings)
    kept = Checkpoint(tmp_path / "state.safetensors", run_name(first, ITEMS, settings, "m"))
    with pytest.raises(Ended):
        train_maps(model, tokenizer, first, ITEMS, settings, ending, kept)
    calls[0] = 100
    assert train_maps(model, tokenizer, second, ITEMS, settings, ending, kept) == pytest.approx(
        losses, rel=1e-3
    )
    assert calls[0] == 114  # ten steps were not made again
    for one, other in zip(whole.parameters(), second.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-4)
    assert run_name(first, ITEMS[:1], settings, "m") != kept.run
    other_run = Checkpoint(kept.path, "another")
    assert (
        len(
            train_maps(
                model, tokenizer, fresh(), ITEMS, TaskSettings(epochs=2, batch=4), checkpoint=other_run
            )
        )
        == 2
    )


def test_choices_are_judged_by_the_mean_of_their_tokens() -> None:
    """By hand, one choice at a time; tails of different lengths, some with a common beginning."""
    model, tokenizer = tiny_model("llama"), byte_tokenizer()
    items = [TaskItem("Which?", answer, ("ab", "ac", "abc", "d")) for answer in ("ab", "d")]
    items.append(TaskItem("And another, longer one?", "x", ("x", "y")))
    prompts = PromptEncoder(tokenizer)
    found = choices(model, tokenizer, items, rows=2)
    for item, choice in zip(items, found, strict=True):
        by_hand = {}
        for each in item.choices:
            head, tail = prompts.encode_pair(item.text, " " + each)
            with torch.no_grad():
                said = model(input_ids=torch.tensor([[*head, *tail]])).logits[0].log_softmax(-1)
            places = range(len(head) - 1, len(head) + len(tail) - 1)
            by_hand[each] = sum(float(said[at, token]) for at, token in zip(places, tail, strict=True)) / len(
                tail
            )
        assert choice.answer == max(by_hand, key=by_hand.__getitem__)
        assert choice.loss == pytest.approx(-by_hand[item.answer], abs=1e-4)
        assert choice.is_right == (choice.answer == item.answer)
    with pytest.raises(ValueError, match="none of the choices"):
        choices(model, tokenizer, [TaskItem("Which?", "z", ("a", "b"))])


@pytest.mark.parametrize(
    "line",
    [
        "[]",
        '{"text": "x", "answer": "y"}',
        '{"text": "x", "answer": "y", "choices": ["a", "b"]}',
        '{"text": "x", "answer": "a", "choices": ["a"]}',
        '{"text": "x", "answer": "a", "choices": "ab"}',
        '{"text": 1, "answer": "a", "choices": ["a", "b"]}',
        "{",
    ],
)
def test_a_task_names_the_line_that_is_wrong(tmp_path: Path, line: str) -> None:
    file = tmp_path / "task.jsonl"
    good = '{"text": "Is 3 odd?", "answer": "yes", "choices": ["yes", "no"]}'
    file.write_text(f"{good}\n\n{line}\n")
    with pytest.raises(ValueError, match=r"task\.jsonl, line 3"):
        read_task(file)
    file.write_text(good)
    assert read_task(file) == [TaskItem("Is 3 odd?", "yes", ("yes", "no"))]
    # These end a line for str.splitlines, and not in JSON.
    file.write_text(good.replace("3", "\u2028\u0085") + "\n" + good, encoding="utf-8")
    assert [item.text for item in read_task(file)] == ["Is \u2028\u0085 odd?", "Is 3 odd?"]


@pytest.mark.parametrize("where", list(Where))
def test_attached_maps_can_be_silent_for_a_thread(where: Where) -> None:
    model = tiny_model("llama")
    spec = spec_for(model)
    plain, maps = logits(model), moved(headmap(spec, LOCATED, 3, where=where))
    with attached(spec, maps):
        enhanced = logits(model)
        with maps.silent():
            assert torch.equal(logits(model), plain)
            with ThreadPoolExecutor(1) as pool:  # another thread hears them
                assert torch.equal(pool.submit(logits, model).result(), enhanced)
        assert torch.equal(logits(model), enhanced)


def test_a_layer_that_is_passed_by_adds_nothing() -> None:
    """Not even what a forward that broke off inside of it left waiting."""
    model = tiny_model("llama")
    spec, maps = spec_for(model), moved(headmap(spec_for(model), LOCATED, 3, where=Where.LAYER))
    with bypassed(spec, LOCATED):
        expected = logits(model)

    def fail(*_: Any) -> None:
        raise ZeroDivisionError

    with attached(spec, maps):
        enhanced = logits(model)
        with bypassed(spec, LOCATED):
            assert torch.equal(logits(model), expected)
        undo = spec.mlp(1).register_forward_hook(fail)
        with pytest.raises(ZeroDivisionError):
            logits(model)
        undo.remove()
        with bypassed(spec, LOCATED):
            assert torch.equal(logits(model), expected)
        assert torch.equal(logits(model), enhanced)


@pytest.mark.parametrize("kind", ["gpt2", "llama"])  # layers that answer with a tuple or not
def test_a_forward_from_the_trunk_does_not_add_the_maps_again(kind: str) -> None:
    model = tiny_model(kind)
    spec, maps = spec_for(model), moved(headmap(spec_for(model), LOCATED, 3, where=Where.LAYER))
    mask = torch.ones_like(IDS)
    with attached(spec, maps), torch.no_grad():
        trunk = run_trunk(model, 2, input_ids=IDS, attention_mask=mask)
        with from_trunk(model, trunk):
            resumed = logits(model)
        assert torch.equal(resumed, logits(model))


def test_maps_and_facts_go_together() -> None:
    model = tiny_model("llama")
    spec, adapter = spec_for(model), RandomAdapter.of(model)
    facts = KVBatch.pack([[adapter.fact("a", 3)]], adapter.layers)
    maps = moved(headmap(spec, dict.fromkeys(adapter.layers, (0, 1)), 3))
    seen = []
    for with_maps in (False, True):
        for with_facts in (False, True):
            with torch.no_grad():
                if with_maps and with_facts:
                    with attached(spec, maps), inject(model, adapter, facts):
                        seen.append(logits(model))
                elif with_maps:
                    with attached(spec, maps):
                        seen.append(logits(model))
                elif with_facts:
                    with inject(model, adapter, facts):
                        seen.append(logits(model))
                else:
                    seen.append(logits(model))
    for at, one in enumerate(seen):
        for other in seen[at + 1 :]:
            assert not torch.allclose(one, other, atol=1e-4)
    assert torch.equal(logits(model), seen[0])
