"""What injection must equal: every family written out plainly, one text at a time, attention head by head, one
softmax over facts and context. No batches, no padding, no cache, no library attention, none of our engine code.

`touch(what, layer, tensor)` sees what passes and returns what is to pass: "residual" [length, hidden] (layer count:
before the final norm), "visible" [heads, length, length] bool, "pattern" [heads, length, length]
(only looked at), "heads" [length,
heads, d], "attention" and "mlp" [length, hidden] as added to the residual.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from engines.contract import InjectedFact

Touch = Callable[[str, int, Tensor], Tensor]


def untouched(what: str, layer: int, tensor: Tensor) -> Tensor:
    return tensor


def reference_logits(
    model: Any,
    ids: Sequence[int],
    adapter: Any = None,
    facts: Sequence[InjectedFact] = (),
    touch: Touch = untouched,
    since: int | None = None,
    hidden: Sequence[int] = (),
) -> Tensor:
    """Logits [length, vocabulary]; facts are seen from position `since` on, and what follows it is an answer that says
    them; without it they are seen everywhere, just as they are. `hidden`: which of all facts' tokens are never seen."""
    config, kind = model.config, model.config.model_type
    token_ids, places = torch.tensor(ids), torch.arange(len(ids))
    if kind == "gpt_neox":
        body, blocks, final = model.gpt_neox, model.gpt_neox.layers, model.gpt_neox.final_layer_norm
        states = body.embed_in.weight[token_ids]
    elif kind in ("gpt2", "gptj"):
        body, blocks, final = model.transformer, model.transformer.h, model.transformer.ln_f
        states = body.wte.weight[token_ids]
        if kind == "gpt2":
            states = states + body.wpe.weight[places]
    else:
        body, blocks, final = model.model, model.model.layers, model.model.norm
        states = body.embed_tokens.weight[token_ids]
        if kind.startswith("gemma"):
            states = states * torch.tensor(config.hidden_size**0.5)
    for index, block in enumerate(blocks):
        states = touch("residual", index, states)
        told = _told(adapter, index, states, facts, ids, since, hidden)
        states = _block(kind, config, block, index, states, places, told, touch)
    states = touch("residual", len(blocks), states)
    logits = model.lm_head(final(states))
    cap = getattr(config, "final_logit_softcapping", None)
    return torch.tanh(logits / cap) * cap if cap else logits


@torch.no_grad()
def reference_greedy(
    model: Any, ids: Sequence[int], adapter: Any, facts: Sequence[InjectedFact], tokens: int
) -> tuple[list[int], list[float]]:
    """Greedy tokens and their log-probabilities, everything computed anew for each; facts are seen from the last
    token of the prompt on."""
    said: list[int] = []
    scores: list[float] = []
    for _ in range(tokens):
        logits = reference_logits(model, [*ids, *said], adapter, facts, since=len(ids) - 1)
        scored = logits[-1].log_softmax(-1)
        said.append(int(scored.argmax()))
        scores.append(float(scored[said[-1]]))
    return said, scores


def _told(
    adapter: Any,
    layer: int,
    states: Tensor,
    facts: Sequence[InjectedFact],
    ids: Sequence[int],
    since: int | None,
    hidden: Sequence[int],
) -> Any:
    """Query [heads, length, d], keys and values [tokens, kv heads, d], bias per head, and per position and token."""
    if adapter is None or layer not in adapter.layers or not facts:
        return None
    at = adapter.layers.index(layer)
    keys = torch.cat([fact.tokens.keys[at] for fact in facts])
    values = torch.cat([fact.tokens.values[at] for fact in facts])
    bias = torch.cat([torch.full((fact.tokens.count,), fact.bias) for fact in facts])
    bias = bias[None].repeat(len(states), 1)
    if since is not None:
        for position in range(len(states)):
            bias[position] += _turns(facts, ids[since + 1 : position + 1], position >= since)
    bias[:, list(hidden)] = float("-inf")
    return adapter.query(layer, states[None])[0], keys, values, adapter.head_bias(layer), bias


def _turns(facts: Sequence[InjectedFact], answer: Sequence[int], seen: bool) -> Tensor:
    """Nothing of a fact is seen a token after the answer has said it; what does not come next stands back by 4."""
    changes: list[float] = []
    comes: list[tuple[bool, int]] = []
    for fact in facts:
        said, come = list(fact.tokens.said), 0
        told = bool(said) and any(
            list(answer[at : at + len(said)]) == said for at in range(len(answer) - len(said))
        )
        for count in range(1, min(len(said), len(answer)) + 1):
            come = count if list(answer[-count:]) == said[:count] else come
        comes.append((told, come))
    begun = any(come and not told for told, come in comes)
    # Of facts that are asked for together the first that was not told comes next, when none is being said.
    owed = [at for at, fact in enumerate(facts) if fact.order and fact.tokens.said and not comes[at][0]]
    next_one = None if begun or not owed else min(owed, key=lambda at: facts[at].order)
    for at, (fact, (told, come)) in enumerate(zip(facts, comes, strict=True)):
        # A fact that is not begun waits while another is, and after, and while another comes next.
        others = next_one is not None or any(other_told or other for other_told, other in comes)
        waits = come == 0 and at != next_one and others
        places = range(fact.tokens.count)
        changes += [
            float("-inf") if told or not seen else -4.0 * (waits or place != come) for place in places
        ]
    return torch.tensor(changes)


