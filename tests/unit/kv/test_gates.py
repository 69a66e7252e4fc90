"""Gates: exact where they are open or closed, trained by a price, and gone without a trace in what is exported."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from lessons import Same
from torch import Tensor

from editors.kv.contract import Evidence, FactText
from editors.kv.encoder import KVEncoder
from editors.kv.gate_training import GateSettings, train_gates
from editors.kv.gates import GatedEncoder, HeadGates, NothingOpen, pruned
from editors.kv.meaning import Meaning
from editors.kv.problems import Problem, Question
from editors.kv.storage import load_weights, save_encoder
from editors.kv.trained import compile_facts
from engines.contract import InjectedFact, KVAdapter
from engines.kv_attention import AttentionRecord, KVBatch, inject

FACTS = (
    FactText("a@1", "Anna Keller", "employer", "Norwind Shipping"),
    FactText("b@1", "Tom Berg", "colour", "green"),
)
PROBLEM = Problem(
    FACTS,
    (
        Question("The employer of Anna Keller is", "The employer of Anna Keller is", 0, (0, 1), " . The"),
        Question("The colour of Tom Berg is", "The colour of Tom Berg is", 1, (1, 0)),
        Question("The colour of Anna Keller is", "The colour of Anna Keller is", 0, (1,)),
    ),
)


def undecided(prompts: Sequence[str], facts: Sequence[FactText], meaning: Meaning) -> list[list[Evidence]]:
    return [[Evidence(1.0, 0.5, 0.75, -2.0) for _ in facts] for _ in prompts]


def lively(encoder: KVEncoder) -> KVEncoder:
    """With biases that make facts matter."""
    with torch.no_grad():
        for bias in encoder.bias.values():
            bias.copy_(torch.linspace(1.0, 2.0, len(bias)))
    return encoder.eval().requires_grad_(False)


@torch.no_grad()
def answer(model: Any, tokenizer: Any, adapter: KVEncoder, record: AttentionRecord | None = None) -> Tensor:
    """Logits with the facts compiled and packed as an engine does it."""
    compiled = compile_facts(adapter, model, tokenizer, FACTS)
    batch = KVBatch.pack([[InjectedFact(tokens, 0.5) for tokens in compiled]], adapter.layers)
    ids = torch.tensor([tokenizer("The employer of Anna Keller is").input_ids])
    with inject(model, adapter, batch, record):
        logits: Tensor = model(input_ids=ids, use_cache=False).logits
    return logits


def test_open_gates_change_nothing(model: Any, tokenizer: Any, encoder: KVEncoder) -> None:
    gated = GatedEncoder(lively(encoder)).eval()
    assert torch.equal(gated.gates.values(), torch.ones(2, 4))
    assert torch.equal(answer(model, tokenizer, gated), answer(model, tokenizer, encoder))
    assert gated.open_heads() == {1: (0, 1, 2, 3), 3: (0, 1, 2, 3)}


def test_closed_heads_do_not_see_facts_and_others_do(model: Any, tokenizer: Any, encoder: KVEncoder) -> None:
    gated = GatedEncoder(lively(encoder)).eval()
    gated.keep_only({1: (2,), 3: (0, 3)})
    record = AttentionRecord(full=True)
    assert answer(model, tokenizer, gated, record).isfinite().all()
    share = {layer: found.sum(-1)[0, :, -1] for layer, found in record.probabilities.items()}
    assert (share[1] > 0).tolist() == [False, False, True, False]
    assert (share[3] > 0).tolist() == [True, False, False, True]


def test_without_an_open_head_the_model_is_the_plain_model(
    model: Any, tokenizer: Any, encoder: KVEncoder
) -> None:
    gated = GatedEncoder(lively(encoder)).eval()
    gated.keep_only({})
    ids = torch.tensor([tokenizer("The employer of Anna Keller is").input_ids])
    plain = model(input_ids=ids, use_cache=False).logits
    torch.testing.assert_close(answer(model, tokenizer, gated), plain)
    assert gated.open_heads() == {}
    with pytest.raises(NothingOpen):
        pruned(gated)


def test_half_open_gate_halves_the_odds(model: Any, tokenizer: Any, encoder: KVEncoder) -> None:
    """log(1/2) on all logits: facts have half the odds against the context."""
    gated = GatedEncoder(lively(encoder)).eval()
    gated.keep_only({1: (0,)})
    before, after = AttentionRecord(full=True), AttentionRecord(full=True)
    answer(model, tokenizer, gated, before)
    with torch.no_grad():
        gated.gates.location[0, 0] = 0.0
    assert float(gated.gates.values()[0, 0].detach()) == pytest.approx(0.5)
    answer(model, tokenizer, gated, after)
    whole, half = (float(record.probabilities[1][0, 0, -1].sum()) for record in (before, after))
    assert half / (1 - half) == pytest.approx(whole / (1 - whole) / 2, rel=1e-4)


def test_expected_open_is_how_often_drawn_gates_are_open() -> None:
    torch.manual_seed(0)
    gates = HeadGates(1, 3).train()
    with torch.no_grad():
        gates.location.copy_(torch.tensor([[-3.0, -1.0, 1.0]]))
    drawn = []
    for _ in range(4000):
        gates.draw()
        drawn.append(gates.values().detach())
    values = torch.cat(drawn)
    torch.testing.assert_close((values > 0).float().mean(0), gates.expected_open()[0], atol=0.03, rtol=0)
    assert values.min() == 0
    assert values.max() == 1


def test_gradient_of_a_closed_gate_is_a_number(encoder: KVEncoder) -> None:
    gated = GatedEncoder(lively(encoder)).eval()
    with torch.no_grad():
        gated.gates.location[0] = torch.tensor([-5.0, 0.5, 0.5, 0.5])
    bias = gated.head_bias(1)
    assert bias[0] == -math.inf
    torch.cat([bias, torch.zeros(1)]).softmax(-1)[-1].backward()  # type: ignore[no-untyped-call]
    slope = gated.gates.location.grad
    assert slope is not None
    assert slope[0, 0] == 0
    assert (slope[0, 1:] != 0).all()


def test_the_price_closes_heads_and_only_gates_learn(model: Any, tokenizer: Any, encoder: KVEncoder) -> None:
    gated = GatedEncoder(lively(encoder))
    settings = GateSettings(steps=30, penalty=5.0, learning_rate=0.4)
    curve = train_gates(gated, model, tokenizer, Same(PROBLEM), undecided, settings)
    assert curve[-1]["open"] < curve[0]["open"] / 2
    assert len([head for heads in gated.open_heads().values() for head in heads]) < 8
    assert all(torch.equal(gated.state_dict()[name], value) for name, value in encoder.state_dict().items())
    assert not gated.training


def test_without_a_price_and_with_a_pinned_choice_the_encoder_learns(
    model: Any, tokenizer: Any, encoder: KVEncoder
) -> None:
    gated = GatedEncoder(lively(encoder))
    chosen = {1: (0, 2), 3: (1,)}
    gated.keep_only(chosen)
    settings = GateSettings(
        steps=30, penalty=0.0, learning_rate=0.0, map_learning_rate=5e-3, bias_learning_rate=2e-2
    )
    curve = train_gates(gated, model, tokenizer, Same(PROBLEM), undecided, settings)
    assert curve[-1]["said"] < curve[0]["said"]
    assert gated.open_heads() == chosen
    learned, given = gated.state_dict(), encoder.state_dict()
    assert not torch.equal(learned["value.1.weight"], given["value.1.weight"])
    assert torch.equal(gated.prior.weights, encoder.prior.weights)


def test_nothing_to_train_is_refused(model: Any, tokenizer: Any, encoder: KVEncoder) -> None:
    with pytest.raises(ValueError, match="nothing to train"):
        train_gates(
            GatedEncoder(encoder),
            model,
            tokenizer,
            Same(PROBLEM),
            undecided,
            GateSettings(learning_rate=0.0),
        )


@pytest.mark.parametrize("kept", [{1: (1,), 3: (0, 2)}, {3: (3,)}])
def test_pruned_encoder_is_the_gated_one_and_survives_the_disk(
    model: Any, tokenizer: Any, encoder: KVEncoder, tmp_path: Path, kept: dict[int, tuple[int, ...]]
) -> None:
    gated = GatedEncoder(lively(encoder)).eval()
    gated.keep_only(kept)
    wanted = answer(model, tokenizer, gated)
    small = pruned(gated.train())
    adapter: KVAdapter = small
    assert adapter.layers == tuple(kept)
    torch.testing.assert_close(answer(model, tokenizer, small), wanted)
    tokens = compile_facts(small, model, tokenizer, FACTS)[0]
    assert tokens.keys.shape[0] == len(kept)
    save_encoder(small, tmp_path, {"model": "tiny"})
    loaded, _ = load_weights(tmp_path)
    torch.testing.assert_close(answer(model, tokenizer, loaded), wanted, atol=2e-3, rtol=1e-2)
    closed = [head for head in range(4) if head not in kept[3]]
    assert all(loaded.head_bias(3)[head] == -math.inf for head in closed)
