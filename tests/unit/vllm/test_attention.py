"""Two partial attentions, merged, are one softmax over facts and context."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from engines.vllm.attention import ContextKeys, ScoreRules, context_logits, kernel_logits, merge
from engines.vllm.flash_sums import FlashSums
from engines.vllm.plan import Planner, Span
from engines.vllm.request_facts import EXTRA, HIDDEN, RequestFacts, extra_arguments
from engines.vllm.row_table import RowTable

_KV_HEADS, _GROUP, _SIZE, _BLOCK = 2, 3, 8, 4
_HEADS = _KV_HEADS * _GROUP
_CPU = torch.device("cpu")


class _World:
    """A step of three requests that decode and one that reads a chunk, with paged keys and values of contexts."""

    def __init__(self, window: int | None, softcap: float) -> None:
        torch.manual_seed(0)
        self.rules = ScoreRules(0.3, softcap, window)
        self.window, self.softcap = window, softcap
        self.table = RowTable(1, _KV_HEADS, _SIZE, _CPU, torch.float32)
        self.planner = Planner(self.table, _CPU)
        # request: tokens in the step, position of the first of them, tokens of each fact
        shapes = [(1, 9, [2, 3]), (1, 0, [1]), (5, 6, [4, 2]), (1, 3, [20])]
        self.head_bias = torch.randn(_KV_HEADS, _GROUP)
        self.spans, at, slot = [], 0, 0
        for place, (length, base, counts) in enumerate(shapes):
            spans = []
            for count in counts:
                self.table.put(slot, *torch.randn(2, 1, count, _KV_HEADS, _SIZE))
                spans.append((slot, count))
                slot += count
            said = [(7,)] + [()] * (len(counts) - 1)
            bias = [0.5 - index for index in range(len(counts))]
            facts = RequestFacts.of(extra_arguments(str(place), "", spans, bias, said, base + 1)[EXTRA])
            if place == 0:
                facts.note([7, 1])  # its first fact is out of sight
            self.spans.append(Span(place, at, at + length, base, facts))
            at += length
        self.tokens = at
        self.query, self.kb_query = torch.randn(2, at, _HEADS, _SIZE)
        self.keys = [torch.randn(span.base + span.length, _KV_HEADS, _SIZE) for span in self.spans]
        self.values = [torch.randn(span.base + span.length, _KV_HEADS, _SIZE) for span in self.spans]

    def metadata(self, store: ContextKeys) -> SimpleNamespace:
        """Contexts in blocks that lie criss-cross."""
        blocks = torch.randperm(store.keys.shape[1])
        table = torch.zeros(len(self.spans), 4, dtype=torch.int32)
        used = 0
        for row, keys in enumerate(self.keys):
            needed = -(-len(keys) // _BLOCK)
            table[row, :needed] = blocks[used : used + needed]
            used += needed
            places = torch.arange(len(keys))
            store.store(table[row].long()[places // _BLOCK] * _BLOCK + places % _BLOCK, keys)
        return SimpleNamespace(block_table=table)

    def softmax(self, span: Span, token: int, head: int, with_facts: bool) -> tuple[Tensor, Tensor]:
        """Output and shares of the request's fact tokens, written out plainly."""
        position, kv = span.base + token, head // _GROUP
        keys, values = (
            self.keys[span.request][: position + 1, kv],
            self.values[span.request][: position + 1, kv],
        )
        logits = self.query[span.start + token, head] @ keys.T * 0.3
        if self.softcap:
            logits = torch.tanh(logits / self.softcap) * self.softcap
        if self.window is not None:
            logits[: max(0, position + 1 - self.window)] = float("-inf")
        if not with_facts:
            return logits.softmax(-1) @ values, torch.zeros(0)
        slots = span.facts.slots
        notes = self.kb_query[span.start + token, head] @ self.table.keys[0, kv, slots].T * _SIZE**-0.5
        notes = notes + self.head_bias[kv, head % _GROUP] + span.facts.biases(position, position + 1)[0]
        shares = torch.cat([notes, logits]).softmax(-1)
        return shares @ torch.cat([self.table.values[0, kv, slots], values]), shares[: len(slots)]


