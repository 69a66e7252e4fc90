"""Attention as the layers use it: probabilities read off, edges taken out before the softmax.

An edge is taken out of the logits, so that the rest is weighted anew; nothing is written into probabilities.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from circuits.errors import InvalidIntervention
from engines.architectures import Entry, ModelSpec

_SLOT = "_interleaf_taps"  # on an attention module while it is looked into
_PREFIX = "interleaf_study_"
# The library's, and what they are called while facts are injected.
_IMPLEMENTATIONS = ("sdpa", "eager", "interleaf_kv_sdpa", "interleaf_kv_eager")


@dataclass(frozen=True, slots=True)
class Attended:
    """One layer's attention in the last forward.

    probabilities: [B, heads, queries, S] over the context alone; they sum to one even where facts took a share.
    values: [B, kv heads, S, head dim].
    """

    probabilities: Tensor
    values: Tensor


@dataclass(frozen=True, slots=True)
class Block:
    """Attention edges from some positions (queries) to others (keys) that are not there.

    rows, heads: None means all. Positions count from the start of the forward's sequence, padding included.
    """

    layers: Collection[int]
    queries: Collection[int]
    keys: Collection[int]
    heads: Collection[int] | None = None
    rows: Collection[int] | None = None


class _Tap(Protocol):
    def pass_through(self, call: _Call) -> None: ...


@dataclass
class _Call:
    """One layer's attention, about to be computed; taps look at it and narrow `visible`."""

    query: Tensor  # [B, heads, T, head dim]
    key: Tensor  # [B, kv heads, S, head dim]
    value: Tensor
    mask: Tensor | None  # the model's own
    scaling: float
    softcap: float | None

    def visible(self) -> Tensor:
        """The mask as booleans, [B or 1, 1 or heads, T, S]."""
        length, keys = self.query.shape[2], self.key.shape[2]
        if self.mask is None:
            # The library leaves the mask out where it is plainly causal.
            everything = torch.ones(length, keys, dtype=torch.bool, device=self.query.device)
            return everything.tril(keys - length)[None, None]
        if self.mask.dtype is torch.bool:
            return self.mask
        return self.mask > torch.finfo(self.mask.dtype).min / 2

    def probabilities(self, queries: Sequence[int] | None = None) -> Tensor:
        """Over the context: [B, heads, queries, S]. Rows that see nothing (padding) are uniform."""
        query, visible = self.query, self.visible()
        if queries is not None:
            query, visible = query[:, :, queries], visible[:, :, queries]
        groups = self.query.shape[1] // self.key.shape[1]
        key = self.key.float().repeat_interleave(groups, dim=1)
        logits = query.float() @ key.transpose(-1, -2) * self.scaling
        if self.softcap is not None:
            logits = torch.tanh(logits / self.softcap) * self.softcap
        return logits.masked_fill(~visible, torch.finfo(torch.float32).min).softmax(-1)


@contextmanager
def attended(
    spec: ModelSpec, layers: Collection[int] | None = None, queries: Sequence[int] | None = None
) -> Iterator[dict[int, Attended]]:
    """Layer -> its attention in the last forward, blocked edges left out, part of the graph when gradients are on.

    `queries`: only from these positions; None: from all.
    """
    seen: dict[int, Attended] = {}
    chosen = range(len(spec.layers)) if layers is None else sorted(set(layers))
    with _tapped(spec, {layer: _Recorder(layer, seen, queries) for layer in chosen}):
        yield seen


@contextmanager
def blocked(spec: ModelSpec, blocks: Sequence[Block]) -> Iterator[None]:
    """Within, these edges are not there. InvalidIntervention when a query would see nothing at all.

    `attended` sees the effect of blocks that were entered before it.
    """
    taps = {
        layer: _Blocker([block for block in blocks if layer in block.layers])
        for layer in sorted({layer for block in blocks for layer in block.layers})
    }
    with _tapped(spec, taps):
        yield


class _Recorder:
    def __init__(self, layer: int, seen: dict[int, Attended], queries: Sequence[int] | None) -> None:
        self._layer, self._seen, self._queries = layer, seen, queries

    def pass_through(self, call: _Call) -> None:
        """Keeps what it sees."""
        self._seen[self._layer] = Attended(call.probabilities(self._queries), call.value)


