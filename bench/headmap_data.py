"""The commonsense tasks as items: what HeadMap's benchmark locates, trains and tests with.

In a task's own form the answer is the label of one of the answers that the text lists. In words the text is the
question alone, and the answers are what stood behind the labels: a small model knows something of those, where it
takes one label for as likely as another.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from editors.headmap.items import TaskItem

FORMS = ("labels", "words")
_FORMAT = "Answer format:"
_LONGEST = 1500  # characters of an instruction: longer ones are left out
_LABEL = re.compile(r"\b(Answer|Solution|Option|Ending)(\d+): ")


def read_items(file: Path, form: str = "labels") -> list[TaskItem]:
    """ValueError, naming the item, where one is not what it should be. Too long ones are left out."""
    found = []
    for number, entry in enumerate(json.loads(file.read_text(encoding="utf-8"))):
        text, answer = str(entry["instruction"]), str(entry["answer"])
        labels = tuple(text.rpartition(_FORMAT)[2].strip().split("/"))
        if answer not in labels:
            raise ValueError(f"{file.name}, item {number}: {answer!r} is none of {labels}")
        if len(text) > _LONGEST:
            continue
        if form == "words":
            try:
                found.append(_in_words(text, answer))
            except ValueError as error:
                raise ValueError(f"{file.name}, item {number}: {error}") from None
        else:
            found.append(TaskItem(f"{text}\n\nThe correct answer is", answer, labels))
    return found


def _in_words(text: str, answer: str) -> TaskItem:
    before, *parts = _LABEL.split(text.rpartition(_FORMAT)[0])
    _, said, question = before.partition("question: ")
    listed = [part.strip() for part in parts[2::3]]
    named = [f"{kind}{at}".lower() for kind, at in zip(parts[::3], parts[1::3], strict=True)]
    words = dict(zip(named, listed, strict=True))
    if not said or answer not in words or not all(listed) or len(set(listed)) < 2:
        raise ValueError("no question with its answers listed behind it")
    return TaskItem(f"Question: {question.strip()}\nAnswer:", words[answer], tuple(dict.fromkeys(listed)))