def _block(
    kind: str, config: Any, block: Any, index: int, states: Tensor, places: Tensor, told: Any, touch: Touch
) -> Tensor:
    def attend(module: Any, inner: Tensor) -> Tensor:
        return _attention(kind, config, module, index, inner, places, told, touch)

    def attention(written: Tensor) -> Tensor:
        return touch("attention", index, written)

    def mlp(written: Tensor) -> Tensor:
        return touch("mlp", index, written)

    if kind in ("gpt2", "gptj"):
        inner = block.ln_1(states)
        attended = attention(attend(block.attn, inner))
        if kind == "gptj":
            return states + attended + mlp(block.mlp(inner))
        states = states + attended
        return states + mlp(block.mlp(block.ln_2(states)))
    module = block.attention if kind == "gpt_neox" else block.self_attn
    attended = attend(module, block.input_layernorm(states))
    if kind in ("gemma2", "gemma3_text"):
        states = states + attention(block.post_attention_layernorm(attended))
        wide = block.mlp(block.pre_feedforward_layernorm(states))
        return states + mlp(block.post_feedforward_layernorm(wide))
    attended = attention(attended)
    if kind == "gpt_neox" and config.use_parallel_residual:
        return states + attended + mlp(block.mlp(block.post_attention_layernorm(states)))
    states = states + attended
    return states + mlp(block.mlp(block.post_attention_layernorm(states)))


def _attention(
    kind: str,
    config: Any,
    module: Any,
    index: int,
    inner: Tensor,
    places: Tensor,
    told: Any,
    touch: Touch,
) -> Tensor:
    heads, length = config.num_attention_heads, len(places)
    size = getattr(config, "head_dim", None) or config.hidden_size // heads
    if kind == "gpt_neox":
        query, key, value = module.query_key_value(inner).view(length, heads, 3, size).unbind(2)
    elif kind == "gpt2":
        query, key, value = (part.view(length, -1, size) for part in module.c_attn(inner).chunk(3, -1))
    else:
        query, key, value = (
            project(inner).view(length, -1, size) for project in (module.q_proj, module.k_proj, module.v_proj)
        )
    if kind in ("qwen3", "gemma3_text"):
        query, key = module.q_norm(query), module.k_norm(key)
    query, key = (_rotated(kind, config, index, part, places) for part in (query, key))
    scale = 1.0 / math.sqrt(config.query_pre_attn_scalar if kind in ("gemma2", "gemma3_text") else size)
    visible = places[:, None] >= places[None]
    if _window(kind, config, index):
        visible &= places[:, None] - places[None] < _window(kind, config, index)
    cap = config.attn_logit_softcapping if kind == "gemma2" else None
    group = heads // key.shape[1]
    visible = touch("visible", index, visible.expand(heads, length, length))
    outputs, patterns = [], []
    for head in range(heads):
        own = query[:, head] @ key[:, head // group].T * scale
        if cap:
            own = cap * torch.tanh(own / cap)
        own = own.masked_fill(~visible[head], float("-inf"))
        patterns.append(own.softmax(-1))
        seen = value[:, head // group]
        if told is not None:
            kb_query, kb_keys, kb_values, head_bias, bias = told
            notes = kb_query[head] @ kb_keys[:, head // group].T / math.sqrt(size) + head_bias[head] + bias
            own = torch.cat([notes, own], dim=-1)
            seen = torch.cat([kb_values[:, head // group], seen])
        outputs.append(own.softmax(-1) @ seen)
    touch("pattern", index, torch.stack(patterns))
    joined = touch("heads", index, torch.stack(outputs, dim=1)).flatten(-2)
    names = {"gpt_neox": "dense", "gpt2": "c_proj", "gptj": "out_proj"}
    projected: Tensor = getattr(module, names.get(kind, "o_proj"))(joined)
    return projected


def _window(kind: str, config: Any, index: int) -> int | None:
    if kind == "mistral":
        return config.sliding_window
    types = getattr(config, "layer_types", None)
    return config.sliding_window if types and types[index] == "sliding_attention" else None


def _rotated(kind: str, config: Any, index: int, states: Tensor, places: Tensor) -> Tensor:
    """[length, heads, d] turned by position."""
    if kind == "gpt2":
        return states
    if kind == "gptj":
        size, theta = config.rotary_dim, 10000.0
    else:
        rope = config.rope_parameters
        rope = rope[config.layer_types[index]] if kind == "gemma3_text" else rope
        size = int(states.shape[-1] * rope.get("partial_rotary_factor", 1.0))
        theta = rope["rope_theta"]
    angles = places[:, None].float() * theta ** (-torch.arange(0, size, 2).float() / size)
    cos, sin = angles.cos()[:, None], angles.sin()[:, None]
    turned, rest = states[..., :size], states[..., size:]
    if kind == "gptj":  # neighbours are a pair
        first, second = turned[..., 0::2], turned[..., 1::2]
        pairs = torch.stack([first * cos - second * sin, second * cos + first * sin], dim=-1)
        return torch.cat([pairs.flatten(-2), rest], dim=-1)
    first, second = turned[..., : size // 2], turned[..., size // 2 :]
    return torch.cat([first * cos - second * sin, second * cos + first * sin, rest], dim=-1)
