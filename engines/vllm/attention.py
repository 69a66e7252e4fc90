"""Attention over [fact tokens ; paged context] in one softmax, as one opaque operation inside vLLM's graph.

vLLM's own kernel attends to the context. Attention to the facts is a second part, and the two are merged by the
logarithms of their sums (log-sum-exp): exactly one softmax over both. The kernels do not all give that logarithm for
the context, and cache layouts differ by processor, so the keys of requests with facts are kept a second time, in a
plain layout, in the layers where facts are attended to; from them it is computed.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from engines.vllm.plan import Group

_BLOCK = 256  # positions of a prompt at a time: bounds memory


class ContextKeys:
    """The context's keys of one layer: [blocks, kv heads, block, head dim], filled beside vLLM's own cache."""

    def __init__(self, blocks: int, block: int, kv_heads: int, head_dim: int, like: Tensor) -> None:
        self.keys = torch.zeros(blocks, kv_heads, block, head_dim, dtype=like.dtype, device=like.device)

    @property
    def block(self) -> int:
        """Tokens of a block."""
        return self.keys.shape[2]

    def store(self, slots: Tensor, keys: Tensor) -> None:
        """Keys [tokens, kv heads, head dim] at vLLM's slots."""
        self.keys[slots // self.block, :, slots % self.block] = keys

    def decode_sums(self, query: Tensor, blocks: Tensor, positions: Tensor, rules: ScoreRules) -> Tensor:
        """Log-sum-exp [requests, kv heads, group] of one position per request.

        query [requests, kv heads, group, head dim], blocks [requests, n], positions [requests]."""
        held = self.keys[blocks].float()
        logits = rules.scored(query[:, None] @ held.transpose(-1, -2))
        places = torch.arange(blocks.shape[1] * self.block, device=query.device)
        seen = rules.sees(positions[:, None], places[None])
        seen = seen.view(len(blocks), blocks.shape[1], 1, 1, self.block)
        return logits.masked_fill_(~seen, float("-inf")).logsumexp((1, 4))

    def prompt_sums(self, query: Tensor, blocks: Tensor, positions: Tensor, rules: ScoreRules) -> Tensor:
        """Log-sum-exp [kv heads, length, group] of a chunk of one request.

        query [kv heads, length, group, head dim], blocks [n], positions [length]."""
        kv_heads, length, group, size = query.shape
        held = self.keys[blocks].float().transpose(0, 1).reshape(kv_heads, -1, size)
        logits = rules.scored(query.reshape(kv_heads, length * group, size) @ held.transpose(-1, -2))
        places = torch.arange(held.shape[1], device=query.device)
        seen = rules.sees(positions[:, None], places[None])[None, :, None]
        logits = logits.view(kv_heads, length, group, -1)
        return logits.masked_fill_(~seen, float("-inf")).logsumexp(-1)


class ScoreRules:
    """How a layer's own attention scores its context."""

    def __init__(self, scale: float, softcap: float, window: int | None) -> None:
        self._scale, self._softcap, self._window = scale, softcap, window

    def scored(self, products: Tensor) -> Tensor:
        """Logits of query-key products."""
        logits = products.mul_(self._scale)
        return torch.tanh(logits / self._softcap) * self._softcap if self._softcap else logits

    def sees(self, query: Tensor, key: Tensor) -> Tensor:
        """Whether the position `query` sees the position `key`."""
        seen = key <= query
        return seen if self._window is None else seen & (key > query - self._window)


def merge(group: Group, at: int, query: Tensor, head_bias: Tensor, context: Tensor, output: Tensor) -> None:
    """Takes the facts into the attention output of a group's tokens, in place.

    `at`: the layer's place among the adapter's. query: [requests, kv heads, length, group, head dim], not rotated.
    head_bias: [kv heads, group]. context: log-sum-exp of the context [requests, kv heads, length, group].
    output: [tokens of the step, heads, head dim].
    """
    requests, kv_heads, length, heads, size = query.shape
    keys, values = group.packed.keys[at], group.packed.values[at]
    flat = query.reshape(requests, kv_heads, length * heads, size)
    logits = (flat @ keys.transpose(-1, -2)).mul_(size**-0.5)
    logits = logits.view(requests, kv_heads, length, heads, -1)
    logits = logits + head_bias[None, :, None, :, None] + group.bias[:, None, :, None]
    # A request that sees no fact any more has logits of -inf only: its share is 0 and its output stays as it is.
    top = logits.amax(-1, keepdim=True).clamp_min(torch.finfo(torch.float32).min)
    weights = torch.exp(logits - top)
    total = weights.sum(-1)
    facts = top[..., 0] + torch.log(total)
    said = weights.view(requests, kv_heads, length * heads, -1) @ values
    said = said.view(requests, kv_heads, length, heads, size)
    said = said / total.clamp_min(torch.finfo(torch.float32).tiny)[..., None]
    share = torch.sigmoid(facts - context)
    rows = group.rows
    own = output[rows].view(requests, length, kv_heads, heads, size).permute(0, 2, 1, 3, 4).float()
    joint = torch.lerp(own, said, share[..., None])
    output[rows] = joint.permute(0, 2, 1, 3, 4).reshape(-1, kv_heads * heads, size).to(output.dtype)
    each = weights * (share / total.clamp_min(torch.finfo(torch.float32).tiny))[..., None]
    group.masses.append(each.mean((1, 3)))


def context_sums(keys: ContextKeys, group: Group, query: Tensor, metadata: Any, rules: ScoreRules) -> Tensor:
    """Log-sum-exp of the context [requests, kv heads, length, group] for rotated queries of the same shape
    and a head dimension."""
    if query.shape[2] == 1:
        blocks = _blocks(metadata.block_table[group.requests], group.last, keys.block)
        return keys.decode_sums(query[:, :, 0].float(), blocks, group.positions[:, 0], rules)[:, :, None]
    parts = []
    table = metadata.block_table[group.requests[0]]
    length = query.shape[2]
    for start in range(0, length, _BLOCK):
        span = slice(start, start + _BLOCK)
        positions = group.positions[0, span]
        blocks = _blocks(table, group.last - max(0, length - start - _BLOCK), keys.block)
        parts.append(keys.prompt_sums(query[0, :, span].float(), blocks, positions, rules))
    return torch.cat(parts, dim=1)[None]


def _blocks(table: Tensor, last: int, block: int) -> Tensor:
    return table[..., : last // block + 1].long()
