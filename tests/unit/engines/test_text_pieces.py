"""Tokens to text, and the choice of tokens."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
import torch
from tiny_models import byte_tokenizer

from engines.contract import Message, Sampling
from engines.detokenizer import StreamDecoder
from engines.errors import InvalidRequest
from engines.prompts import PromptEncoder
from engines.sampling import Sampler, check_sampling, choose

TOKENIZER = byte_tokenizer()
TEXTS = [
    "plain words, and more.",
    " leading space",
    "Zürich → 東京 🗼 done",
    "Ünï",
    "👩‍👩‍👧",
    "  two  spaces\n\n",
]


def decode(ids: list[int]) -> str:
    return TOKENIZER.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)


def stream(text: str, stop: Sequence[str] = ()) -> tuple[list[str], StreamDecoder]:
    decoder = StreamDecoder(decode, TOKENIZER("prompt").input_ids, stop)
    pieces = []
    for token in TOKENIZER(text).input_ids:
        pieces.append(decoder.add(token))
        if decoder.stopped:
            break
    return [*pieces, decoder.finish()], decoder


@pytest.mark.parametrize("text", TEXTS)
def test_pieces_are_whole_characters_and_together_the_text(text: str) -> None:
    pieces, decoder = stream(text)
    assert "".join(pieces) == text == decoder.text
    assert all("�" not in piece for piece in pieces)


@pytest.mark.parametrize("text", [*TEXTS, " ", "\n\n said"])
def test_a_turn_of_a_chat_does_not_begin_with_white_space(text: str) -> None:
    decoder = StreamDecoder(decode, TOKENIZER("prompt").input_ids, is_turn=True)
    pieces = [decoder.add(token) for token in TOKENIZER(text).input_ids]
    pieces.append(decoder.finish())
    assert "".join(pieces) == text.lstrip() == decoder.text


def test_a_character_that_is_never_finished_is_shown_as_such() -> None:
    decoder = StreamDecoder(decode, TOKENIZER("x").input_ids)
    first, second = TOKENIZER("é").input_ids
    assert decoder.add(first) == ""
    assert decoder.finish() == "�"
    again = StreamDecoder(decode, TOKENIZER("x").input_ids)
    assert again.add(second) == ""
    assert again.add(TOKENIZER("a").input_ids[0]) == "�a"


@pytest.mark.parametrize(
    ("text", "stop", "wanted"),
    [
        ("one two three", ("two",), "one "),
        ("aab aabc rest", ("aabc",), "aab "),
        ("abababc", ("ababc",), "ab"),
        ("first\nsecond", ("second", "\n"), "first"),
        ("nothing here", ("absent",), "nothing here"),
        ("ends with a beginning: abs", ("absent",), "ends with a beginning: abs"),
        ("東京タワー", ("タワ",), "東京"),
        ("stop", ("stop",), ""),
    ],
)
def test_nothing_of_a_stop_string_is_given_out(text: str, stop: tuple[str, ...], wanted: str) -> None:
    pieces, decoder = stream(text, stop)
    assert "".join(pieces) == decoder.text == wanted
    assert decoder.stopped == (wanted != text)
    for length in range(len(pieces)):  # at no moment had more been given out than the text
        assert wanted.startswith("".join(pieces[:length]))


def test_text_is_not_held_back_longer_than_needed() -> None:
    pieces, _ = stream("abcdef", ("cx",))
    assert pieces == ["a", "b", "", "cd", "e", "f", ""]


def test_greedy_takes_the_likeliest_and_reports_the_models_own_probability() -> None:
    logits = torch.tensor([[0.0, 2.0, 1.0], [3.0, 0.0, 0.0]])
    tokens, said = choose(logits, [Sampler(Sampling()), Sampler(Sampling(temperature=5.0, seed=1))])
    assert tokens[0] == 1
    wanted = [float(logits.log_softmax(-1)[row, token]) for row, token in enumerate(tokens)]
    assert said == pytest.approx(wanted, abs=1e-5)


def test_draws_follow_the_probabilities() -> None:
    logits = torch.tensor([1.0, 0.0, -1.0, 2.0])
    sampler = Sampler(Sampling(temperature=0.7, seed=3))
    counts = torch.bincount(torch.tensor([sampler.draw(logits) for _ in range(1500)]), minlength=4)
    assert torch.allclose(counts / 1500, (logits / 0.7).softmax(-1), atol=0.05)


@pytest.mark.parametrize("temperature", [1e-3, 1e-300, 1e-307, 5e-324])
def test_the_lower_the_temperature_the_likelier(temperature: float) -> None:
    logits = torch.tensor([3.0, -50.0, 40.0, 2.0])
    sampler = Sampler(Sampling(temperature=temperature, seed=1))
    assert {sampler.draw(logits) for _ in range(20)} == {2}


def test_top_p_leaves_out_the_tail() -> None:
    logits = torch.tensor([0.5, 0.3, 0.15, 0.05]).log()
    for top_p, allowed in [(0.4, {0}), (0.5, {0}), (0.6, {0, 1}), (0.9, {0, 1, 2}), (1.0, {0, 1, 2, 3})]:
        sampler = Sampler(Sampling(temperature=1.0, top_p=top_p, seed=1))
        assert {sampler.draw(logits) for _ in range(300)} == allowed


def test_a_seed_fixes_the_draws_and_no_seed_does_not() -> None:
    logits = torch.zeros(1000)
    runs = [
        [sampler.draw(logits) for _ in range(8)]
        for sampler in (Sampler(Sampling(temperature=1.0, seed=seed)) for seed in (7, 7, 8, -7, None, None))
    ]
    assert runs[0] == runs[1]
    assert all(a != b for a, b in itertools.combinations(runs[1:], 2))


@pytest.mark.parametrize(
    ("sampling", "field"),
    [
        (Sampling(max_tokens=0), "max_tokens"),
        (Sampling(temperature=-1.0), "temperature"),
        (Sampling(temperature=float("nan")), "temperature"),
        (Sampling(temperature=float("inf")), "temperature"),
        (Sampling(top_p=0.0), "top_p"),
        (Sampling(top_p=1.5), "top_p"),
        (Sampling(top_p=float("nan")), "top_p"),
        (Sampling(stop=("a", "")), "stop"),
    ],
)
def test_settings_that_mean_nothing_are_refused(sampling: Sampling, field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_sampling(sampling)
    assert caught.value.field == f"sampling.{field}"


def test_a_chat_is_written_in_the_models_template() -> None:
    prompts = PromptEncoder(TOKENIZER)
    ids = prompts.encode([Message("user", "hi")])
    assert TOKENIZER.decode(ids) == "<bos>user: hi<eos><bos>assistant: "
    assert ids.count(TOKENIZER.bos_token_id) == 2  # special tokens, not their letters


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ("", "empty"),
        ([], "at least one message"),
        ([Message("robot", "beep")], "no robots"),
        ("lone \ud800 surrogate", "Unicode"),
        ([Message("user", "\udfff")], "Unicode"),
    ],
)
def test_prompts_that_cannot_be_read_are_refused(prompt: str | list[Message], message: str) -> None:
    with pytest.raises(InvalidRequest, match=message) as caught:
        PromptEncoder(TOKENIZER).encode(prompt)
    assert caught.value.field == "prompt"


def test_a_model_without_a_template_takes_no_chats() -> None:
    plain = byte_tokenizer()
    plain.chat_template = None
    with pytest.raises(InvalidRequest, match="no chat template"):
        PromptEncoder(plain).encode([Message("user", "hi")])
