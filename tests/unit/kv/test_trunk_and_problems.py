"""The shared trunk changes nothing, and problems are laid out as the objective reads them."""

from __future__ import annotations

from typing import Any

import torch

from editors.kv.contract import FactText
from editors.kv.problems import Problem, Question, lay_out
from editors.kv.trunk import from_trunk, run_trunk

FACTS = (
    FactText("", "Anna Keller", "employer", "Norwind Shipping"),
    FactText("", "Tom Berg", "colour", "green"),
)


def _ask(prompt: str, asked: int, candidates: tuple[int, ...], after: str = "") -> Question:
    return Question(prompt, prompt, asked, candidates, after)


def test_a_forward_from_the_trunk_is_the_whole_forward(model: Any) -> None:
    ids = torch.randint(2, 12, (3, 9), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    whole = model.base_model(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
    trunk = run_trunk(model, 2, input_ids=ids, attention_mask=mask)
    with from_trunk(model, trunk):
        resumed = model.base_model(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
    assert torch.equal(whole, resumed)
    after = model.base_model(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
    assert torch.equal(whole, after)


def test_some_rows_go_on_from_their_own_part_of_the_trunk(model: Any) -> None:
    ids = torch.randint(2, 12, (3, 9), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    rows = torch.tensor([True, False, True])
    whole = model.base_model(
        input_ids=ids[rows], attention_mask=mask[rows], use_cache=False
    ).last_hidden_state
    trunk = run_trunk(model, 2, input_ids=ids, attention_mask=mask)
    with from_trunk(model, trunk.rows(rows)):
        part = model.base_model(
            input_ids=ids[rows], attention_mask=mask[rows], use_cache=False
        ).last_hidden_state
    assert torch.allclose(whole, part, atol=1e-6)


def test_targets_stand_where_the_next_token_is_meant(tokenizer: Any) -> None:
    problem = Problem(FACTS, (_ask("The employer of Anna Keller is", 0, (0, 1), "The mayor is"),))
    laid = lay_out(problem, tokenizer, early=0)
    said = laid.nth[0] >= 0
    assert tokenizer.convert_ids_to_tokens(laid.target[0][said].tolist()) == ["Norwind", "Shipping"]
    assert laid.nth[0][said].tolist() == [0, 1]
    assert int(laid.decide[0]) == 5
    # from the last object token on, the model goes on as it would have
    assert torch.nonzero(laid.keep[0])[0].tolist() == [7]


def test_an_absent_fact_asks_for_the_plain_model_and_for_no_object(tokenizer: Any) -> None:
    question = _ask("The employer of Anna Keller is", 0, (1,), "The mayor is")
    laid = lay_out(Problem(FACTS, (question,)), tokenizer, early=0)
    assert question.absent
    assert not (laid.target >= 0).any()
    assert torch.nonzero(laid.keep[0]).flatten().tolist() == [int(laid.decide[0])]


def test_halves_hold_every_question_once() -> None:
    questions = tuple(_ask("The " * n + "colour of Tom Berg is", 1, (1,)) for n in (5, 1, 4, 2, 3))
    short, long = Problem(FACTS, questions).halves()
    assert sorted(map(id, (*short.questions, *long.questions))) == sorted(map(id, questions))
    assert max(len(q.prompt) for q in short.questions) <= min(len(q.prompt) for q in long.questions)
