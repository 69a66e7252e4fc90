"""The key/value tokens of a batch of requests, each of which sees its own facts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor

from engines.contract import InjectedFact
from engines.saying import AWAY, TOLD, turns_along

Said = tuple[
    Sequence[int], int
]  # a fact's tokens of the vocabulary, and its order (engines.contract.InjectedFact)


@dataclass(frozen=True)
class KVBatch:
    """Tokens per adapter layer, and who may see them.

    keys, values: layer -> [requests, tokens, kv heads, head dim]; 1 instead of requests when all share them.
    bias: [requests, tokens], added to the logits; -inf where a request must not see a token. With positions between
        (as many as the forward has), each has its own.
    owner: [requests or 1, tokens], the index of the token's fact among the request's facts.
    place: the same shape, the index of the token in its fact.
    since: [requests], the first column of the forward from which a request sees its tokens; None: all see them.
    said: for each request what its facts say and in which order, where a forward is to see for itself how far the text
        behind `since` has come in saying them; see `read`.
    """

    keys: Mapping[int, Tensor]
    values: Mapping[int, Tensor]
    bias: Tensor
    owner: Tensor | None = None
    place: Tensor | None = None
    since: Tensor | None = None
    said: Sequence[Sequence[Said]] | None = None

    @classmethod
    def pack(
        cls,
        facts: Sequence[Sequence[InjectedFact]],
        layers: Sequence[int],
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> KVBatch:
        """One row per request. Requests with fewer tokens are padded with tokens that they cannot see."""
        is_shared = all(_are_same(row, facts[0]) for row in facts[1:])
        stored = facts[:1] if is_shared else facts
        counts = [[fact.tokens.count for fact in row] for row in stored]
        width = max((sum(row) for row in counts), default=0)
        first = next((fact.tokens for row in stored for fact in row), None)
        heads, size = first.keys.shape[2:] if first is not None else (1, 1)
        keys = torch.zeros(len(layers), len(stored), width, heads, size, dtype=dtype)
        values = torch.zeros_like(keys)
        bias = torch.full((len(stored), width), float("-inf"))
        owner = torch.zeros(len(stored), width, dtype=torch.long)
        place = torch.zeros_like(owner)
        for row, (held, lengths) in enumerate(zip(stored, counts, strict=True)):
            start = 0
            for index, (fact, length) in enumerate(zip(held, lengths, strict=True)):
                span = slice(start, start + length)
                keys[:, row, span] = fact.tokens.keys.to(keys)
                values[:, row, span] = fact.tokens.values.to(values)
                bias[row, span] = fact.bias
                owner[row, span] = index
                place[row, span] = torch.arange(length)
                start += length
        keys, values = keys.to(device), values.to(device)
        return cls(
            keys={layer: keys[i] for i, layer in enumerate(layers)},
            values={layer: values[i] for i, layer in enumerate(layers)},
            bias=bias.to(device).expand(len(facts), -1),
            owner=owner.to(device),
            place=place.to(device),
            said=[[(fact.tokens.said, fact.order) for fact in row] for row in facts],
        )

    def seen_from(self, columns: Sequence[int]) -> KVBatch:
        """The same, seen by each request from that column of the forward on."""
        return replace(self, since=torch.tensor(columns, device=self.bias.device))

    def hiding(self, tokens: Sequence[int]) -> KVBatch:
        """The same, with these tokens (columns of `bias`) seen by no request. The others keep their turns."""
        columns = torch.tensor(tokens, dtype=torch.long, device=self.bias.device)
        return replace(self, bias=self.bias.index_fill(-1, columns, float("-inf")))

    def read(self, ids: Tensor) -> KVBatch:
        """The same, as each text [requests, length] stands at each of its positions from `since` on."""
        if self.said is None or self.since is None:
            return self
        most = max(map(len, self.said), default=0)
        turns = torch.zeros(*ids.shape, most, dtype=torch.long)
        for row, (text, since, said) in enumerate(
            zip(ids.tolist(), self.since.tolist(), self.said, strict=True)
        ):
            along = turns_along(text[since + 1 :], *zip(*said, strict=True)) if said else [()]
            turns[row, since:, : len(said)] = torch.tensor(along)
        return self.saying(turns)

    def saying(self, turns: Sequence[Sequence[int]] | Tensor) -> KVBatch:
        """The same, as answers stand that say their facts: tokens whose turn it is not stand back, the told are hidden.

        turns: for each request (and each position of the forward, as a tensor with positions between) how far it has
        come in each of its facts (engines/saying.py).
        """
        if self.owner is None or self.place is None:
            return self
        reached = turns if isinstance(turns, Tensor) else _table(turns)
        if not reached.shape[-1]:
            return self
        owner, place, bias = self.owner, self.place, self.bias
        if reached.dim() == 3:
            owner, place, bias = owner[:, None], place[:, None], bias[:, None]
        at = reached.to(owner.device).gather(-1, owner.expand(*reached.shape[:-1], -1))
        bias = (bias - AWAY * (at != place)).masked_fill(at == TOLD, float("-inf"))
        return replace(self, bias=bias, said=None)

    @cached_property
    def sees(self) -> Tensor:
        """[requests] bool: whether the request sees any token."""
        return (self.bias.detach() > float("-inf")).flatten(1).any(-1)

    @cached_property
    def all_see(self) -> bool:
        """Whether every request sees a token."""
        return bool(self.sees.all())

    @cached_property
    def none_sees(self) -> bool:
        """Whether no request sees a token: then the model is the plain model."""
        return not bool(self.sees.any())


def _table(turns: Sequence[Sequence[int]]) -> Tensor:
    """[requests, facts], filled up with zeros."""
    reached = torch.zeros(len(turns), max(map(len, turns), default=0), dtype=torch.long)
    for row, counts in enumerate(turns):
        reached[row, : len(counts)] = torch.tensor(counts, dtype=torch.long)
    return reached


def _are_same(left: Sequence[InjectedFact], right: Sequence[InjectedFact]) -> bool:
    return len(left) == len(right) and all(
        a.tokens is b.tokens and a.bias == b.bias for a, b in zip(left, right, strict=True)
    )


@dataclass
class AttentionRecord:
    """What attention did in the last forward under `inject`; empty when no request saw a fact.

    mass: layer -> [requests, positions, tokens]: the share of attention on each token, mean over heads, at the
        last `positions` positions.
    probabilities: only with `full`: layer -> [requests, heads, length, tokens], differentiable; nothing before the
        first position that sees a token.
    """

    full: bool = False
    positions: int = 1
    mass: dict[int, Tensor] = field(default_factory=dict)
    probabilities: dict[int, Tensor] = field(default_factory=dict)

    def by_fact(self, owner: Tensor, facts: int) -> Tensor:
        """[requests, positions, facts]: summed over each fact's tokens, mean over layers."""
        mean = torch.stack(list(self.mass.values())).mean(0)
        where = owner[:, None].expand_as(mean)
        return mean.new_zeros(*mean.shape[:2], facts).scatter_add_(2, where, mean)

    def by_layer(self, owner: Tensor, facts: int) -> Tensor:
        """[requests, layers, facts] at the last position: summed over each fact's tokens, layers as in `mass`."""
        last = torch.stack([mass[:, -1] for mass in self.mass.values()], 1)
        where = owner[:, None].expand_as(last)
        return last.new_zeros(*last.shape[:2], facts).scatter_add_(2, where, last)
