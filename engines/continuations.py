"""Log-probabilities of given continuations, with facts in view."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from engines.contract import InjectedFact, KVAdapter
from engines.decoding import injected, left_padded, masses_by_fact, packed, positions
from engines.kv_attention import AttentionRecord

# Prompt and continuation as token ids.
Pair = tuple[Sequence[int], Sequence[int]]
# Per token its log-probability; per fact its largest share of attention at any token.
PairScore = tuple[tuple[float, ...], list[float]]


@torch.inference_mode()
def score_batch(
    model: Any,
    adapter: KVAdapter | None,
    pairs: Sequence[Pair],
    facts: Sequence[Sequence[InjectedFact]],
) -> list[PairScore]:
    """One forward: each continuation after its prompt, with its own facts in view."""
    device = next(model.parameters()).device
    ids, mask = left_padded([[*head, *tail] for head, tail in pairs], device)
    kept = max(len(tail) for _, tail in pairs) + 1
    tokens = packed(facts, adapter, device)
    if tokens is not None:
        tokens = tokens.seen_from([ids.shape[1] - len(tail) - 1 for _, tail in pairs])
    record = AttentionRecord(positions=kept)
    with injected(model, adapter, tokens, record):
        logits = model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions(mask),
            use_cache=False,
            logits_to_keep=kept,
        ).logits.float()
    # The logits at a position are those of the next token.
    logits, wanted = logits[:, :-1], ids[:, -(kept - 1) :]
    said = (logits.gather(2, wanted[:, :, None])[:, :, 0] - logits.logsumexp(-1)).tolist()
    masses = masses_by_fact(record, tokens, [len(own) for own in facts])
    return [
        (tuple(row[-len(tail) :]), [max(at[-1 - len(tail) : -1]) for at in mass])
        for (_, tail), row, mass in zip(pairs, said, masses, strict=True)
    ]
