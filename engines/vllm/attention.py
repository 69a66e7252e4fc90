"""Attention over [fact tokens ; paged context] in one softmax, as one opaque operation inside vLLM's graph.

vLLM's own kernel attends to the context. What the facts take of the softmax over both is worked out from the logits
of both, and what the kernel said keeps the rest. The kernels do not tell the context's logits, nor all of them the
logarithm of their sum (log-sum-exp), which does as well; and cache layouts differ by processor. So the keys of requests
with facts are kept a second time, in a plain layout, in the layers where facts are attended to.
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

    def logits(self, query: Tensor, blocks: Tensor, unseen: Tensor, rules: ScoreRules) -> Tensor:
        """Logits [kv heads, requests, length, group, places] of a group's rotated queries.

        query [kv heads, requests, length, group, head dim], blocks [requests, n], unseen [kv heads * requests,
        length or length * group, places]: 0, or -inf where a position does not see a place."""
        kv_heads, requests, length, group, size = query.shape
        held = self.keys.index_select(1, blocks.flatten()).view(kv_heads * requests, -1, size).float()
        flat = query.reshape(kv_heads * requests, length * group, size).float()
        return rules.scored(flat, held, unseen).view(kv_heads, requests, length, group, -1)


class ScoreRules:
    """How a layer's own attention scores its context."""

    def __init__(self, scale: float, softcap: float, window: int | None) -> None:
        self._scale, self._softcap, self.window = scale, softcap, window

    def scored(self, query: Tensor, keys: Tensor, unseen: Tensor) -> Tensor:
        """Logits of every query for every key, less what is not seen."""
        if not self._softcap:
            return torch.baddbmm(unseen, query, keys.transpose(1, 2), alpha=self._scale)
        logits = (query @ keys.transpose(1, 2)).mul_(self._scale / self._softcap).tanh_()
        return logits.mul_(self._softcap).add_(unseen)

    def unseen(self, query: Tensor, key: Tensor) -> Tensor:
        """0, or -inf where the position `query` does not see the position `key`."""
        hidden = key > query
        if self.window is not None:
            hidden = hidden | (key <= query - self.window)
        return torch.zeros(hidden.shape, device=hidden.device).masked_fill_(hidden, float("-inf"))


def merge(group: Group, at: int, query: Tensor, head_bias: Tensor, context: Tensor, output: Tensor) -> None:
    """Takes the facts into the attention output of a group's tokens, in place.

    `at`: the layer's place among the adapter's. query: [kv heads, requests, length, group, head dim], not rotated.
    head_bias: [kv heads, group]. context: logits of the context, or their log-sum-exp as if it were one place
    [kv heads, requests, length, group, places]. output: [tokens of the step, heads, head dim].
    """
    kv_heads, requests, length, heads, size = query.shape
    flat = query.reshape(kv_heads * requests, length * heads, size)
    bias = group.bias[None, :, :, None] + head_bias[:, None, None, :, None]
    bias = bias.expand(-1, -1, length, -1, -1).reshape(*flat.shape[:2], -1)
    facts = torch.baddbmm(bias, flat, group.packed.keys[at], alpha=size**-0.5)
    weights = torch.cat([facts, context.reshape(*flat.shape[:2], -1)], dim=-1).softmax(-1)
    weights = weights[..., : facts.shape[-1]]
    said = (weights @ group.packed.values[at]).view_as(query)
    # By what the facts took, and not by what the context kept: without facts in sight nothing is changed at all.
    rest = weights.sum(-1).neg_().add_(1.0).view(kv_heads, requests, length, heads, 1)
    own = output[group.rows].view(requests, length, kv_heads, heads, size).permute(2, 0, 1, 3, 4)
    joint = torch.addcmul(said, own.float(), rest).permute(1, 2, 0, 3, 4)
    output[group.rows] = joint.reshape(-1, kv_heads * heads, size).to(output.dtype)
    group.masses.append(weights.view(kv_heads, requests, length, heads, -1).mean((0, 3)))


def context_logits(
    keys: ContextKeys, group: Group, query: Tensor, metadata: Any, rules: ScoreRules
) -> Tensor:
    """What `merge` wants of the context, from the kept keys, for rotated queries."""
    kv_heads, _, length, heads, _ = query.shape
    parts = []
    for start in range(0, length, _BLOCK):
        span = slice(start, start + _BLOCK)
        place = group.last - max(0, length - start - _BLOCK)
        kind = (start, metadata.block_table.data_ptr(), rules.window)
        if kind not in group.seen:
            blocks, unseen = _seen(group, span, place, metadata, keys.block, rules)
            if length > 1:
                unseen = unseen.repeat_interleave(heads, 1)
            group.seen[kind] = blocks, unseen.repeat(kv_heads, 1, 1)
        parts.append(keys.logits(query[:, :, span], *group.seen[kind], rules))
    if length == 1:
        return parts[0]
    return torch.cat([part.logsumexp(-1, keepdim=True) for part in parts], dim=2)


def _seen(
    group: Group, span: slice, last: int, metadata: Any, block: int, rules: ScoreRules
) -> tuple[Tensor, Tensor]:
    """A group's blocks up to the position `last`, and what of them is not seen; the same in every layer."""
    blocks = metadata.block_table[group.requests][:, : last // block + 1].long()
    places = torch.arange(blocks.shape[1] * block, device=blocks.device)
    return blocks, rules.unseen(group.positions[:, span, None], places)


def kernel_logits(group: Group, sums: Tensor, shape: tuple[int, int]) -> Tensor:
    """The same from what a kernel said of the step's tokens: [heads, tokens]; shape: KV heads, heads of each."""
    parts = sums[:, group.rows].float().view(*shape, *group.tokens.shape)
    return parts.permute(0, 2, 3, 1)[..., None]
