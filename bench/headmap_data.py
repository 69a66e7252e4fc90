"""The commonsense tasks as items: what HeadMap's benchmark locates, trains and tests with."""

from __future__ import annotations

import json
from pathlib import Path

from editors.headmap.items import TaskItem

_FORMAT = "Answer format:"
_LONGEST = 1500  # characters of an instruction: longer ones are left out


def read_items(file: Path) -> list[TaskItem]:
    """ValueError, naming the item, where one is not what it should be. Too long ones are left out."""
    found = []
    for number, entry in enumerate(json.loads(file.read_text(encoding="utf-8"))):
        text, answer = str(entry["instruction"]), str(entry["answer"])
        choices = tuple(text.rpartition(_FORMAT)[2].strip().split("/"))
        if answer not in choices:
            raise ValueError(f"{file.name}, item {number}: {answer!r} is none of {choices}")
        if len(text) <= _LONGEST:
            found.append(TaskItem(f"{text}\n\nThe correct answer is", answer, choices))
    return found
