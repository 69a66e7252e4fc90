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

_AFTER = 3  # tokens of a continuation that are gone through

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
        """The questions with short answers and those with long ones: less padding when each runs by itself."""
        ordered = sorted(
            self.questions, key=lambda question: len(self.facts[question.asked].object + question.closing)
        )
        middle = len(ordered) // 2
        return tuple(
            Problem(self.facts, tuple(part)) for part in (ordered[:middle], ordered[middle:]) if part
        )


@dataclass(frozen=True, slots=True)
class Answers:
    """Rows that begin with a prompt's last token. Positions are those whose *next* token is meant."""

    ids: Tensor  # [questions, length], right-padded
    mask: Tensor  # [questions, before + length]: also of what the prompts have before, left-padded
    target: Tensor  # [questions, length]: token to say next, -100 where none is asked for
    nth: Tensor  # [questions, length]: which object token that is, -1 for the closing text
    after: Tensor  # [questions, length] bool: the object is said; go on as the plain model

    @property
    def before(self) -> int:
        """Columns of the prompts, without their last token."""
        return self.mask.shape[1] - self.ids.shape[1]


def lay_out(problem: Problem, tokenizer: Any) -> tuple[Tensor, Answers]:
    """Prompt, object, closing, continuation in one row each [questions, before + length]; and the answers."""
    prompts: list[list[int]] = []
    tails: list[list[int]] = []
    ends: list[tuple[int, int]] = []  # of the object, of the closing
    for question in problem.questions:
        prompt = tokenizer(question.prompt).input_ids
        said = object_ids(tokenizer, problem.facts[question.asked].object)
        closing = tokenizer(question.closing, add_special_tokens=False).input_ids if question.closing else []
        after = tokenizer(question.continuation, add_special_tokens=False).input_ids[:_AFTER]
        prompts.append(prompt[:-1])
        tails.append([prompt[-1], *said, *closing, *(after if not closing else [])])
        ends.append((len(said), len(said) + len(closing)))
    before, length = max(map(len, prompts)), max(map(len, tails))
    ids = torch.full((len(tails), before + length), tokenizer.pad_token_id)
    mask = torch.zeros_like(ids)
    target, nth = torch.full((len(tails), length), -100), torch.full((len(tails), length), -1)
    keep = torch.zeros((len(tails), length), dtype=torch.bool)
    for row, (prompt, tail, (object_end, closing_end)) in enumerate(zip(prompts, tails, ends, strict=True)):
        own = slice(before - len(prompt), before + len(tail))
        ids[row, own] = torch.tensor([*prompt, *tail])
        mask[row, own] = 1
        target[row, :closing_end] = torch.tensor(tail[1 : 1 + closing_end])
        nth[row, :object_end] = torch.arange(object_end)
        keep[row, closing_end : len(tail)] = True
    return ids, Answers(ids[:, before:].clone(), mask, target, nth, keep)


def evidence_tensors(problem: Problem, scorer: Scorer, meaning: Meaning) -> tuple[Tensor, ...]:
    """The prior's figures and visibility, each [questions, facts]."""
    table = scorer([question.searched for question in problem.questions], problem.facts, meaning)
    figures = [
        torch.tensor([[getattr(item, name) for item in row] for row in table], dtype=torch.float32)
        for name in FIGURES
    ]
    return (*figures, visible_facts(problem))


def visible_facts(problem: Problem) -> Tensor:
    """[questions, facts] bool: each question's candidates."""
    visible = torch.zeros(len(problem.questions), len(problem.facts), dtype=torch.bool)
    for row, question in enumerate(problem.questions):
        visible[row, list(question.candidates)] = True
    return visible
