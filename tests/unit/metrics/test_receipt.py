"""Receipts and portability against values worked out by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
import torch

from editors.metrics.counterfact import EditCase
from editors.metrics.portability import Hop, Step, hop_of, portability
from editors.metrics.receipt import Receipt, Watch
from editors.metrics.speaking import Forced, ModelSpeaker, Pair
from editors.weights.request import EditRequest
from tests.unit.engines.tiny_models import byte_tokenizer, tiny_model

CASE = EditCase(EditRequest("Ann plays the", "Ann", "piano"), "flute", ("Ann owns a",), ("Bob plays the",))
NOBODY = "Mirela Vantongeren plays the"
PLAIN = {"piano": -4.0, "flute": -1.0, "copper": -9.0}
EDITED = {"piano": -0.5, "flute": -3.0, "copper": -9.0}


class Told:
    """A speaker that says the same of an object behind every prompt, but for those it was told of."""

    def __init__(
        self,
        said: Mapping[str, float],
        told: Mapping[Pair, tuple[float, int]] | None = None,
        tokens: int = 2,
    ) -> None:
        self.said, self.told, self.tokens = said, told or {}, tokens
        self.asked: list[int] = []  # tokens to be generated

    def forced(self, pairs: Sequence[Pair]) -> list[Forced]:
        found = []
        for pair in pairs:
            value, rank = self.told.get(pair, (self.said[pair[1]], 1 if self.said[pair[1]] > -1 else 7))
            size = self.tokens
            found.append(Forced((1, 2) * (size // 2), (1, 3) * (size // 2), (value,) * size, (rank, 1)))
        return found

    def generate(self, prompts: Sequence[str], max_tokens: int) -> list[str]:
        self.asked.append(max_tokens)
        best = max(self.said, key=lambda name: self.said[name])
        return [f" {best}, and more" for _ in prompts]


def receipt(before: Told, after: Told) -> Receipt:
    watch = Watch([CASE])
    return watch.receipt(watch.read(before), watch.read(after))


def test_a_receipt_has_every_object_before_and_after_and_controls() -> None:
    nobody = {(NOBODY, name): (PLAIN[name], 7) for name in PLAIN}
    found = receipt(Told(PLAIN), Told(EDITED, nobody))
    assert [(line.kind, line.object, line.is_new) for line in found.lines] == [
        ("edited", "piano", True),
        ("edited", "flute", False),
        ("paraphrase", "piano", True),
        ("paraphrase", "flute", False),
        ("neighbour", "piano", True),
        ("neighbour", "flute", False),
        ("absent", "piano", True),
        ("absent", "flute", False),
        ("shuffled", "copper", False),
    ]
    edited = found.lines[0]
    assert (edited.before.log_probability, edited.before.mean, edited.before.rank) == (-8.0, -4.0, 7)
    assert (edited.after.log_probability, edited.after.rank) == (-1.0, 1)
    assert edited.after.probability == pytest.approx(0.36788, abs=1e-5)
    assert (found.said[0].before, found.said[0].is_target) == (" flute, and more", True)
    assert found.problems == ()
    assert found.plain()["lines"][0]["after"]["rank"] == 1


def test_the_control_names_somebody_else_where_the_subject_is_named() -> None:
    request = EditRequest("In Romania people say that Roman plays the", "Roman", "piano")
    watch = Watch([EditCase(request, "flute")])
    read = watch.read(Told(PLAIN))
    lines = watch.receipt(read, read).lines
    assert {line.prompt for line in lines if line.kind == "absent"} == {
        "In Romania people say that Mirela Vantongeren plays the"
    }


def test_a_receipt_says_what_is_amiss() -> None:
    assert receipt(Told(PLAIN), Told(PLAIN)).problems == ("fact 1: the edit changed nothing",)
    weak, fell = ({**PLAIN, "piano": value} for value in (-2.0, -6.0))
    nobody = {(NOBODY, name): (PLAIN[name], 7) for name in PLAIN}
    unsaid = (
        "fact 1: the old object is still likelier than the new one",
        "fact 1: the model does not say the new object by itself",
    )
    assert receipt(Told(PLAIN), Told(weak, nobody)).problems == unsaid
    assert receipt(Told(PLAIN), Told(fell, nobody)).problems == (
        "fact 1: the new object is less likely than before",
        *unsaid,
    )
    everybody = receipt(Told(PLAIN), Told(EDITED)).problems
    assert everybody == ("fact 1: the new object is now said of a subject that was not edited",)
    wild = {**EDITED, "copper": -2.0}
    assert receipt(Told(PLAIN), Told(wild, nobody)).problems == (
        "fact 1: an object that nobody asked for rose more than the new one",
    )


def test_a_control_follows_where_it_rises_about_as_much() -> None:
    """By probability: of .37 at the subject itself, .2 or .09 elsewhere; neither is the likeliest there."""
    for value, problems in (
        (-0.8, ("fact 1: the new object rose about as much for a subject that was not edited",)),
        (-1.2, ()),
    ):
        told = {(NOBODY, name): (PLAIN[name], 7) for name in PLAIN} | {(NOBODY, "piano"): (value, 2)}
        assert receipt(Told(PLAIN), Told(EDITED, told)).problems == problems


def test_what_words_cannot_tell_is_not_missed() -> None:
    """A symbol is never found said; a long object has room to be."""
    plain, edited = {"♥": -4.0, "copper": -9.0}, {"♥": -0.5, "copper": -9.0}
    watch = Watch([EditCase(EditRequest("Ann plays the", "Ann", "♥"), "")])
    told = Told(edited, {(NOBODY, "♥"): (-4.0, 7)})
    found = watch.receipt(watch.read(Told(plain)), watch.read(told))
    assert (found.said[0].is_target, found.problems, told.asked) == (False, (), [16])
    long = Told(plain, tokens=30)
    watch.read(long)
    assert long.asked[0] > 30


def test_a_model_that_an_edit_broke_is_said_to_be_broken() -> None:
    """Where all is alike an object is as far down as there are tokens, not the first of them."""
    model, tokenizer = tiny_model("llama"), byte_tokenizer()
    watch, speaker = Watch([CASE]), ModelSpeaker(model, tokenizer)
    before = watch.read(speaker)
    torch.nn.init.zeros_(model.lm_head.weight)
    flat = watch.receipt(before, watch.read(speaker))
    assert {line.after.rank for line in flat.lines} == {model.config.vocab_size}
    assert "fact 1: all objects are now equally likely: the edit broke the model" in flat.problems
    torch.nn.init.constant_(model.lm_head.weight, float("nan"))
    none = watch.receipt(before, watch.read(speaker))
    assert none.problems == ("fact 1: what the model says is no longer a number: the edit broke it",)
    assert {line.after.rank for line in none.lines} == {model.config.vocab_size}


def test_what_follows_from_an_edit() -> None:
    makers = Step("The family of {s} is", {"piano": "keyboards", "flute": "winds", "oboe": "winds"})
    hop = hop_of(CASE, "instrument", makers)
    assert hop == Hop("The family of the instrument of Ann is", "keyboards", "winds")
    assert hop_of(CASE, "instrument", Step("{s}:", {"piano": "x"})) is None
    assert hop_of(CASE, "instrument", Step("{s}:", {"piano": "x", "flute": "x"})) is None
    capital = hop_of(CASE, "instrument", Step("{s} is of the", {"piano": "a", "flute": "b"}))
    assert capital is not None
    assert capital.prompt == "The instrument of Ann is of the"
    likely = Told({"keyboards": -1.0, "winds": -2.0, "a": -5.0, "b": -2.0})
    assert portability(likely, [hop]) == 1.0
    assert portability(likely, [hop, capital]) == 0.5
    assert portability(likely, []) is None
