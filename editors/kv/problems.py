"""What one training step, or one evaluation batch, consists of; and how it is laid out as token tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from editors.kv.contract import Evidence, FactText
from editors.kv.features import object_ids
from editors.kv.meaning import Meaning
from editors.kv.prior import FIGURES

# The retriever's evidence for every fact, per prompt. Given from outside: editors know no store.
Scorer = Callable[[Sequence[str], Sequence[FactText], Meaning], list[list[Evidence]]]


@dataclass(frozen=True, slots=True)
class Question:
    """A prompt that ends right before the object of the fact it asks for."""

    prompt: str
    searched: str  # the part of the prompt that retrieval sees
    asked: int  # index of the fact that answers
    candidates: tuple[int, ...]  # facts that the model may see; without `asked` when the fact is absent
    continuation: str = ""  # ordinary text after the object; the model must go on as if it had said it itself
    closing: str = ""  # text that must follow the object (the end of a chat turn)

    @property
    def absent(self) -> bool:
        """Whether the fact that answers is not among the candidates."""
        return self.asked not in self.candidates


@dataclass(frozen=True, slots=True)
class Problem:
    """Facts, and questions about them."""

    facts: tuple[FactText, ...]
    questions: tuple[Question, ...]

    def halves(self) -> tuple[Problem, ...]:
        """The short questions and the long ones: less padding when each runs by itself."""
        ordered = sorted(
            self.questions, key=lambda question: len(question.prompt) + len(question.continuation)
        )
        middle = len(ordered) // 2
        return tuple(
            Problem(self.facts, tuple(part)) for part in (ordered[:middle], ordered[middle:]) if part
        )


@dataclass(frozen=True, slots=True)
class Laid:
    """A problem as tensors, right-padded. Positions are those whose *next* token is meant."""

    ids: Tensor  # [questions, length]
    mask: Tensor  # [questions, length]
    target: Tensor  # [questions, length]: token to say next, -100 where none is asked for
    nth: Tensor  # [questions, length]: which object token that is, -1 for the closing text
    keep: Tensor  # [questions, length] bool: go on as the plain model here
    decide: Tensor  # [questions] : position at which the answer begins


def lay_out(problem: Problem, tokenizer: Any, *, early: int = 3) -> Laid:
    """Prompt, object, closing, continuation in one row each.

    `early`: on how many positions inside the prompt the plain model is asked for too, so that facts do not
    disturb what comes before the answer.
    """
    rows: list[list[int]] = []
    spans: list[tuple[int, int, int]] = []  # end of prompt, end of object, end of closing
    for question in problem.questions:
        prompt = tokenizer(question.prompt).input_ids
        if question.absent:
            rows.append(prompt)
            spans.append((len(prompt), len(prompt), len(prompt)))
            continue
        said = object_ids(tokenizer, problem.facts[question.asked].object)
        closing = tokenizer(question.closing, add_special_tokens=False).input_ids if question.closing else []
        after = tokenizer(question.continuation, add_special_tokens=False).input_ids[:12]
        rows.append([*prompt, *said, *closing, *(after if not closing else [])])
        spans.append((len(prompt), len(prompt) + len(said), len(prompt) + len(said) + len(closing)))
    length = max(map(len, rows))
    shape = (len(rows), length)
    ids, mask = torch.full(shape, tokenizer.pad_token_id), torch.zeros(shape, dtype=torch.long)
    target, nth = torch.full(shape, -100), torch.full(shape, -1)
    keep = torch.zeros(shape, dtype=torch.bool)
    for row, (tokens, (prompt_end, object_end, closing_end)) in enumerate(zip(rows, spans, strict=True)):
        ids[row, : len(tokens)] = torch.tensor(tokens)
        mask[row, : len(tokens)] = 1
        target[row, prompt_end - 1 : closing_end - 1] = ids[row, prompt_end:closing_end]
        nth[row, prompt_end - 1 : object_end - 1] = torch.arange(object_end - prompt_end)
        if problem.questions[row].absent:
            keep[row, prompt_end - 1] = True
        else:
            keep[row, closing_end - 1 : len(tokens) - 1] = True
        if keep[row].any() and prompt_end > 6:
            keep[row, torch.randint(1, prompt_end - 4, (early,))] = True
    return Laid(ids, mask, target, nth, keep, torch.tensor([span[0] - 1 for span in spans]))


def evidence_tensors(problem: Problem, scorer: Scorer, meaning: Meaning) -> tuple[Tensor, ...]:
    """The prior's figures and visibility, each [questions, facts]."""
    table = scorer([question.searched for question in problem.questions], problem.facts, meaning)
    figures = [
        torch.tensor([[getattr(item, name) for item in row] for row in table], dtype=torch.float32)
        for name in FIGURES
    ]
    visible = torch.zeros(figures[0].shape, dtype=torch.bool)
    for row, question in enumerate(problem.questions):
        visible[row, list(question.candidates)] = True
    return (*figures, visible)
