"""One step of the model: which of its tokens attend to which facts.

vLLM lays the tokens of all requests in a row. Requests that decode one token are taken together, in groups of
similar numbers of fact tokens; a chunk of a prompt is a group of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from engines.vllm.request_facts import HIDDEN, RequestFacts
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
    """The facts of requests that come together, as long as they do.

    keys: [layers, kv heads * requests, head dim, tokens]; values: [layers, kv heads * requests, tokens, head dim].
    bias, owner: [requests, tokens]: what is added to the logits, HIDDEN where a request has no more tokens; which of
    the request's facts the token is of.
    """

    names: tuple[str, ...]
    keys: Tensor
    values: Tensor
    bias: Tensor
    owner: Tensor


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
    rows: Tensor | slice  # tokens, flat; a slice where they follow each other, which is quicker
    masses: list[Tensor] = field(default_factory=list)
    # Blocks of the context, and what is not seen of them: for layers with the same table and window.
    seen: dict[tuple[int, int, int | None], tuple[Tensor, Tensor]] = field(default_factory=dict)

    def attention(self) -> list[Attention]:
        """What each request's facts drew."""
        if not self.masses:
            return []
        shares = torch.stack(self.masses, 2).cpu()  # [requests, length, layers, tokens]
        owner = self.packed.owner[:, None, None].expand_as(shares)
        most = max(span.facts.count for span in self.spans)
        by_fact = shares.new_zeros(*shares.shape[:3], most).scatter_add_(3, owner, shares)
        masses, layers = by_fact.mean(2).tolist(), by_fact[:, -1].transpose(1, 2).tolist()
        found = []
        for span, own, each in zip(self.spans, masses, layers, strict=True):
            count = span.facts.count
            found.append(Attention(span.facts.name, span.base, [mass[:count] for mass in own], each[:count]))
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
        def padded(parts: Sequence[Tensor], value: float) -> Tensor:
            return torch.nn.utils.rnn.pad_sequence(list(parts), batch_first=True, padding_value=value)

        facts = [span.facts for span in members]
        slots = padded([own.slots for own in facts], 0)
        return Packed(
            names,
            *self.table.gather(slots.to(self.device)),
            padded([own.bias for own in facts], HIDDEN).to(self.device),
            padded([own.owner for own in facts], 0),
        )

    def _group(self, members: Sequence[Span], packed: Packed) -> Group:
        length = members[0].length
        bias = packed.bias[:, None]
        if any(span.facts.later for span in members):
            bias = bias.expand(-1, length, -1).clone()
            for row, span in enumerate(members):
                own = span.facts.biases(span.base, span.base + length)
                bias[row, :, : own.shape[1]] = own.to(self.device)
        step = torch.arange(length)
        tokens = (torch.tensor([span.start for span in members])[:, None] + step).to(self.device)
        return Group(
            spans=tuple(members),
            packed=packed,
            last=max(span.base for span in members) + length - 1,
            requests=torch.tensor([span.request for span in members], device=self.device),
            tokens=tokens,
            positions=(torch.tensor([span.base for span in members])[:, None] + step).to(self.device),
            bias=bias,
            rows=_rows([at for span in members for at in range(span.start, span.end)], self.device),
        )


def _rows(places: Sequence[int], device: torch.device) -> Tensor | slice:
    first, last = places[0], places[-1]
    if list(places) == list(range(first, last + 1)):
        return slice(first, last + 1)
    return torch.tensor(places, device=device)


def _size_class(tokens: int) -> int:
    return next((size for size in _SIZES if tokens <= size), tokens.bit_length() << 16)
