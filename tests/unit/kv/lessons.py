"""Courses that need no world."""

from __future__ import annotations

from collections.abc import Sequence

from editors.kv.contract import FactText
from editors.kv.problems import Problem, Question


class Same:
    """One problem again and again; counts how often it was asked for."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self.asked: list[int] = []

    def problem(self, number: int) -> Problem:
        self.asked.append(number)
        return self._problem

    def again(self, questions: Sequence[Question], facts: Sequence[FactText], step: int) -> list[Question]:
        return list(questions)
