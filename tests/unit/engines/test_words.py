"""Where a fact ends its last word ends."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer

from engines.contract import GenerateRequest, InjectedFact, KVTokens, Sampling
from engines.sampling import Sampler, choose
from engines.saying import Saying
from engines.transformers_engine import TransformersEngine
from engines.words import WordEnd, Words
from tests.unit.engines.tiny_models import RandomAdapter, byte_tokenizer, tiny_model


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return byte_tokenizer()


@pytest.fixture(scope="module")
def words(tokenizer: Any) -> Words:
    return Words.of(tokenizer)


def _ids(tokenizer: Any, text: str) -> list[int]:
    found: list[int] = tokenizer(text, add_special_tokens=False).input_ids
    return found


def _barred_after(tokenizer: Any, words: Words, facts: list[str], answer: str) -> str:
    """Which of some characters cannot come next."""
    saying = Saying([_ids(tokenizer, fact) for fact in facts])
    end = WordEnd(words, saying)
    for token in _ids(tokenizer, answer):
        saying.add(token)
        end.note(token)
    if end.barred is None:
        return ""
    return "".join(text for text in "az19.,)' -\n" if bool(end.barred[_ids(tokenizer, text)[0]]))


@pytest.mark.parametrize(
    ("facts", "answer", "barred"),
    [
        (["17.2"], "It is 17", ""),
        (["17.2"], "17.2", "az19-"),
        (["17.2"], "17.2.", "az19-"),  # a full stop ends no word: "17.2.1"
        (["17.2"], "17.2. ", ""),
        (["17.2"], "17.2. 5", ""),
        (["Rome"], "Rome)", "az19-"),
        (["Rome!"], "Rome!", ""),  # ends with no letter
        (["東京"], "東京", ""),  # of a script that writes no spaces
        (["Zoë"], "Zoë", ""),  # its last character is of two tokens: neither is a letter
        (["Paris", "Paz"], "Pa", ""),
        ([""], "a", ""),
        # The first is at its end, the second goes on with "1".
        (["18", "181"], "18", "az9-"),
    ],
)
def test_what_goes_on_with_the_word_is_barred_until_a_space(
    tokenizer: Any, words: Words, facts: list[str], answer: str, barred: str
) -> None:
    assert _barred_after(tokenizer, words, facts, answer) == barred


@pytest.mark.parametrize(
    ("text", "closes"), [(".", True), ("!", True), ("\n", True), (" ", False), ("a", False)]
)
def test_what_closes_a_sentence(tokenizer: Any, words: Words, text: str, closes: bool) -> None:
    assert words.closes(_ids(tokenizer, text)[-1]) == closes


def test_tokens_that_end_an_answer_are_never_barred(tokenizer: Any, words: Words) -> None:
    assert not words.table[:, tokenizer.all_special_ids].any()


def test_ids_that_the_tokenizer_has_no_text_for_are_no_words(tokenizer: Any, words: Words) -> None:
    """Models have more rows than tokenizers have tokens, and a fact's tokens come from outside."""
    figure, unknown = _ids(tokenizer, "7")[0], words.count + 40
    saying = Saying([(figure,), (figure, unknown), (figure, -3), (figure, unknown, figure)])
    end = WordEnd(words, saying)
    for token in (figure, unknown):
        saying.add(token)
        end.note(token)
        assert (end.barred is not None) == (token == figure)

    holed = byte_tokenizer()
    inner = json.loads(holed.backend_tokenizer.to_str())
    inner["model"]["vocab"]["beyond"] = words.count + 9
    made = type(holed)(tokenizer_object=Tokenizer.from_str(json.dumps(inner)), eos_token="<eos>")
    assert len(made) < Words.of(made).count == words.count + 10


def test_the_likeliest_of_the_others_is_chosen_and_its_probability_is_the_models() -> None:
    logits = torch.tensor([[0.0, 3.0, 2.0], [0.0, 3.0, 2.0]])
    samplers = [Sampler(Sampling()), Sampler(Sampling(temperature=0.01, seed=1))]
    mask = torch.tensor([False, True])  # a vocabulary may be padded
    bias = torch.where(mask, float("-inf"), 0.0)
    tokens, said = choose(logits, samplers, [bias, bias])
    assert tokens == [2, 2]
    assert said == pytest.approx([float(logits[0].log_softmax(-1)[2])] * 2)
    assert choose(logits, samplers, [None, bias])[0] == [1, 2]
    assert logits[0].tolist() == [0.0, 3.0, 2.0]


def test_an_answer_does_not_go_on_with_a_facts_word(tokenizer: Any, words: Words) -> None:
    model = tiny_model("llama")
    adapter = RandomAdapter.of(model)
    engine = TransformersEngine(model, tokenizer, adapter)
    try:
        grown = 0
        for number in range(60):
            prompt, sampling = f"prompt {number}", Sampling(max_tokens=2)
            empty = torch.zeros(len(adapter.layers), 0, 2, 16)
            (free,) = engine.generate([GenerateRequest(prompt, (), sampling)])
            goes_on = bool(words.table[2, free.token_ids[0]] and words.table[0, free.token_ids[1]])
            told = InjectedFact(KVTokens("f", adapter.digest, empty, empty, free.token_ids[:1]))
            (answer,) = engine.generate([GenerateRequest(prompt, (told,), sampling)])
            assert answer.token_ids[0] == free.token_ids[0]
            assert (answer.token_ids[1] != free.token_ids[1]) == goes_on
            grown += goes_on
        assert grown > 0
    finally:
        engine.close()
