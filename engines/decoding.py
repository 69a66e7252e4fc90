"""The running batch: requests that are decoded together, each with its own facts; they join and leave at any step.

Rows are left-padded to one length. A request that joins is read in its own forward (prefill) and its cache is
put beside the others'; a finished one is cut out. The KB tokens are no part of the cache: they stay the same, and
are seen from the prompt's last token on, so that what is read of a prompt does not depend on facts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F

from engines.contract import InjectedFact, KVAdapter, Weights
from engines.kv_attention import AttentionRecord, KVBatch, inject
from engines.sampling import Sampler, choose


class Row(Protocol):
    """A request in the batch."""

    @property
    def prompt_ids(self) -> Sequence[int]:
        """The prompt; not empty."""
        ...

    @property
    def facts(self) -> Sequence[InjectedFact]:
        """What it may see."""
        ...

    @property
    def turns(self) -> Sequence[int]:
        """How far its answer has come in saying each of the facts (engines/saying.py): told, a fact is hidden."""
        ...

    @property
    def bias(self) -> Tensor | None:
        """What is added to the next token's logits, if anything (engines/leaning.py)."""
        ...

    @property
    def original(self) -> bool:
        """Whether it is answered with the unedited weights."""
        ...

    @property
    def sampler(self) -> Sampler:
        """How it chooses."""
        ...

    def accept(
        self,
        token: int,
        log_probability: float,
        masses: Sequence[float],
        layers: Sequence[Mapping[int, float]] = (),
    ) -> bool:
        """Takes the next token and the attention on each fact, in all and by layer; False when it is finished."""
        ...


R = TypeVar("R", bound=Row)


@dataclass
class _State:
    """What the model has read: caches per layer, and which of their columns are real."""

    keys: list[Tensor] = field(default_factory=list)
    values: list[Tensor] = field(default_factory=list)
    mask: Tensor = field(default_factory=lambda: torch.zeros(0, 0, dtype=torch.long))

    def beside(self, other: _State) -> _State:
        """Both batches as one, aligned at the right."""
        if not self.keys:
            return other
        length = max(self.mask.shape[1], other.mask.shape[1])

        def joined(left: Sequence[Tensor], right: Sequence[Tensor]) -> list[Tensor]:
            return [
                torch.cat([_pad_left(a, length, 2), _pad_left(b, length, 2)])
                for a, b in zip(left, right, strict=True)
            ]

        mask = torch.cat([_pad_left(self.mask, length, 1), _pad_left(other.mask, length, 1)])
        return _State(joined(self.keys, other.keys), joined(self.values, other.values), mask)

    def only(self, rows: Sequence[int]) -> _State:
        """Some rows, without the columns that were padding in all of them."""
        if not rows:
            return _State()
        chosen = torch.tensor(rows, device=self.mask.device)
        mask = self.mask[chosen]
        first = int(mask.any(0).long().argmax())
        return _State(
            [part[chosen, :, first:] for part in self.keys],
            [part[chosen, :, first:] for part in self.values],
            mask[:, first:],
        )


def _as_seen(facts: KVBatch | None, rows: Sequence[Row]) -> KVBatch | None:
    """As the answers stand: what is told is hidden, and what does not come next stands back."""
    return None if facts is None else facts.saying([row.turns for row in rows])


