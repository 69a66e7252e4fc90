"""Problems that were read, to be gone through again: reading costs more than a training step over the answers."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, Protocol

from editors.kv.contract import FactText
from editors.kv.encoder import KVEncoder
from editors.kv.problems import Problem, Question, Scorer
from editors.kv.reading import Known, read_problem


class Course(Protocol):
    """What is learned from. Depends on the numbers alone, so that a resumed run sees what an uninterrupted one would
    have seen."""

    def problem(self, number: int) -> Problem:
        """One after another; none comes twice."""
        ...

    def again(self, questions: Sequence[Question], facts: Sequence[FactText], step: int) -> list[Question]:
        """The same questions, with other candidates."""
        ...


class Library:
    """The problems that were read last: a new one every few steps, and between them one of those that are known."""

    def __init__(
        self, encoder: KVEncoder, model: Any, tokenizer: Any, course: Course, scorer: Scorer, *, size: int
    ) -> None:
        self._encoder, self._model, self._tokenizer = encoder, model, tokenizer
        self._course, self._scorer, self._size = course, scorer, size
        self._known: dict[int, list[Known]] = {}

    def lesson(self, step: int, *, repeats: int, seed: int) -> list[Known]:
        """A problem in parts, by the step alone: what a resumed run has not read itself is read when it is wanted."""
        newest = number = step // repeats
        if step % repeats:
            number = random.Random(f"{seed}/again/{step}").randint(max(0, newest - self._size + 1), newest)
        if number not in self._known:
            self._known[number] = self._read(number)
            while len(self._known) > self._size:
                del self._known[min(self._known)]
        return [
            known.seeing(self._course.again(known.problem.questions, known.problem.facts, step))
            for known in self._known[number]
        ]

    def _read(self, number: int) -> list[Known]:
        encoder = self._encoder
        return [
            read_problem(self._model, self._tokenizer, encoder.config, encoder.meaning, self._scorer, part)
            for part in self._course.problem(number).halves()
        ]
