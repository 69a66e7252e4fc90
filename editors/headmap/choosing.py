"""Which of its possible answers the model finds likeliest behind a text; several texts in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from editors.headmap.items import TaskItem
from engines.decoding import left_padded, positions
from engines.prompts import PromptEncoder


@dataclass(frozen=True, slots=True)
class Choice:
    """`answer`: the likeliest of the choices, by mean token log-probability. `loss`: of the right one, likewise."""

    answer: str
    loss: float
    is_right: bool


@dataclass(frozen=True, slots=True)
class _Row:
    """A text with the beginning that some of its choices share: all but their last tokens."""

    item: int
    ids: list[int]
    tails: dict[str, list[int]]


def choices(model: Any, tokenizer: Any, items: Sequence[TaskItem], rows: int = 8) -> list[Choice]:
    """Of each item; ValueError for one whose answer is none of its choices."""
    prompts = PromptEncoder(tokenizer)
    wanted = [row for at, item in enumerate(items) for row in _rows(prompts, at, item)]
    said: list[dict[str, float]] = [{} for _ in items]
    for start in range(0, len(wanted), rows):
        part = wanted[start : start + rows]
        for row, read in zip(part, _read(model, [row.ids for row in part], _longest(part)), strict=True):
            for choice, tail in row.tails.items():
                own = read[len(read) - len(tail) :]
                said[row.item][choice] = float(own[torch.arange(len(tail)), torch.tensor(tail)].mean())
    return [_choice(item, each) for item, each in zip(items, said, strict=True)]


def _choice(item: TaskItem, said: dict[str, float]) -> Choice:
    if item.answer not in said:
        raise ValueError(f"{item.answer!r} is none of the choices {list(said)}")
    best = max(said, key=said.__getitem__)
    return Choice(best, -said[item.answer], best == item.answer)


def _rows(prompts: PromptEncoder, at: int, item: TaskItem) -> list[_Row]:
    found: dict[tuple[int, ...], _Row] = {}
    for choice in item.choices:
        head, tail = prompts.encode_pair(item.text, " " + choice)
        ids = (*head, *tail[:-1])
        found.setdefault(ids, _Row(at, list(ids), {})).tails[choice] = tail
    return list(found.values())


def _longest(rows: Sequence[_Row]) -> int:
    return max(len(tail) for row in rows for tail in row.tails.values())


@torch.no_grad()
def _read(model: Any, rows: Sequence[list[int]], kept: int) -> Tensor:
    """Log-probabilities at the last positions: [rows, kept, vocabulary]."""
    device = next(model.parameters()).device
    ids, mask = left_padded(rows, device)
    logits: Tensor = model(
        input_ids=ids,
        attention_mask=mask,
        position_ids=positions(mask),
        use_cache=False,
        logits_to_keep=kept,
    ).logits
    return logits.float().log_softmax(-1).cpu()
