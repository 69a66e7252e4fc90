"""Attention over [KB tokens ; context] in one softmax, inside models whose code is not touched.

Within `inject`, the layers of the adapter attend to the batch's key/value tokens next to their own context. The
KB query is made from the layer's residual input, is not rotated, and has its own logits:

    q_kb . k_kb / sqrt(head dim) + head bias + the token's bias

Everything is differentiable, so that an encoder is trained through the very code that serves it. Requests that
see no token get the output of the model's own attention, bit for bit.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from engines.architectures import Entry, ModelSpec, spec_for
from engines.contract import KVAdapter
from engines.errors import UnsupportedModel
from engines.kv_batch import AttentionRecord, KVBatch

__all__ = ["AttentionRecord", "KVBatch", "inject", "require_injectable"]

_SLOT = "_interleaf_injection"  # on a model and its attention modules while facts are injected
_PREFIX = "interleaf_kv_"
_IMPLEMENTATIONS = ("sdpa", "eager")
_BLOCK = 512  # query positions at a time: bounds the memory of long prompts


def require_injectable(model: Any) -> ModelSpec:
    """The model's spec; UnsupportedModel when facts cannot be injected exactly."""
    spec = spec_for(model)
    implementation = model.config._attn_implementation
    if implementation not in _IMPLEMENTATIONS:
        raise UnsupportedModel(
            f"attention {implementation!r}: load the model with {' or '.join(_IMPLEMENTATIONS)}"
        )
    softcap = spec.architecture.softcap
    if softcap and getattr(model.config, softcap) is not None and implementation != "eager":
        raise UnsupportedModel(
            f"{spec.architecture.family} caps its attention logits, which {implementation!r} leaves out: "
            "load the model with attn_implementation='eager'"
        )
    return spec


@contextmanager
def inject(
    model: Any, adapter: KVAdapter, batch: KVBatch, record: AttentionRecord | None = None
) -> Iterator[None]:
    """Within, forwards of the model (with as many rows as the batch) attend to the batch's tokens.

    For one thread per model. Leaves nothing behind, also when the forward fails.
    """
    if batch.none_sees:
        yield
        return
    if _SLOT in model.__dict__:
        raise RuntimeError("facts are already being injected into this model")
    spec = require_injectable(model)
    with ExitStack() as undo:
        shown = model.__dict__[_SLOT] = _Shown(batch)
        undo.callback(model.__dict__.pop, _SLOT)
        if batch.said is not None:
            undo.callback(model.get_input_embeddings().register_forward_pre_hook(shown.note_text).remove)
        for layer in adapter.layers:
            attention = spec.attention(layer)
            injection = _LayerInjection(layer, adapter, shown, record)
            hook = spec.layers[layer].register_forward_pre_hook(injection.note_residual, with_kwargs=True)
            undo.callback(hook.remove)
            attention.__dict__[_SLOT] = injection
            undo.callback(attention.__dict__.pop, _SLOT)
            if spec.architecture.entry is Entry.METHOD:
                own: Any = attention._attn
                attention.__dict__["_attn"] = functools.partial(_attend_by_method, attention, own)
                undo.callback(attention.__dict__.pop, "_attn")
        if spec.architecture.entry is Entry.INTERFACE:
            _register()
            implementation = model.config._attn_implementation
            undo.callback(setattr, model.config, "_attn_implementation", implementation)
            model.config._attn_implementation = _PREFIX + implementation
        yield


