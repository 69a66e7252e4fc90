"""Metrics against values worked out by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import torch

from editors.metrics.accuracy import (
    forced_accuracy,
    generated_accuracy,
    neighbour_pairs,
    says,
    unchanged,
)
from editors.metrics.counterfact import EditCase, harmonic_mean, score_cases, summary
from editors.metrics.fluency import fluency, ngram_entropy
from editors.metrics.speaking import Forced, ModelSpeaker, Pair
from editors.weights.request import EditRequest
from engines.architectures import ARCHITECTURES
from engines.continuations import score_batch
from engines.prompts import PromptEncoder, end_tokens
from tests.unit.engines.tiny_models import byte_tokenizer, tiny_model

CASE = EditCase(
    EditRequest("Ann plays the", "Ann", "piano"),
    true="flute",
    paraphrases=("Ann is great at the", "Ann owns a"),
    neighbours=("Bob plays the", "Eve plays the", "Kim plays the"),
)
OTHER = EditCase(EditRequest("Ulm lies in", "Ulm", "Peru"), true="Germany", paraphrases=("Ulm is a town in",))


class Table:
    """A speaker that was told everything it says."""

    def __init__(
        self, scores: Mapping[Pair, Sequence[float]], texts: Mapping[str, str] | None = None
    ) -> None:
        self.scores, self.texts = scores, texts or {}

    def forced(self, pairs: Sequence[Pair]) -> list[Forced]:
        found = []
        for pair in pairs:
            values = self.scores[pair]
            wanted = tuple(range(len(values)))
            # A token is predicted when it is likelier than one half.
            predicted = tuple(i if value > -0.69 else -1 for i, value in enumerate(values))
            found.append(Forced(wanted, predicted, tuple(values)))
        return found

    def generate(self, prompts: Sequence[str], max_tokens: int) -> list[str]:
        return [self.texts[prompt] for prompt in prompts]


TABLE = Table(
    {
        # new wins although its sum is smaller: means are compared
        ("Ann plays the", "piano"): (-0.5, -1.5),
        ("Ann plays the", "flute"): (-1.25,),
        ("Ann is great at the", "piano"): (-3.0,),
        ("Ann is great at the", "flute"): (-2.0,),
        ("Ann owns a", "piano"): (-0.1, -0.2),
        ("Ann owns a", "flute"): (-9.0,),
        ("Bob plays the", "piano"): (-4.0,),
        ("Bob plays the", "flute"): (-0.3, -0.9),
        ("Eve plays the", "piano"): (-0.1,),
        ("Eve plays the", "flute"): (-1.0, -0.1),
        ("Kim plays the", "piano"): (-2.0,),
        ("Kim plays the", "flute"): (-2.0, -2.0),  # a tie is no win
        ("Ulm lies in", "Peru"): (-5.0,),
        ("Ulm lies in", "Germany"): (-1.0,),
        ("Ulm is a town in", "Peru"): (-1.0,),
        ("Ulm is a town in", "Germany"): (-2.0,),
    }
)


def test_success_is_decided_by_mean_token_likelihood() -> None:
    first, second = score_cases(TABLE, [CASE, OTHER])
    assert (first.es, first.ps, first.ns) == (1.0, 0.5, pytest.approx(1 / 3))
    assert (second.es, second.ps, second.ns) == (0.0, 1.0, None)
    found = summary([first, second])
    assert found["es"] == 0.5
    assert found["ps"] == 0.75
    assert found["ns"] == pytest.approx(1 / 3)
    # 3 / (2 + 4/3 + 3)
    assert found["s"] == pytest.approx(9 / 19)


def test_the_harmonic_mean_is_that_of_the_publication() -> None:
    # GPT-2 XL with ROME and without an edit, as published: ES, PS, NS and S.
    assert harmonic_mean([100.0, 96.4, 75.4]) == pytest.approx(89.2, abs=0.05)
    assert harmonic_mean([22.2, 24.7, 78.1]) == pytest.approx(30.5, abs=0.05)
    assert harmonic_mean([1.0, 0.0, 1.0]) == 0.0


def test_nothing_scored_is_an_error() -> None:
    with pytest.raises(ValueError, match="nothing"):
        summary([])


def test_teacher_forced_accuracy_counts_tokens() -> None:
    before = Table({**TABLE.scores, ("Eve plays the", "flute"): (-0.1, -0.1)}).forced(neighbour_pairs([CASE]))
    found = forced_accuracy(TABLE, [CASE], before)
    assert found.reliability == 0.5  # of (-0.5, -1.5) the first
    assert found.generality == 0.5  # none of one, both of two
    # Of the neighbours' tokens Bob's are as before, one of Eve's two changed, Kim's are as wrong as before.
    assert found.locality == pytest.approx((1 + 0.5 + 1) / 3)
    assert forced_accuracy(TABLE, [OTHER], []).locality is None


def test_generated_accuracy_reads_texts() -> None:
    texts = {
        "Ann plays the": " Piano, and well.",
        "Ann is great at the": " pianos",
        "Ann owns a": " piano",
        "Bob plays the": " flute.",
        "Eve plays the": " drum.",
        "Kim plays the": " flute.",
    }
    found = generated_accuracy(Table({}, texts), [CASE], [" flute.", " flute.", " flute."], 5)
    assert found.reliability == 1.0
    assert found.generality == 0.5
    assert found.locality == pytest.approx(2 / 3)


def test_a_text_says_an_object_when_it_begins_with_its_words() -> None:
    assert says(" New York City", "New York")
    assert not says(" New Yorkers", "New York")
    assert not says(" in New York", "New York")
    assert not says(" anything", "...")


def test_signs_tell_values_apart_and_marks_around_names_do_not() -> None:
    assert says(" C++, of course", "C++")
    assert not says(" C language", "C++")
    assert not says(" C#", "C++")
    assert says(" -5 degrees", "-5")
    assert not says(" 5 degrees", "-5")
    assert not says(" 5.7 metres", "5")
    assert says("東京です", "東京")
    assert says('"St Louis"-based', "St. Louis")


def test_unchanged_counts_predictions_not_hits() -> None:
    old = Forced((1, 2, 3, 4), (9, 2, 9, 4), (0.0,) * 4)
    new = Forced((1, 2, 3, 4), (9, 2, 3, 5), (0.0,) * 4)
    assert unchanged(old, new) == 0.5


def test_entropy_of_word_runs() -> None:
    words = "a b a b a".split()
    # pairs: ab 2, ba 2 -> 1 bit; triples: aba 2, bab 1 -> log2(3) - 2/3
    assert ngram_entropy(words, 2) == pytest.approx(1.0)
    assert ngram_entropy(words, 3) == pytest.approx(0.9182958)
    assert ngram_entropy(["a"], 2) == 0.0
    expected = 100 * (2 / 3 * 1.0 + 4 / 3 * 0.9182958) / 2
    assert fluency(["a b a b a"]) == pytest.approx(expected, rel=1e-6)
    assert fluency(["a b a b a", "z z z z"]) == pytest.approx(expected / 2, rel=1e-6)


def test_fluency_counts_punctuation_as_words() -> None:
    # "a , b" twice: pairs a, ,b ba -> 2 2 1; triples a,b ,ba ba, -> 2 1 1
    pairs = -(0.8 * -1.3219281 + 0.2 * -2.3219281)
    triples = 1.5
    assert fluency(["a,b a,b"]) == pytest.approx(100 * (2 / 3 * pairs + 4 / 3 * triples) / 2, rel=1e-6)
    with pytest.raises(ValueError, match="no text"):
        fluency([])


@pytest.mark.parametrize("kind", sorted(ARCHITECTURES))
def test_a_model_speaks_as_the_engine_scores_and_as_it_decodes(kind: str) -> None:
    model, tokenizer = tiny_model(kind), byte_tokenizer()
    speaker = ModelSpeaker(model, tokenizer)
    pairs = [("Ann plays the", "piano"), ("A rather long text about Bob who plays", "x")]
    encoder = PromptEncoder(tokenizer)
    expected = score_batch(model, None, [encoder.encode_pair(a, " " + b) for a, b in pairs], [()] * 2)
    forced = speaker.forced(pairs)
    for found, (said, _) in zip(forced, expected, strict=True):
        assert found.log_probabilities == pytest.approx(said, abs=1e-4)
    texts = speaker.generate(["Ann plays the", "Bob"], 4)
    assert texts == [
        greedy(model, tokenizer, encoder.encode(prompt), 4) for prompt in ("Ann plays the", "Bob")
    ]


@pytest.mark.parametrize(
    "default",
    [
        {"repetition_penalty": 1.5},
        {"no_repeat_ngram_size": 1},
        {"suppress_tokens": list(range(128))},
        {"num_beams": 3},
    ],
    ids=lambda default: next(iter(default)),
)
def test_what_a_model_ships_for_generation_is_not_greedy_decoding(default: dict[str, Any]) -> None:
    model, tokenizer = tiny_model("llama"), byte_tokenizer()
    model.generation_config.update(**default)
    shipped = model.generation_config.to_dict()
    prompts = ["Ann plays the", "Bob"]
    expected = [greedy(model, tokenizer, PromptEncoder(tokenizer).encode(prompt), 12) for prompt in prompts]
    assert ModelSpeaker(model, tokenizer).generate(prompts, 12) == expected
    assert model.generation_config.to_dict() == shipped


def greedy(model: Any, tokenizer: Any, ids: list[int], count: int) -> str:
    """Token by token, without a cache."""
    written: list[int] = []
    ends = end_tokens(model, tokenizer)
    while len(written) < count and not (written and written[-1] in ends):
        logits = model(input_ids=torch.tensor([ids + written]), use_cache=False).logits[0, -1]
        written.append(int(logits.argmax()))
    text: str = tokenizer.decode(written, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return text
