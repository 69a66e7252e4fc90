"""Answers that are gone through again from what was read once are what whole forwards with facts give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from lessons import Same
from torch.nn.functional import pad

from editors.kv.contract import Evidence, FactText
from editors.kv.encoder import KVEncoder
from editors.kv.library import Library
from editors.kv.meaning import Meaning
from editors.kv.objective import Weights, first_tokens, losses, pooled_tokens
from editors.kv.problems import Problem, Question, lay_out
from editors.kv.reading import answer_states, read_problem
from engines.decoding import positions
from engines.kv_attention import inject

FACTS = (
    FactText("", "Anna Keller", "employer", "Norwind Shipping"),
    FactText("", "Tom Berg", "colour", "green"),
)


def _ask(prompt: str, asked: int, candidates: tuple[int, ...], after: str = "") -> Question:
    return Question(prompt, prompt, asked, candidates, after)


PROBLEM = Problem(
    FACTS,
    (
        _ask("The mayor . The employer of Anna Keller is", 0, (0, 1), ". The mayor is"),
        _ask("The colour of Tom Berg is", 1, (1,)),
        _ask("The colour of Anna Keller is", 1, (0,)),
    ),
)


def undecided(prompts: Sequence[str], facts: Sequence[FactText], meaning: Meaning) -> list[list[Evidence]]:
    return [[Evidence(1.0, 0.5, 0.5, -1.0) for _ in facts] for _ in prompts]


def _whole(
    model: Any, tokenizer: Any, encoder: KVEncoder | None, known: Any
) -> tuple[torch.Tensor, torch.Tensor]:
    """Last hidden states of whole forwards, over the answers' columns; and which of these are real."""
    ids, answers = lay_out(PROBLEM, tokenizer)
    inputs = {
        "input_ids": ids,
        "attention_mask": answers.mask,
        "position_ids": positions(answers.mask),
        "use_cache": False,
    }
    if encoder is None:
        states = model.base_model(**inputs).last_hidden_state
    else:
        batch = pooled_tokens(encoder, known).seen_from([answers.before] * len(ids))
        batch = replace(batch, bias=pad(batch.bias, (0, 0, answers.before, 0)))  # one for each column
        with inject(model, encoder, batch):
            states = model.base_model(**inputs).last_hidden_state
    return states[:, answers.before :], answers.mask[:, answers.before :].bool()


@torch.no_grad()
def test_answers_are_gone_through_as_whole_texts_would_be(
    model: Any, tokenizer: Any, encoder: KVEncoder
) -> None:
    known = read_problem(model, tokenizer, encoder.config, encoder.meaning, undecided, PROBLEM)
    plain, real = _whole(model, tokenizer, None, known)
    torch.testing.assert_close(known.read.plain[real], plain[real])
    # The prompts' keys and values are kept in half precision.
    torch.testing.assert_close(answer_states(model, known.read)[real], plain[real], atol=2e-3, rtol=0)
    with inject(model, encoder, pooled_tokens(encoder, known)):
        got = answer_states(model, known.read)
    wanted, _ = _whole(model, tokenizer, encoder, known)
    torch.testing.assert_close(got[real], wanted[real], atol=2e-3, rtol=0)
    assert float((wanted - plain)[real].abs().max()) > 0.05


def test_targets_stand_where_the_next_token_is_meant(tokenizer: Any) -> None:
    ids, answers = lay_out(PROBLEM, tokenizer)
    said = answers.nth[0] >= 0
    assert tokenizer.convert_ids_to_tokens(answers.target[0][said].tolist()) == ["Norwind", "Shipping"]
    assert answers.nth[0][said].tolist() == [0, 1]
    assert tokenizer.convert_ids_to_tokens(answers.ids[:, 0].tolist()) == ["is", "is", "is"]
    assert answers.before == 8  # of the longest prompt, all but the last token
    assert torch.equal(ids[:, answers.before :], answers.ids)
    # From the last object token on, the model goes on as it would have.
    assert torch.nonzero(answers.after[0]).flatten().tolist() == [2, 3, 4, 5]


def test_only_what_is_visible_is_asked_for(model: Any, tokenizer: Any, encoder: KVEncoder) -> None:
    known = read_problem(model, tokenizer, encoder.config, encoder.meaning, undecided, PROBLEM)
    assert known.evidence[-1].tolist() == [[True, True], [False, True], [True, False]]
    absent = known.seeing([replace(question, candidates=()) for question in PROBLEM.questions])
    parts = losses(encoder, model, absent, Weights())
    assert (parts.said, parts.after, parts.attention) == (0.0, 0.0, 0.0)
    present = losses(encoder, model, known, Weights())
    assert present.said > 0
    assert present.absent > 0
    present.total.backward()  # type: ignore[no-untyped-call]
    assert encoder.value["3"].weight.grad.abs().sum() > 0
    assert first_tokens(known).tolist() == [0, 3]


def test_halves_hold_every_question_once() -> None:
    questions = tuple(
        _ask("The employer of Anna Keller is" if asked == 0 else "The colour of Tom Berg is", asked, (asked,))
        for asked in (0, 1, 1, 0, 1)
    )
    short, long = Problem(FACTS, questions).halves()
    assert sorted(map(id, (*short.questions, *long.questions))) == sorted(map(id, questions))
    assert [question.asked for question in short.questions] == [1, 1]


def test_a_library_reads_anew_only_what_it_does_not_have(
    model: Any, tokenizer: Any, encoder: KVEncoder
) -> None:
    course = Same(PROBLEM)
    library = Library(encoder, model, tokenizer, course, undecided, size=2)
    for step in range(12):
        assert len(library.lesson(step, repeats=3, seed=0)) == 2
    assert course.asked == [0, 1, 2, 3]
    resumed = Same(PROBLEM)
    library = Library(encoder, model, tokenizer, resumed, undecided, size=2)
    for step in range(7, 12):
        library.lesson(step, repeats=3, seed=0)
    assert set(resumed.asked) <= {1, 2, 3}
