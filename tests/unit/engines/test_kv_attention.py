"""Injection against the slow reference, for every listed architecture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from slow_reference import reference_greedy, reference_logits
from tiny_models import CONFIGS, RandomAdapter, tiny_model
from torch import Tensor
from transformers import DynamicCache

from engines import kv_attention
from engines.architectures import ARCHITECTURES, spec_for
from engines.contract import InjectedFact
from engines.decoding import left_padded, positions
from engines.errors import UnsupportedModel
from engines.kv_attention import AttentionRecord, KVBatch, inject, require_injectable

TOLERANCE = 1e-4
CPU = torch.device("cpu")
PROMPTS = [
    [10, 20, 30, 40, 50, 60, 70, 80, 90],
    [11, 21],
    [12, 22, 32, 42, 52, 62, 72],
    [7],
    [13, 23, 33, 43, 53],
]


def mixed_facts(adapter: RandomAdapter) -> list[list[InjectedFact]]:
    """No, one and many facts, of different lengths."""
    many = [adapter.fact(f"m{i}", tokens=1 + i % 3, bias=0.5 * i - 1) for i in range(5)]
    return [many, [], [adapter.fact("one", 3)], [adapter.fact("a", 1, 2.0), adapter.fact("b")], []]


def forward(model: Any, prompts: Sequence[Sequence[int]]) -> Tensor:
    ids, mask = left_padded(prompts, CPU)
    logits: Tensor = model(
        input_ids=ids, attention_mask=mask, position_ids=positions(mask), use_cache=False
    ).logits
    return logits


@pytest.fixture(params=sorted(ARCHITECTURES))
def kind(request: pytest.FixtureRequest) -> str:
    """Every listed architecture: one without a tiny configuration fails."""
    return str(request.param)


def test_the_reference_is_the_plain_model_when_there_are_no_facts(kind: str) -> None:
    model = tiny_model(kind)
    for prompt in PROMPTS:
        plain = model(input_ids=torch.tensor([prompt])).logits[0]
        assert (reference_logits(model, prompt) - plain).abs().max() < TOLERANCE


@torch.inference_mode()
def test_a_left_padded_batch_with_different_facts_equals_the_reference(kind: str) -> None:
    model = tiny_model(kind)
    adapter = RandomAdapter.of(model)
    facts = mixed_facts(adapter)
    with inject(model, adapter, KVBatch.pack(facts, adapter.layers)):
        logits = forward(model, PROMPTS)
    assert not logits.isnan().any()
    for row, prompt in enumerate(PROMPTS):
        wanted = reference_logits(model, prompt, adapter, facts[row]).log_softmax(-1)
        got = logits[row, -len(prompt) :].log_softmax(-1)
        assert (got - wanted).abs().max() < TOLERANCE
        if facts[row]:
            assert (wanted - reference_logits(model, prompt).log_softmax(-1)).abs().max() > 0.01


@torch.inference_mode()
def test_facts_are_seen_from_a_column_on_and_by_nothing_before(kind: str) -> None:
    model = tiny_model(kind)
    adapter = RandomAdapter.of(model)
    facts = mixed_facts(adapter)
    length = max(map(len, PROMPTS))
    since = [length - 3, 0, length - 1, length - 1, length]
    plain = forward(model, PROMPTS)
    record = AttentionRecord(full=True)
    with inject(model, adapter, KVBatch.pack(facts, adapter.layers).seen_from(since), record):
        logits = forward(model, PROMPTS)
    for row, prompt in enumerate(PROMPTS):
        first = max(0, since[row] - length + len(prompt))
        wanted = reference_logits(model, prompt, adapter, facts[row], since=first).log_softmax(-1)
        got = logits[row, -len(prompt) :].log_softmax(-1)
        assert (got - wanted).abs().max() < TOLERANCE
        before = slice(length - len(prompt), since[row])
        assert (logits[row, before] - plain[row, before]).abs().amax() < TOLERANCE if first else True
        for shares in record.probabilities.values():
            assert shares.shape[2] == length
            assert not shares[row, :, : since[row]].any()


@torch.inference_mode()
def test_rows_without_facts_are_the_plain_model_bit_for_bit(kind: str) -> None:
    model = tiny_model(kind)
    adapter = RandomAdapter.of(model)
    plain = forward(model, PROMPTS)
    with inject(model, adapter, KVBatch.pack(mixed_facts(adapter), adapter.layers)):
        mixed = forward(model, PROMPTS)
    assert torch.equal(mixed[1], plain[1])
    assert torch.equal(mixed[4], plain[4])
    assert not torch.equal(mixed[0], plain[0])
    with inject(model, adapter, KVBatch.pack([[] for _ in PROMPTS], adapter.layers)):
        assert torch.equal(forward(model, PROMPTS), plain)
    assert torch.equal(forward(model, PROMPTS), plain)


@torch.inference_mode()
def test_decoding_with_the_library_cache_equals_the_reference(kind: str) -> None:
    # The library's own cache: it forgets what lies outside a sliding window.
    model = tiny_model(kind)
    adapter = RandomAdapter.of(model)
    facts = mixed_facts(adapter)
    ids, mask = left_padded(PROMPTS, CPU)
    cache = DynamicCache(config=model.config)
    said: list[Tensor] = []
    scores: list[Tensor] = []
    batch = KVBatch.pack(facts, adapter.layers)
    for _ in range(5):
        columns = 1 if said else ids.shape[1]
        with inject(model, adapter, batch.seen_from([columns - 1] * len(PROMPTS))):
            logits = model(
                input_ids=ids if not said else said[-1][:, None],
                attention_mask=mask,
                position_ids=positions(mask)[:, -columns:],
                past_key_values=cache,
                use_cache=True,
            ).logits[:, -1]
        best = logits.log_softmax(-1).max(-1)
        said.append(best.indices)
        scores.append(best.values)
        mask = torch.nn.functional.pad(mask, (0, 1), value=1)
    for row, prompt in enumerate(PROMPTS):
        tokens, wanted = reference_greedy(model, prompt, adapter, facts[row], 5)
        assert [int(step[row]) for step in said] == tokens
        assert [float(step[row]) for step in scores] == pytest.approx(wanted, abs=TOLERANCE)


@torch.inference_mode()
def test_half_precision_stays_close_and_keeps_rows_without_facts(kind: str) -> None:
    model = tiny_model(kind)
    adapter = RandomAdapter.of(model)
    batch = KVBatch.pack(mixed_facts(adapter), adapter.layers)
    with inject(model, adapter, batch):
        wanted = forward(model, PROMPTS)[:, -1].log_softmax(-1)
    model.to(torch.bfloat16)
    plain = forward(model, PROMPTS)
    with inject(model, adapter, batch):
        logits = forward(model, PROMPTS)
    assert logits.dtype is torch.bfloat16
    assert torch.equal(logits[1], plain[1])
    assert (logits[:, -1].float().log_softmax(-1) - wanted).abs().mean() < 0.3


def test_gradients_equal_those_of_the_reference(kind: str) -> None:
    model = tiny_model(kind)
    prompt = PROMPTS[0]
    gradients = []
    for use_reference in (True, False):
        adapter = RandomAdapter.of(model)
        fact = adapter.fact("f", 3)
        trained = [fact.tokens.keys.requires_grad_(), fact.tokens.values.requires_grad_()]
        if use_reference:
            logits = reference_logits(model, prompt, adapter, [fact])
        else:
            batch = KVBatch(
                keys={layer: fact.tokens.keys[i][None] for i, layer in enumerate(adapter.layers)},
                values={layer: fact.tokens.values[i][None] for i, layer in enumerate(adapter.layers)},
                bias=torch.zeros(1, 3),
            )
            with inject(model, adapter, batch):
                logits = model(input_ids=torch.tensor([prompt])).logits[0]
        logits.log_softmax(-1)[-1, 5].backward()
        gradients.append([tensor.grad for tensor in (*trained, *adapter.parameters())])
    for wanted, got in zip(*gradients, strict=True):
        assert wanted.abs().max() > 0
        assert torch.allclose(got, wanted, atol=TOLERANCE * max(1.0, float(wanted.abs().max())))


def test_nothing_is_left_behind_when_the_forward_fails(kind: str) -> None:
    model = tiny_model(kind)
    adapter = RandomAdapter.of(model)
    plain = forward(model, PROMPTS[:1])
    before = _traces(model)

    class Broken(RandomAdapter):
        def query(self, layer: int, residual: Tensor) -> Tensor:
            if layer == self.layers[-1]:
                raise ArithmeticError("on purpose")
            return super().query(layer, residual)

    broken = Broken.of(model)
    batch = KVBatch.pack([[adapter.fact("a")]], adapter.layers)
    with pytest.raises(ArithmeticError, match="on purpose"), inject(model, broken, batch):
        forward(model, PROMPTS[:1])
    assert _traces(model) == before
    assert torch.equal(forward(model, PROMPTS[:1]), plain)


def _traces(model: Any) -> list[Any]:
    """Everything that injection touches."""
    spec = spec_for(model)
    return [
        model.config._attn_implementation,
        sorted(model.__dict__),
        [len(module._forward_pre_hooks) for module in model.modules()],
        [sorted(spec.attention(layer).__dict__) for layer in range(len(spec.layers))],
    ]


def test_both_attention_implementations_agree() -> None:
    logits = []
    for implementation in ("sdpa", "eager"):
        model = tiny_model("llama", attn_implementation=implementation)
        adapter = RandomAdapter.of(model)
        with inject(model, adapter, KVBatch.pack(mixed_facts(adapter), adapter.layers)):
            logits.append(forward(model, PROMPTS)[:, -1].log_softmax(-1))
    assert (logits[0] - logits[1]).abs().max() < TOLERANCE


def test_two_models_do_not_disturb_each_other() -> None:
    first, second = tiny_model("llama"), tiny_model("llama", seed=1)
    adapter = RandomAdapter.of(first)
    batch = KVBatch.pack([[adapter.fact("a")]], adapter.layers)
    plain = forward(second, PROMPTS[:1])
    with inject(first, adapter, batch):
        assert torch.equal(forward(second, PROMPTS[:1]), plain)
        with inject(second, adapter, batch):
            assert not torch.equal(forward(second, PROMPTS[:1]), plain)


def test_injecting_twice_into_one_model_is_refused() -> None:
    model = tiny_model("llama")
    adapter = RandomAdapter.of(model)
    batch = KVBatch.pack([[adapter.fact("a")]], adapter.layers)
    with inject(model, adapter, batch):
        with pytest.raises(RuntimeError, match="already"), inject(model, adapter, batch):
            pass
        forward(model, PROMPTS[:1])
    before = _traces(tiny_model("llama"))
    assert _traces(model) == before


def test_a_batch_of_facts_must_have_a_row_for_every_request() -> None:
    model = tiny_model("llama")
    adapter = RandomAdapter.of(model)
    batch = KVBatch.pack([[adapter.fact("a")], [adapter.fact("b")]], adapter.layers)
    with pytest.raises(ValueError, match="2 requests, a forward of 3"), inject(model, adapter, batch):
        forward(model, PROMPTS[:3])


@torch.inference_mode()
def test_shared_facts_are_stored_once_and_mean_the_same() -> None:
    model = tiny_model("llama")
    adapter = RandomAdapter.of(model)
    facts = [adapter.fact("a"), adapter.fact("b", 3, bias=1.0)]
    shared = KVBatch.pack([facts, list(facts)], adapter.layers)
    assert shared.keys[1].shape[0] == 1
    copies = [InjectedFact(adapter.fact("a").tokens), InjectedFact(adapter.fact("b", 3).tokens, 1.0)]
    apart = KVBatch.pack([facts, copies], adapter.layers)
    assert apart.keys[1].shape[0] == 2
    logits = []
    for batch in (shared, apart):
        with inject(model, adapter, batch):
            logits.append(forward(model, PROMPTS[:2]))
    assert torch.allclose(*logits, atol=1e-5)


@torch.inference_mode()
def test_long_prompts_are_read_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model("mistral")
    adapter = RandomAdapter.of(model)
    batch = KVBatch.pack(mixed_facts(adapter), adapter.layers)
    results = []
    for block in (512, 2):
        monkeypatch.setattr(kv_attention, "_BLOCK", block)
        record = AttentionRecord(positions=3)
        with inject(model, adapter, batch, record):
            results.append((forward(model, PROMPTS), record.mass[3]))
    (whole, whole_mass), (blocks, block_mass) = results
    assert torch.allclose(whole, blocks, atol=1e-5)
    assert torch.allclose(whole_mass, block_mass, atol=1e-6)


@torch.inference_mode()
def test_the_record_says_where_attention_fell() -> None:
    model = tiny_model("llama")
    adapter = RandomAdapter.of(model)
    facts = mixed_facts(adapter)
    batch = KVBatch.pack(facts, adapter.layers)
    record = AttentionRecord(full=True, positions=2)
    with inject(model, adapter, batch, record):
        forward(model, PROMPTS)
    assert sorted(record.mass) == sorted(record.probabilities) == [1, 3]
    full = record.probabilities[3]
    assert full.shape == (5, 4, 9, batch.bias.shape[1])
    assert torch.allclose(record.mass[3], full.mean(1)[:, -2:])
    hidden = batch.bias == float("-inf")
    assert full.transpose(1, 3)[hidden].abs().sum() == 0
    assert batch.owner is not None
    by_fact = record.by_fact(batch.owner, 5)
    assert by_fact.shape == (5, 2, 5)
    expected = sum(record.mass[layer][0, 1, :1].sum() for layer in (1, 3)) / 2
    assert float(by_fact[0, 1, 0]) == pytest.approx(float(expected))
    assert by_fact[1].abs().sum() == 0
    assert 0 < float(by_fact[0, 1].sum()) < 1


def test_every_architecture_has_a_tiny_model() -> None:
    assert set(CONFIGS) == set(ARCHITECTURES)


def test_attention_that_would_not_be_exact_is_refused() -> None:
    capped = tiny_model("gemma2", attn_implementation="sdpa")
    with pytest.raises(UnsupportedModel, match="attn_implementation='eager'"):
        require_injectable(capped)
    require_injectable(tiny_model("gemma2", attn_implementation="sdpa", attn_logit_softcapping=None))
    other = tiny_model("llama")
    other.config._attn_implementation = "flex_attention"
    with pytest.raises(UnsupportedModel, match="sdpa or eager"):
        require_injectable(other)


def test_dropout_is_refused() -> None:
    model = tiny_model("llama", attention_dropout=0.5).train()
    adapter = RandomAdapter.of(model)
    batch = KVBatch.pack([[adapter.fact("a")]], adapter.layers)
    with pytest.raises(ValueError, match="dropout"), inject(model, adapter, batch):
        forward(model, PROMPTS[:1])