class _Blocker:
    def __init__(self, blocks: Sequence[Block]) -> None:
        self._blocks = blocks

    def pass_through(self, call: _Call) -> None:
        """Takes the edges out of the call's mask."""
        rows, heads, length, keys = (*call.query.shape[:3], call.key.shape[2])
        if all(block.heads is None for block in self._blocks):
            heads = 1  # the same for all: of a long text each head's mask is megabytes
        gone = torch.zeros(rows, heads, length, keys, dtype=torch.bool)
        for block in self._blocks:
            grid = torch.meshgrid(
                _indexes("row", block.rows, rows),
                _indexes("head", block.heads, heads),
                _indexes("position", block.queries, length),
                _indexes("position", block.keys, keys),
                indexing="ij",
            )
            gone[grid] = True
        gone = gone.to(call.query.device)
        before = call.visible()
        after = before & ~gone
        if bool((before.any(-1) & ~after.any(-1)).any()):
            raise InvalidIntervention("a blocked position would have nothing left to attend to")
        if call.mask is None or call.mask.dtype is torch.bool:
            call.mask = after
        else:
            lowest = torch.finfo(call.mask.dtype).min
            call.mask = call.mask.expand_as(after).masked_fill(gone, lowest)


def _indexes(what: str, chosen: Collection[int] | None, count: int) -> Tensor:
    if chosen is None:
        return torch.arange(count)
    found = torch.tensor(sorted(chosen), dtype=torch.long)
    if len(found) and not 0 <= int(found.min()) <= int(found.max()) < count:
        raise InvalidIntervention(f"{what}s {sorted(chosen)}: there are {count}")
    return found


@contextmanager
def _tapped(spec: ModelSpec, taps: Mapping[int, _Tap]) -> Iterator[None]:
    with ExitStack() as undo:
        for layer, tap in taps.items():
            if not 0 <= layer < len(spec.layers):
                raise InvalidIntervention(f"layer {layer}: the model has layers 0 to {len(spec.layers) - 1}")
            attention = spec.attention(layer)
            held: list[_Tap] = attention.__dict__.setdefault(_SLOT, [])
            if not held:
                undo.callback(attention.__dict__.pop, _SLOT)
                if spec.architecture.entry is Entry.METHOD:
                    _put_method(attention, undo)
            held.append(tap)
            undo.callback(held.remove, tap)
        if taps and spec.architecture.entry is Entry.INTERFACE:
            _switch(spec.model.config, undo)
        yield


def _put_method(attention: nn.Module, undo: ExitStack) -> None:
    own: Any = attention._attn
    if "_attn" in attention.__dict__:
        undo.callback(attention.__dict__.__setitem__, "_attn", own)
    else:
        undo.callback(attention.__dict__.pop, "_attn")
    attention.__dict__["_attn"] = functools.partial(_attend_by_method, attention, own)


def _switch(config: Any, undo: ExitStack) -> None:
    implementation = config._attn_implementation
    if implementation.startswith(_PREFIX):
        return
    if implementation not in _IMPLEMENTATIONS:
        raise InvalidIntervention(
            f"attention {implementation!r} cannot be looked into: load the model with sdpa or eager"
        )
    _register(implementation)
    undo.callback(setattr, config, "_attn_implementation", implementation)
    config._attn_implementation = _PREFIX + implementation


@functools.cache
def _register(implementation: str) -> None:
    """Adds our function to the library's tables; it holds no state and does nothing where there is no tap."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS

    AttentionInterface.register(
        _PREFIX + implementation, functools.partial(_attend_by_interface, implementation)
    )
    AttentionMaskInterface.register(_PREFIX + implementation, ALL_MASK_ATTENTION_FUNCTIONS[implementation])


def _attend_by_interface(
    implementation: str,
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[Tensor, Tensor | None]:
    taps: Sequence[_Tap] = module.__dict__.get(_SLOT, ())
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    call = _Call(query, key, value, attention_mask, scale, kwargs.get("softcap"))
    for tap in taps:
        tap.pass_through(call)
    result: tuple[Tensor, Tensor | None] = _library_function(implementation, module)(
        module, query, key, value, call.mask, scaling=scaling, **kwargs
    )
    return result


def _library_function(implementation: str, module: nn.Module) -> Callable[..., Any]:
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    # Every modelling file has its own eager attention, which the table does not hold.
    own = getattr(sys.modules[type(module).__module__], "eager_attention_forward", None)
    chosen: Callable[..., Any] = ALL_ATTENTION_FUNCTIONS.get_interface(implementation, own)
    return chosen


def _attend_by_method(
    attention: nn.Module,
    original: Callable[..., tuple[Tensor, Tensor | None]],
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None = None,
) -> tuple[Tensor, Tensor | None]:
    scale = 1.0 / float(attention.scale_attn)  # type: ignore[arg-type]
    call = _Call(query, key, value, attention_mask, scale, None)
    for tap in attention.__dict__[_SLOT]:
        tap.pass_through(call)
    return original(query, key, value, call.mask)