class RunningBatch(Generic[R]):
    """Used by one thread. Rows leave by themselves when they are finished."""

    def __init__(self, model: Any, adapter: KVAdapter | None) -> None:
        self._model, self._adapter = model, adapter
        self._device = next(model.parameters()).device
        self._rows: list[R] = []
        self._last: list[int] = []  # the token that each row will read next
        self._state = _State()
        self._facts: KVBatch | None = None  # of all rows
        self._seen: KVBatch | None = None  # the same, as the answers stand now
        self.weights: Weights | None = None  # edits that the model carries

    @property
    def rows(self) -> tuple[R, ...]:
        """Who is in it."""
        return tuple(self._rows)

    @torch.inference_mode()
    def join(self, rows: Sequence[R]) -> None:
        """Reads the prompts of new rows and gives each its first token."""
        ids, mask = left_padded([row.prompt_ids for row in rows], self._device)
        facts = _as_seen(self._packed(rows), rows)
        if facts is not None:
            facts = facts.seen_from([ids.shape[1] - 1] * len(rows))
        last, state = self._forward(rows, ids, _State(mask=mask), facts)
        going = [i for i, token in enumerate(last) if token is not None]
        if going:
            self._become(
                [*self._rows, *(rows[i] for i in going)],
                [*self._last, *(token for token in last if token is not None)],
                self._state.beside(state.only(going)),
            )

    @torch.inference_mode()
    def step(self) -> None:
        """One more token for every row."""
        ids = torch.tensor(self._last, device=self._device)[:, None]
        mask = F.pad(self._state.mask, (0, 1), value=1)
        state = _State(self._state.keys, self._state.values, mask)
        before = [row.turns for row in self._rows]
        last, self._state = self._forward(self._rows, ids, state, self._seen)
        if [row.turns for row in self._rows] != before:
            self._seen = _as_seen(self._facts, self._rows)
        self._last = [-1 if token is None else token for token in last]
        self._keep([i for i, token in enumerate(last) if token is not None])

    def drop(self, unwanted: Callable[[R], bool]) -> None:
        """Takes rows out."""
        self._keep([i for i, row in enumerate(self._rows) if not unwanted(row)])

    def _keep(self, rows: Sequence[int]) -> None:
        if len(rows) == len(self._rows):
            return
        self._become([self._rows[i] for i in rows], [self._last[i] for i in rows], self._state.only(rows))

    def _become(self, rows: list[R], last: list[int], state: _State) -> None:
        facts = self._packed(rows)  # first: when it fails, the batch is as it was
        self._rows, self._last, self._state, self._facts = rows, last, state, facts
        self._seen = _as_seen(facts, rows)

    def _packed(self, rows: Sequence[R]) -> KVBatch | None:
        return packed([row.facts for row in rows], self._adapter, self._device)

    def _unedited(self, rows: Sequence[R]) -> AbstractContextManager[None]:
        """The rows that want the original weights get them; the others see the model as it is, to the bit."""
        asked = [row.original for row in rows]
        if self.weights is None or not self.weights.edited or not any(asked):
            return nullcontext()
        return self.weights.original(None if all(asked) else torch.tensor(asked, device=self._device))

    def _forward(
        self, rows: Sequence[R], ids: Tensor, state: _State, facts: KVBatch | None
    ) -> tuple[list[int | None], _State]:
        """Reads `ids`, hands every row its next token; None for those that are finished by it."""
        from transformers import DynamicCache

        cache = DynamicCache()
        for layer, (keys, values) in enumerate(zip(state.keys, state.values, strict=True)):
            cache.update(keys, values, layer)
        record = AttentionRecord()
        with ExitStack() as within:
            within.enter_context(injected(self._model, self._adapter, facts, record))
            within.enter_context(self._unedited(rows))
            logits = self._model(
                input_ids=ids,
                attention_mask=state.mask,
                position_ids=positions(state.mask)[:, -ids.shape[1] :],
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            ).logits[:, -1]
        tokens, said = choose(logits, [row.sampler for row in rows], [row.bias for row in rows])
        counts = [len(row.facts) for row in rows]
        masses = masses_by_fact(record, facts, counts)
        layers = layers_by_fact(record, facts, counts)
        going = [
            token if row.accept(token, log_probability, [at[-1] for at in mass], at_layers) else None
            for row, token, log_probability, mass, at_layers in zip(
                rows, tokens, said, masses, layers, strict=True
            )
        ]
        read = _State(
            [part.keys for part in cache.layers], [part.values for part in cache.layers], state.mask
        )
        return going, read


def left_padded(prompts: Sequence[Sequence[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Ids and mask [requests, longest]. Padding is masked, so any token does."""
    length = max(map(len, prompts))
    ids = torch.tensor([[0] * (length - len(prompt)) + list(prompt) for prompt in prompts])
    mask = torch.tensor([[0] * (length - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    return ids.to(device), mask.to(device)


def positions(mask: Tensor) -> Tensor:
    """Each token's place in its own text."""
    return (mask.cumsum(-1) - 1).clamp_min(0)


def packed(
    facts: Sequence[Sequence[InjectedFact]], adapter: KVAdapter | None, device: torch.device
) -> KVBatch | None:
    """The requests' tokens; None when there are none."""
    if adapter is None or not any(facts):
        return None
    return KVBatch.pack(facts, adapter.layers, device)


def injected(
    model: Any, adapter: KVAdapter | None, facts: KVBatch | None, record: AttentionRecord
) -> AbstractContextManager[None]:
    """`inject`, or nothing when there is nothing to inject: the plain model."""
    return nullcontext() if adapter is None or facts is None else inject(model, adapter, facts, record)


def masses_by_fact(
    record: AttentionRecord, facts: KVBatch | None, counts: Sequence[int]
) -> list[list[list[float]]]:
    """For each request, for each of its facts: its share of attention at each recorded position."""
    if facts is None or facts.owner is None or not record.mass:
        return [[[0.0] * record.positions for _ in range(count)] for count in counts]
    table = record.by_fact(facts.owner, max(counts)).transpose(1, 2).tolist()
    return [row[:count] for row, count in zip(table, counts, strict=True)]


def layers_by_fact(
    record: AttentionRecord, facts: KVBatch | None, counts: Sequence[int]
) -> list[list[Mapping[int, float]]]:
    """For each request, for each of its facts: its share of attention at the last position, by layer."""
    if facts is None or facts.owner is None or not record.mass:
        return [[{} for _ in range(count)] for count in counts]
    table = record.by_layer(facts.owner, max(counts)).transpose(1, 2).tolist()
    names = list(record.mass)
    return [
        [dict(zip(names, shares, strict=True)) for shares in row[:count]]
        for row, count in zip(table, counts, strict=True)
    ]


def _pad_left(tensor: Tensor, length: int, dimension: int) -> Tensor:
    missing = length - tensor.shape[dimension]
    return F.pad(tensor, (0, 0) * (tensor.dim() - 1 - dimension) + (missing, 0)) if missing else tensor
