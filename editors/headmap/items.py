"""Items of a task: texts with the answers that should follow them; read from JSON lines."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_HELD_OUT = 5  # every so many items are kept for measuring


@dataclass(frozen=True, slots=True)
class TaskItem:
    """A text, the answer that follows it after one space, and the answers that it could have been."""

    text: str
    answer: str
    choices: tuple[str, ...] = ()


def read_task(file: Path) -> list[TaskItem]:
    """One object a line: text, answer, choices (two or more, the answer among them). ValueError names the line."""
    found = []
    for number, line in enumerate(file.read_text(encoding="utf-8").split("\n"), 1):
        if line.strip():
            try:
                found.append(_item(json.loads(line)))
            except (KeyError, TypeError, ValueError) as error:
                raise ValueError(f"{file.name}, line {number}: {error}") from None
    if not found:
        raise ValueError(f"{file.name} holds no items")
    return found


def split(items: Sequence[TaskItem], seed: int) -> tuple[list[TaskItem], list[TaskItem]]:
    """Four fifths to train on, and a fifth to measure with."""
    if len(items) < 2 * _HELD_OUT:
        raise ValueError(f"{len(items)} items: {2 * _HELD_OUT} are the least, some of them are for measuring")
    shuffled = random.Random(seed).sample(list(items), len(items))
    count = len(items) // _HELD_OUT
    return shuffled[count:], shuffled[:count]


def _item(values: object) -> TaskItem:
    if not isinstance(values, dict) or set(values) != {"text", "answer", "choices"}:
        raise ValueError("must be an object with text, answer and choices")
    text, answer, choices = values["text"], values["answer"], values["choices"]
    if not isinstance(choices, list) or not all(isinstance(each, str) for each in (text, answer, *choices)):
        raise ValueError("text and answer must be texts, choices a list of texts")
    if len(set(choices)) < 2 or answer not in choices or not text.strip() or not all(map(str.strip, choices)):
        raise ValueError("needs two different choices or more, the answer among them, and nothing empty")
    return TaskItem(text.strip(), answer, tuple(choices))
