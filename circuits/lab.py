"""A model under study: runs it, counts the passes, stops when the caller wants no more. For one thread."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from circuits.errors import Cancelled, InvalidProbe
from engines.architectures import ModelSpec, spec_for
from engines.contract import InjectedFact, KVAdapter
from engines.kv_attention import AttentionRecord, KVBatch, inject
from engines.prompts import PromptEncoder


@dataclass(frozen=True, slots=True)
class Passes:
    """What an analysis costs: runs of the whole model over a batch of at most `Lab.rows` rows."""

    forward: int = 0
    backward: int = 0

    def __add__(self, other: Passes) -> Passes:
        return Passes(self.forward + other.forward, self.backward + other.backward)

    def times(self, count: int) -> Passes:
        """For that many of it."""
        return Passes(self.forward * count, self.backward * count)

    @property
    def total(self) -> int:
        """Both kinds."""
        return self.forward + self.backward


T = TypeVar("T")

_TOKENS = 4096  # of all rows of a pass: what layers hold of it is some megabytes for each hundred


class Meter:
    """Counts passes of one analysis against what was announced."""

    def __init__(
        self,
        planned: Passes = Passes(),
        note: Callable[[float], None] = lambda share: None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> None:
        self.planned, self.done = planned, Passes()
        self._note, self._cancelled = note, cancelled

    def count(self, passes: Passes) -> None:
        """A pass is about to be made; Cancelled when the caller wants no more."""
        if self._cancelled():
            raise Cancelled("the analysis was stopped")
        self.done += passes
        if self.planned.total:
            self._note(min(1.0, self.done.total / self.planned.total))


class Lab:
    """Owns the right to intervene in a model. `rows`: how many variants of a prompt one pass carries, at most."""

    def __init__(
        self, model: Any, tokenizer: Any, adapter: KVAdapter | None = None, *, rows: int = 16
    ) -> None:
        self.model, self.tokenizer, self.adapter, self.rows = model, tokenizer, adapter, rows
        self.spec: ModelSpec = spec_for(model)
        self.prompts = PromptEncoder(tokenizer)
        self.meter = Meter()

    @property
    def layers(self) -> int:
        """How many the model has."""
        return len(self.spec.layers)

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        device: torch.device = next(self.model.parameters()).device
        return device

    def rows_for(self, longest: int) -> int:
        """How many rows one pass carries where the longest has so many tokens: fewer of long ones, so that a pass
        takes no more memory."""
        return max(1, min(self.rows, _TOKENS // max(1, longest)))

    @contextmanager
    def metered(self, meter: Meter) -> Iterator[Meter]:
        """Within, passes are counted there."""
        before, self.meter = self.meter, meter
        try:
            yield meter
        finally:
            self.meter = before

    def run(self, rows: Sequence[Sequence[int]], *, gradients: bool = False, since: int = 0) -> Tensor:
        """Logits [rows, length, vocabulary] in one pass; shorter rows are padded on the right, where nothing before
        can see it. since: those of the positions before are left out."""
        longest = max(len(row) for row in rows)
        if longest > self.spec.context:
            raise InvalidProbe(
                "prompt", f"has {longest} tokens with its answer, the model knows {self.spec.context}"
            )
        ids = torch.zeros(len(rows), longest, dtype=torch.long)
        for at, row in enumerate(rows):
            ids[at, : len(row)] = torch.tensor(row)
        self.meter.count(Passes(forward=1))
        with torch.set_grad_enabled(gradients):
            kept = torch.arange(since, longest, device=self.device) if since else 0
            logits: Tensor = self.model(ids.to(self.device), use_cache=False, logits_to_keep=kept).logits
        return logits

    def said(
        self, rows: Sequence[Sequence[int]], prompts: Sequence[int], *, gradients: bool = False
    ) -> list[Tensor]:
        """Log-probabilities of each row's tokens behind its prompt, of which `prompts` says the length. One pass, with
        logits from the first of these positions on: those of a whole prompt are gigabytes."""
        first = min(prompts) - 1
        logits = self.run(rows, gradients=gradients, since=first)
        return [
            scored(each, row[first:], prompt - first)
            for each, row, prompt in zip(logits, rows, prompts, strict=True)
        ]

    def gradients(self, of: Tensor, at: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Of a number with respect to tensors of the graph that a pass with gradients made; one backward pass."""
        self.meter.count(Passes(backward=1))
        found: tuple[Tensor, ...] = torch.autograd.grad(of, list(at))
        return found

    def say(self, prompts: Sequence[Sequence[int]], tokens: int) -> list[list[int]]:
        """Greedy continuations, one pass a token."""
        rows = [list(prompt) for prompt in prompts]
        for _ in range(tokens):
            since = min(map(len, rows)) - 1
            logits = self.run(rows, since=since)
            for at, row in enumerate(rows):
                row.append(int(logits[at, len(row) - 1 - since].argmax()))
        return [row[len(prompt) :] for row, prompt in zip(rows, prompts, strict=True)]

    def injected(
        self,
        rows: int,
        facts: Sequence[InjectedFact],
        *,
        since: int,
        adapter: KVAdapter | None = None,
        record: AttentionRecord | None = None,
        hidden: Sequence[int] = (),
    ) -> AbstractContextManager[None]:
        """Within, passes with so many rows see the facts. Interventions on attention are entered inside of it.

        `since`: the position from which they are seen; when something is served, the prompt's last one. `adapter` in
        place of the lab's own, such as a muted one. `hidden`: which of all facts' tokens, counted on from fact to fact,
        are not seen.
        """
        chosen = adapter or self.adapter
        if not facts:
            return nullcontext()
        if chosen is None:
            raise InvalidProbe("facts", "this model has no encoder that facts could be injected with")
        batch = KVBatch.pack([facts] * rows, chosen.layers, self.device).seen_from([since] * rows)
        return inject(self.model, chosen, batch.hiding(hidden), record)


def twin_of(model: Any) -> Any:
    """The same weights in modules of their own: what is hooked onto one is not on the other, and no memory is taken.

    An edit that is applied to the one is in the other: that is what is to be explained.
    """
    tensors = [*model.parameters(), *model.buffers()]
    return copy.deepcopy(model, {id(tensor): tensor for tensor in tensors})


def batches(items: Sequence[T], count: int) -> list[Sequence[T]]:
    """In their order, so many at a time."""
    return [items[start : start + count] for start in range(0, len(items), count)]


def scored(logits: Tensor, row: Sequence[int], prompt: int) -> Tensor:
    """Log-probabilities of the row's tokens behind the prompt, from the row's logits [length, vocabulary]."""
    targets = torch.tensor(row[prompt:], device=logits.device)
    said = logits[prompt - 1 : len(row) - 1].float().log_softmax(-1)
    return said.gather(1, targets[:, None])[:, 0]