class _Shown:
    """What the running forward sees."""

    def __init__(self, batch: KVBatch) -> None:
        self._whole = self.batch = batch

    def note_text(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        """Forward pre-hook of the input embeddings."""
        self.batch = self._whole.read(args[0])


class _LayerInjection:
    """What one attention module needs while facts are injected."""

    def __init__(self, layer: int, adapter: KVAdapter, shown: _Shown, record: AttentionRecord | None) -> None:
        self._layer, self._adapter, self._shown, self._record = layer, adapter, shown, record
        self._residual: Tensor | None = None

    def note_residual(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Forward pre-hook of the decoder layer."""
        self._residual = args[0] if args else kwargs["hidden_states"]

    def attend(
        self,
        original: Callable[[], Tensor],
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask: Tensor | None,
        scaling: float,
        softcap: float | None = None,
    ) -> Tensor:
        """Attention output [batch, heads, length, head dim]; `original` gives the model's own in that shape."""
        if self._residual is None:
            raise RuntimeError("attention ran outside its decoder layer")
        batch, rows = self._shown.batch, query.shape[0]
        if batch.bias.shape[0] != rows:
            raise ValueError(f"a batch of facts for {batch.bias.shape[0]} requests, a forward of {rows}")
        kb_query = self._adapter.query(self._layer, self._residual).float()
        self._residual = None
        head_bias = self._adapter.head_bias(self._layer).float()
        keys, values = (part[self._layer].float().transpose(1, 2) for part in (batch.keys, batch.values))
        length = query.shape[2]
        first = 0 if batch.since is None else min(int(batch.since.min()), length)
        mask = _as_additive(mask, query, key)
        is_full = self._record is not None and self._record.full
        block = length if is_full else _BLOCK
        outputs, shares = [], []
        plain = original() if first or not batch.all_see else None
        if plain is not None and first:
            outputs.append(plain[:, :, :first])
            shares.append(query.new_zeros(*query.shape[:2], first, keys.shape[2], dtype=torch.float32))
        for start in range(first, length, block):
            span = slice(start, start + block)
            kb_logits = _grouped(kb_query[:, :, span], keys) * query.shape[-1] ** -0.5
            bias = batch.bias[:, None] if batch.bias.dim() == 2 else batch.bias[:, span]
            kb_logits = kb_logits + head_bias[None, :, None, None] + bias[:, None].float()
            if batch.since is not None:
                columns = torch.arange(start, start + kb_logits.shape[2], device=batch.since.device)
                unseen = columns[None] < batch.since[:, None]
                kb_logits = kb_logits.masked_fill(unseen[:, None, :, None], float("-inf"))
            logits = _grouped(query[:, :, span], key).float() * scaling
            if softcap is not None:
                logits = torch.tanh(logits / softcap) * softcap
            if mask is not None:
                logits = logits + mask[:, :, span]
            joint = torch.cat([kb_logits, logits], dim=-1).softmax(dim=-1)
            tokens = kb_logits.shape[-1]
            on_facts, on_context = joint[..., :tokens], joint[..., tokens:]
            said = _grouped(on_facts, values.transpose(-1, -2))
            read = _grouped(on_context.to(value.dtype), value.transpose(-1, -2))
            outputs.append((said + read).to(query.dtype))
            shares.append(on_facts)
        output = torch.cat(outputs, dim=2)
        self._note(shares)
        if plain is None or batch.all_see:
            return output
        return torch.where(batch.sees[:, None, None, None], output, plain)

    def _note(self, shares: list[Tensor]) -> None:
        record = self._record
        if record is None:
            return
        mean = torch.cat([share.detach().mean(1) for share in shares], dim=1)
        record.mass[self._layer] = mean[:, -record.positions :]
        if record.full:
            record.probabilities[self._layer] = torch.cat(shares, dim=2)


def _grouped(left: Tensor, right: Tensor) -> Tensor:
    """left [batch, heads, length, n] times right [batch or 1, kv heads, m, n] transposed: each KV head serves its
    group of neighbouring query heads. [batch, heads, length, m], without copying keys or values."""
    batch, heads, length, size = left.shape
    kv_heads = right.shape[1]
    merged = left.reshape(batch, kv_heads, heads // kv_heads * length, size)
    return (merged @ right.transpose(-1, -2)).reshape(batch, heads, length, -1)


def _as_additive(mask: Tensor | None, query: Tensor, key: Tensor) -> Tensor | None:
    """The mask as float32 logits. Masked is the lowest number, not -inf: rows that see nothing stay numbers."""
    lowest = torch.finfo(torch.float32).min
    if mask is None:
        # The library leaves the mask out where the query is the last position, or plainly causal.
        length, keys = query.shape[2], key.shape[2]
        if length == 1:
            return None
        mask = torch.ones(length, keys, dtype=torch.bool, device=query.device).tril()[None, None]
    if mask.dtype is not torch.bool:
        return mask.float()
    return torch.zeros(mask.shape, device=mask.device).masked_fill_(~mask, lowest)


@functools.cache
def _register() -> None:
    """Adds our functions to the library's tables; they hold no state and do nothing outside `inject`."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS

    for implementation in _IMPLEMENTATIONS:
        function = functools.partial(_attend_by_interface, implementation)
        AttentionInterface.register(_PREFIX + implementation, function)
        AttentionMaskInterface.register(
            _PREFIX + implementation, ALL_MASK_ATTENTION_FUNCTIONS[implementation]
        )


def _attend_by_interface(
    implementation: str,
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **kwargs: Any,
) -> tuple[Tensor, Tensor | None]:
    function = _library_function(implementation, module)

    def original() -> tuple[Tensor, Tensor | None]:
        result: tuple[Tensor, Tensor | None] = function(
            module, query, key, value, attention_mask, scaling=scaling, dropout=dropout, **kwargs
        )
        return result

    injection: _LayerInjection | None = module.__dict__.get(_SLOT)
    if injection is None:
        return original()
    if dropout:
        raise ValueError("facts are injected without attention dropout: call model.eval()")
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    output = injection.attend(
        lambda: original()[0].transpose(1, 2), query, key, value, attention_mask, scale, kwargs.get("softcap")
    )
    return output.transpose(1, 2).contiguous(), None


def _library_function(implementation: str, module: nn.Module) -> Callable[..., Any]:
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    # Every modelling file has its own eager attention, which the table does not hold.
    own = getattr(sys.modules[type(module).__module__], "eager_attention_forward", None)
    chosen: Callable[..., Any] = ALL_ATTENTION_FUNCTIONS.get_interface(implementation, own)
    return chosen


def _attend_by_method(
    attention: nn.Module,
    original: Callable[..., tuple[Tensor, Tensor]],
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None = None,
) -> tuple[Tensor, Tensor | None]:
    injection: _LayerInjection = attention.__dict__[_SLOT]
    scale = 1.0 / float(attention.scale_attn)  # type: ignore[arg-type]
    output = injection.attend(
        lambda: original(query, key, value, attention_mask)[0], query, key, value, attention_mask, scale
    )
    return output, None