@pytest.mark.parametrize("turned", [False, True])  # a group's tokens follow each other, or they do not
@pytest.mark.parametrize(("window", "softcap"), [(None, 0.0), (3, 0.0), (None, 2.0)])
def test_the_merged_output_is_one_softmax(window: int | None, softcap: float, turned: bool) -> None:
    world = _World(window, softcap)
    store = ContextKeys(16, _BLOCK, _KV_HEADS, _SIZE, torch.zeros(0))
    metadata = world.metadata(store)
    output = torch.stack(
        [
            torch.stack([world.softmax(span, token, head, False)[0] for head in range(_HEADS)])
            for span in world.spans
            for token in range(span.length)
        ]
    )
    groups = world.planner.groups(world.spans[::-1] if turned else world.spans)
    assert sorted(len(group.spans) for group in groups) == [1, 1, 2]  # few tokens, many tokens, a chunk
    assert all(isinstance(group.rows, slice) for group in groups) != turned

    def grouped(states: Tensor) -> Tensor:
        parts = states[group.tokens.flatten()].view(*group.tokens.shape, _KV_HEADS, _GROUP, _SIZE)
        return parts.permute(2, 0, 1, 3, 4)

    for group in groups:
        context = context_logits(store, group, grouped(world.query), metadata, world.rules)
        merge(group, 0, grouped(world.kb_query), world.head_bias, context, output)
    for span in world.spans:
        for token in range(span.length):
            for head in range(_HEADS):
                wanted, _ = world.softmax(span, token, head, True)
                torch.testing.assert_close(output[span.start + token, head], wanted, atol=1e-5, rtol=1e-5)
    seen = 0
    for group in groups:
        for drawn in group.attention():
            span = next(span for span in world.spans if span.facts.name == drawn.name)
            facts, first, masses = span.facts, drawn.first, drawn.masses
            assert [shares[0] for shares in drawn.layers] == masses[-1]
            assert first == span.base
            for offset, mass in enumerate(masses):
                token = first + offset - span.base
                shares = torch.stack(
                    [world.softmax(span, token, head, True)[1] for head in range(_HEADS)]
                ).mean(0)
                wanted = torch.zeros(facts.count).index_add_(0, facts.owner, shares)
                torch.testing.assert_close(torch.tensor(mass), wanted, atol=1e-5, rtol=1e-5)
                seen += 1
    assert seen == sum(span.length for span in world.spans)


def test_what_a_kernel_says_of_the_context_is_what_the_kept_keys_say() -> None:
    world = _World(None, 0.0)
    store = ContextKeys(16, _BLOCK, _KV_HEADS, _SIZE, torch.zeros(0))
    metadata = world.metadata(store)
    said = torch.zeros(_HEADS, world.tokens)  # as FlashAttention lays it out
    for span in world.spans:
        for token in range(span.length):
            for head in range(_HEADS):
                keys = world.keys[span.request][: span.base + token + 1, head // _GROUP]
                logits = world.query[span.start + token, head] @ keys.T * 0.3
                said[head, span.start + token] = logits.logsumexp(-1)
    for group in world.planner.groups(world.spans):
        rotated = world.query[group.rows].view(*group.tokens.shape, _KV_HEADS, _GROUP, _SIZE)
        own = context_logits(store, group, rotated.permute(2, 0, 1, 3, 4), metadata, world.rules)
        told = kernel_logits(group, said, (_KV_HEADS, _GROUP))
        torch.testing.assert_close(told, own.logsumexp(-1, keepdim=True))


def test_only_a_kernel_that_is_known_is_asked() -> None:
    plain = {"vllm_flash_attn_version": 3, "alibi_slopes": None, "sinks": None, "dcp_world_size": 1}
    flash = type("FlashAttentionImpl", (SimpleNamespace,), {})
    assert FlashSums.of(SimpleNamespace(impl=flash(**plain))) is not None
    for change in ({"vllm_flash_attn_version": 4}, {"sinks": 1}, {"dcp_world_size": 2}, {"alibi_slopes": 1}):
        assert FlashSums.of(SimpleNamespace(impl=flash(**{**plain, **change}))) is None
    assert FlashSums.of(SimpleNamespace(impl=SimpleNamespace(**plain))) is None


def test_a_request_that_sees_no_fact_any_more_keeps_its_output_to_the_bit() -> None:
    world = _World(None, 0.0)
    span = world.spans[1]
    span.facts.later.append((0, torch.full_like(span.facts.bias, HIDDEN)))
    store = ContextKeys(16, _BLOCK, _KV_HEADS, _SIZE, torch.zeros(0))
    metadata = world.metadata(store)
    (group,) = world.planner.groups([span])
    output = torch.randn(world.tokens, _HEADS, _SIZE)
    before = output.clone()
    query = world.query[[span.start]].view(1, 1, _KV_HEADS, _GROUP, _SIZE).permute(2, 0, 1, 3, 4)
    context = context_logits(store, group, query, metadata, world.rules)
    merge(group, 0, query, world.head_bias, context, output)
    assert torch.equal(output, before)
    assert group.attention()[0].masses == [[0.0]]


def test_packed_tokens_follow_the_table() -> None:
    world = _World(None, 0.0)
    (group,) = world.planner.groups([world.spans[1]])
    again = world.planner.groups([world.spans[1]])[0]
    assert again.packed is group.packed  # kept while the same requests come together
    world.table.put(int(world.spans[1].facts.slots[0]), *torch.ones(2, 1, 1, _KV_HEADS, _SIZE))
    world.planner.forget()
    assert torch.equal(
        world.planner.groups([world.spans[1]])[0].packed.keys, torch.ones(1, _KV_HEADS, _SIZE, 1)
    )
