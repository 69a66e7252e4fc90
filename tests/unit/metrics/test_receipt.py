"""Receipts and portability against values worked out by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from editors.metrics.counterfact import EditCase
from editors.metrics.portability import Hop, Step, hop_of, portability
from editors.metrics.receipt import Receipt, Watch
from editors.metrics.speaking import Forced, Pair
from editors.weights.request import EditRequest

CASE = EditCase(EditRequest("Ann plays the", "Ann", "piano"), "flute", ("Ann owns a",), ("Bob plays the",))
PLAIN = {"piano": -4.0, "flute": -1.0, "copper": -9.0}
EDITED = {"piano": -0.5, "flute": -3.0, "copper": -9.0}


class Told:
    """A speaker that says the same of an object behind every prompt, but for those it was told of."""

    def __init__(
        self, said: Mapping[str, float], told: Mapping[Pair, tuple[float, int]] | None = None
    ) -> None:
        self.said, self.told = said, told or {}

    def forced(self, pairs: Sequence[Pair]) -> list[Forced]:
        found = []
        for pair in pairs:
            value, rank = self.told.get(pair, (self.said[pair[1]], 1 if self.said[pair[1]] > -1 else 7))
            found.append(Forced((1, 2), (1, 3), (value, value), (rank, 1)))
        return found

    def generate(self, prompts: Sequence[str], max_tokens: int) -> list[str]:
        best = max(self.said, key=lambda name: self.said[name])
        return [f" {best}, and more" for _ in prompts]


def receipt(before: Told, after: Told) -> Receipt:
    watch = Watch([CASE])
    return watch.receipt(watch.read(before), watch.read(after))


def test_a_receipt_has_every_object_before_and_after_and_controls() -> None:
    nobody = {("Mirela Vantongeren plays the", name): (PLAIN[name], 7) for name in PLAIN}
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
    weak = {**PLAIN, "piano": -2.0}
    assert receipt(Told(PLAIN), Told(weak)).problems == (
        "fact 1: the old object is still likelier than the new one",
    )
    everybody = receipt(Told(PLAIN), Told(EDITED)).problems
    assert everybody == ("fact 1: the new object is now said of a subject that was not edited",)
    wild = {**EDITED, "copper": -2.0}
    nobody = {("Mirela Vantongeren plays the", name): (PLAIN[name], 7) for name in PLAIN}
    assert receipt(Told(PLAIN), Told(wild, nobody)).problems == (
        "fact 1: an object that nobody asked for rose more than the new one",
    )


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
