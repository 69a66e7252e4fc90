"""Beginnings that the model itself makes up: an edit is computed over several, so that it holds behind any text."""

from __future__ import annotations

import torch

from editors.weights.model import EditableModel
from engines.contract import Sampling
from engines.sampling import Sampler, choose

# (length in tokens, how many)
DEFAULT_PREFIXES = ((5, 5), (10, 5))


def own_prefixes(
    editable: EditableModel, wanted: tuple[tuple[int, int], ...] = DEFAULT_PREFIXES, seed: int = 0
) -> tuple[str, ...]:
    """Texts sampled from the unedited model; the empty one comes first. The same model makes the same texts."""

    def make() -> tuple[str, ...]:
        made = [text for length, count in wanted for text in _sampled(editable, length, count, seed)]
        return tuple(dict.fromkeys(["", *made]))

    return editable.remembered(("prefixes", wanted, seed), make)


@torch.inference_mode()
def _sampled(editable: EditableModel, length: int, count: int, seed: int) -> list[str]:
    if count == 0:
        return []
    tokenizer = editable.tokenizer
    start = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    samplers = [
        Sampler(Sampling(max_tokens=length, temperature=1.0, top_p=0.9, seed=seed * 1000 + at))
        for at in range(count)
    ]
    ids = torch.full((count, 1), start, device=editable.device)
    for _ in range(length):
        logits = editable.model(
            input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False, logits_to_keep=1
        ).logits[:, -1]
        chosen, _ = choose(logits, samplers)
        ids = torch.cat([ids, torch.tensor(chosen, device=ids.device)[:, None]], dim=1)
    texts: list[str] = tokenizer.batch_decode(ids[:, 1:], skip_special_tokens=True)
    return [text.strip() for text in texts if text.strip()]
