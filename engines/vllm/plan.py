"""One step of the model: which of its tokens attend to which facts.

vLLM lays the tokens of all requests in a row. Requests that decode one token are taken together, in groups of
similar numbers of fact tokens; a chunk of a prompt is a group of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from engines.vllm.request_facts import RequestFacts
from engines.vllm.row_table import RowTable

_SIZES = (16, 64, 256, 1024)  # numbers of fact tokens up to which requests share a group


@dataclass(frozen=True)
class Span:
    """A request's part of a step: tokens start..end of the row, at positions base, base+1, ... of its text."""

    request: int  # its place in vLLM's batch
    start: int
    end: int
    base: int
    facts: RequestFacts

    @property
    def length(self) -> int:
        """Tokens."""
        return self.end - self.start


@dataclass(frozen=True)
class Packed:
    """The fact tokens of a group's requests: [layers, requests, kv heads, tokens, head dim]."""

    names: tuple[str, ...]
    keys: Tensor
    values: Tensor


@dataclass(frozen=True)
class Attention:
    """The attention that a request's facts drew in one step, mean over this worker's heads.

    masses: per position, from `first` on, of each fact, mean over layers. layers: of each fact, per layer, at the
    last position.
    """

    name: str
    first: int
    masses: list[list[float]]
    layers: list[list[float]]


@dataclass
class Group:
    """Requests with the same number of tokens in this step.

    requests: [requests], places in vLLM's batch. tokens, positions: [requests, length]. bias: [requests, length
    or 1, fact tokens]. masses: per layer [requests, length, fact tokens], attention on facts.
    """

    spans: tuple[Span, ...]
    packed: Packed
    last: int  # the highest position of any
    requests: Tensor
    tokens: Tensor
    positions: Tensor
    bias: Tensor
    rows: Tensor  # tokens, flat
    masses: list[Tensor] = field(default_factory=list)

    def attention(self) -> list[Attention]:
        """What each request's facts drew."""
        if not self.masses:
            return []
        found = []
        shares = torch.stack(self.masses, 1).cpu()  # [requests, layers, length, tokens]
        for span, own in zip(self.spans, shares, strict=True):
            facts = span.facts
            by_fact = torch.zeros(*own.shape[:2], facts.count)
            by_fact.index_add_(2, facts.owner, own[..., : len(facts.owner)])
            found.append(
                Attention(facts.name, span.base, by_fact.mean(0).tolist(), by_fact[:, -1].T.tolist())
            )
        return found


@dataclass
class Planner:
    """Makes the groups of each step; keeps packed tokens as long as the same requests come together."""

    table: RowTable
    device: torch.device
    _kept: dict[tuple[str, ...], Packed] = field(default_factory=dict)

    def groups(self, spans: Sequence[Span]) -> list[Group]:
        """The step's groups."""
        shared: dict[int, list[Span]] = {}
        alone: list[list[Span]] = []
        for span in spans:
            if span.length == 1:
                shared.setdefault(_size_class(len(span.facts.slots)), []).append(span)
            else:
                alone.append([span])
        used: dict[tuple[str, ...], Packed] = {}
        made = []
        for members in (*shared.values(), *alone):
            names = tuple(span.facts.name for span in members)
            packed = used[names] = self._kept.get(names) or self._pack(names, members)
            made.append(self._group(members, packed))
        self._kept = used
        return made

    def forget(self) -> None:
        """Rows have changed places."""
        self._kept.clear()

    def _pack(self, names: tuple[str, ...], members: Sequence[Span]) -> Packed:
        width = max(len(span.facts.slots) for span in members)
        slots = torch.zeros(len(members), width, dtype=torch.long)
        for row, span in enumerate(members):
            slots[row, : len(span.facts.slots)] = span.facts.slots
        return Packed(names, *self.table.gather(slots.to(self.device)))

    def _group(self, members: Sequence[Span], packed: Packed) -> Group:
        width, length = packed.keys.shape[3], members[0].length
        biases = [span.facts.biases(span.base, span.base + length) for span in members]
        bias = torch.full((len(members), biases[0].shape[0], width), float("-inf"))
        for row, own in enumerate(biases):
            bias[row, :, : own.shape[1]] = own
        step = torch.arange(length)
        tokens = (torch.tensor([span.start for span in members])[:, None] + step).to(self.device)
        return Group(
            spans=tuple(members),
            packed=packed,
            last=max(span.base for span in members) + length - 1,
            requests=torch.tensor([span.request for span in members], device=self.device),
            tokens=tokens,
            positions=(torch.tensor([span.base for span in members])[:, None] + step).to(self.device),
            bias=bias.to(self.device),
            rows=tokens.flatten(),
        )


def _size_class(tokens: int) -> int:
    return next((size for size in _SIZES if tokens <= size), tokens.bit_length() << 16)
