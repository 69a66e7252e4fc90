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
    """The context's keys of one layer: [kv heads, blocks, block, head dim], filled beside vLLM's own cache."""

    def __init__(self, blocks: int, block: int, kv_heads: int, head_dim: int, like: Tensor) -> None:
        self.keys = torch.zeros(kv_heads, blocks, block, head_dim, dtype=like.dtype, device=like.device)

    @property
    def block(self) -> int:
        """Tokens of a block."""
        return self.keys.shape[2]

    def store(self, slots: Tensor, keys: Tensor) -> None:
        """Keys [tokens, kv heads, head dim] at vLLM's slots."""
        self.keys.view(self.keys.shape[0], -1, self.keys.shape[3])[:, slots] = keys.transpose(0, 1)

    def sums(self, query: Tensor, blocks: Tensor, unseen: Tensor, rules: ScoreRules) -> Tensor:
        """Log-sum-exp [requests, kv heads, length, group] of a group's rotated queries.

        query [requests, kv heads, length, group, head dim], blocks [requests, n], unseen [requests, length, places]:
        0, or -inf where a position does not see a place."""
        requests, kv_heads, length, group, size = query.shape
        held = self.keys.index_select(1, blocks.flatten()).view(kv_heads * requests, -1, size).float()
        flat = query.transpose(0, 1).reshape(kv_heads * requests, length * group, size).float()
        logits = rules.scored(flat @ held.transpose(1, 2)).view(kv_heads, requests, length, group, -1)
        return (logits + unseen[None, :, :, None]).logsumexp(-1).transpose(0, 1)


class ScoreRules:
    """How a layer's own attention scores its context."""

    def __init__(self, scale: float, softcap: float, window: int | None) -> None:
        self._scale, self._softcap, self.window = scale, softcap, window

    def scored(self, products: Tensor) -> Tensor:
        """Logits of query-key products."""
        logits = products.mul_(self._scale)
        return torch.tanh(logits / self._softcap) * self._softcap if self._softcap else logits

    def unseen(self, query: Tensor, key: Tensor) -> Tensor:
        """0, or -inf where the position `query` does not see the position `key`."""
        hidden = key > query
        if self.window is not None:
            hidden = hidden | (key <= query - self.window)
        return torch.zeros(hidden.shape, device=hidden.device).masked_fill_(hidden, float("-inf"))


def merge(group: Group, at: int, query: Tensor, head_bias: Tensor, context: Tensor, output: Tensor) -> None:
    """Takes the facts into the attention output of a group's tokens, in place.

    `at`: the layer's place among the adapter's. query: [requests, kv heads, length, group, head dim], not rotated.
    head_bias: [kv heads, group]. context: log-sum-exp of the context [requests, kv heads, length, group].
    output: [tokens of the step, heads, head dim].
    """
    requests, kv_heads, length, heads, size = query.shape
    keys, values = group.packed.keys[at], group.packed.values[at]
    flat = query.reshape(requests, kv_heads, length * heads, size)
    bias = group.bias[:, None, :, None] + head_bias[None, :, None, :, None]
    logits = (flat @ keys).mul_(size**-0.5).view(requests, kv_heads, length, heads, -1)
    logits = logits.add_(bias)
    facts = logits.logsumexp(-1)
    share = torch.sigmoid(facts - context)
    weights = logits.sub_(facts[..., None]).exp_()
    said = weights.view(requests, kv_heads, length * heads, -1) @ values
    said = said.view(requests, kv_heads, length, heads, size)
    rows = group.rows
    own = output[rows].view(requests, length, kv_heads, heads, size).permute(0, 2, 1, 3, 4).float()
    joint = torch.lerp(own, said, share[..., None])
    output[rows] = joint.permute(0, 2, 1, 3, 4).reshape(-1, kv_heads * heads, size).to(output.dtype)
    group.masses.append(weights.mul_(share[..., None]).mean((1, 3)))


def context_sums(keys: ContextKeys, group: Group, query: Tensor, metadata: Any, rules: ScoreRules) -> Tensor:
    """Log-sum-exp of the context [requests, kv heads, length, group] for rotated queries of the same shape
    and a head dimension."""
    parts = []
    length = query.shape[2]
    for start in range(0, length, _BLOCK):
        span = slice(start, start + _BLOCK)
        place = group.last - max(0, length - start - _BLOCK)
        kind = (start, metadata.block_table.data_ptr(), rules.window)
        if kind not in group.seen:
            group.seen[kind] = _seen(group, span, place, metadata, keys.block, rules)
        parts.append(keys.sums(query[:, :, span], *group.seen[kind], rules))
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=2)


def _seen(
    group: Group, span: slice, last: int, metadata: Any, block: int, rules: ScoreRules
) -> tuple[Tensor, Tensor]:
    """A group's blocks up to the position `last`, and what of them is not seen; the same in every layer."""
    blocks = metadata.block_table[group.requests][:, : last // block + 1].long()
    places = torch.arange(blocks.shape[1] * block, device=blocks.device)
    return blocks, rules.unseen(group.positions[:, span, None], places)


def grouped_sums(group: Group, sums: Tensor, shape: tuple[int, int]) -> Tensor:
    """The same from what a kernel said of the step's tokens: [heads, tokens]; shape: KV heads, heads of each."""
    parts = sums[:, group.rows].float().view(*shape, *group.tokens.shape)
    return parts.permute(2, 0, 3, 1)
