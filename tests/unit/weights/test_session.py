"""Sessions, measured settings and the layer sweep."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from editors.metrics.counterfact import EditCase
from editors.metrics.speaking import Forced, Pair
from editors.weights.contract import Means
from editors.weights.errors import DeltaInUse, InvalidEdit, Unmeasured
from editors.weights.methods import METHODS, make_editor
from editors.weights.model import EditableModel
from editors.weights.request import EditRequest
from editors.weights.session import session, user_specs
from editors.weights.specs import Chosen, spec_of, write_chosen
from editors.weights.tune import KnownRelation, known_cases, those_known, tune
from engines.architectures import Layout
from tests.unit.engines.tiny_models import byte_tokenizer, tiny_model
from tests.unit.weights.conftest import REQUESTS, TINY
from tests.unit.weights.test_deltas import digests

Make = Callable[..., EditableModel]
CITIES = KnownRelation(
    ("{s} lies in", "The country of {s} is", "{s} is a city in"),
    (("Oslo", "Norway"), ("Bergen", "Norway"), ("Ulm", "Germany"), ("Lima", "Peru"), ("Cusco", "Peru")),
)
USELESS = KnownRelation(("{s} is called",), (("Ann", "Ann"), ("Bob", "Bob")))


def test_a_session_takes_everything_back(means: Means) -> None:
    model, tokenizer = tiny_model("llama"), byte_tokenizer()
    before = digests(EditableModel(model, tokenizer))
    with session(model, tokenizer, means=means) as editing:
        first = editing.edit("ft_m", REQUESTS[:1], **TINY["ft_m"])
        second = editing.edit("rome", REQUESTS[1:], **{**TINY["rome"], "steps": 3})
        assert editing.editable.deltas == (first, second)
        with pytest.raises(DeltaInUse):
            editing.revert(first)
        editing.revert(second)
        assert editing.editable.deltas == (first,)
    assert digests(EditableModel(model, tokenizer)) == before


def test_a_session_takes_everything_back_after_an_exception(means: Means) -> None:
    model, tokenizer = tiny_model("gpt2"), byte_tokenizer()
    before = digests(EditableModel(model, tokenizer))

    def fail() -> None:
        with session(model, tokenizer, means=means) as editing:
            editing.edit("ft_l", REQUESTS, **TINY["ft_l"])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert digests(EditableModel(model, tokenizer)) == before


def test_measured_settings_are_used_and_may_be_overridden(
    means: Means, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INTERLEAF_CACHE", str(tmp_path))
    model, tokenizer = tiny_model("llama"), byte_tokenizer()
    with session(model, tokenizer, means=means) as editing:
        with pytest.raises(Unmeasured, match="layer sweep"):
            editing.compute("ft_m", REQUESTS)
        write_chosen(
            user_specs() / "t.json",
            "tiny",
            editing.editable.digest,
            "ft_m",
            Chosen({"layer": 2, "steps": 4}, {"s": 0.5}),
        )
        assert editing.compute("ft_m", REQUESTS).config["layer"] == 2
        assert editing.compute("ft_m", REQUESTS, steps=2).config["steps"] == 2
        assert editing.compute("ft_m", REQUESTS, layer=0).config["steps"] == 25
        with pytest.raises(Unmeasured, match="no settings of rome for tiny"):
            editing.compute("rome", REQUESTS)


def test_a_spec_belongs_to_one_model(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    write_chosen(path, "m", "abc", "ft_m", Chosen({"layer": 1}, {"s": 0.1}, [{"layer": 1, "s": 0.1}]))
    write_chosen(path, "m", "abc", "rome", Chosen({"layer": 2}))
    write_chosen(path, "m", "abc", "ft_m", Chosen({"layer": 3}))
    found = spec_of("abc", tmp_path)
    assert {name: chosen.settings["layer"] for name, chosen in found.methods.items()} == {
        "ft_m": 3,
        "rome": 2,
    }
    with pytest.raises(Unmeasured, match="another model"):
        write_chosen(path, "n", "def", "ft_m", Chosen({"layer": 1}))
    with pytest.raises(Unmeasured):
        spec_of("def", tmp_path)


def test_known_facts_make_counterfactual_cases() -> None:
    cases = known_cases([CITIES, USELESS], 30, seed=3)
    assert cases == known_cases([CITIES, USELESS], 30, seed=3)
    assert len(cases) == 30
    true = dict(CITIES.facts)
    for case in cases:
        assert true[case.request.subject] == case.true != case.request.target
        assert case.request.target in true.values()
        prompts = (case.request.prompt, *case.paraphrases)
        assert sorted(prompts) == sorted(t.replace("{s}", case.request.subject) for t in CITIES.templates)
        near = {subject for subject, said in CITIES.facts if said == case.true} - {case.request.subject}
        assert len(case.neighbours) == len(near)
        assert all(any(subject in prompt for subject in near) for prompt in case.neighbours)
        assert len(case.paraphrases) == 2
    assert {len(case.paraphrases) for case in known_cases([CITIES], 5, paraphrases=1)} == {1}
    with pytest.raises(InvalidEdit, match="relations"):
        known_cases([USELESS], 1)


def test_only_facts_that_the_model_knows_are_kept() -> None:
    """Of Norway's cities with one neighbour: known, or believed of the neighbour only, or of the city only."""
    cases = [case for case in known_cases([CITIES], 40) if case.true == "Norway"]
    assert len(cases) > 5
    assert those_known(Believer("Norway"), cases, 100) == cases
    assert those_known(Believer("Norway"), cases, 3) == cases[:3]
    assert those_known(Believer("Germany"), cases, 100) == []
    alone = [replace(case, neighbours=()) for case in cases]
    assert those_known(Believer("Norway"), alone, 100) == []
    elsewhere = [replace(case, neighbours=("Elsewhere lies in",)) for case in cases]
    assert those_known(Believer("Norway"), elsewhere, 100) == []


class Believer:
    """A speaker to whom one object is likeliest behind every prompt, but not behind those about elsewhere."""

    def __init__(self, object_: str) -> None:
        self.object = object_

    def forced(self, pairs: Sequence[Pair]) -> list[Forced]:
        liked = [(text == self.object) == (not prompt.startswith("Elsewhere")) for prompt, text in pairs]
        return [Forced((0,), (0,), (-1.0 if like else -2.0,)) for like in liked]

    def generate(self, prompts: Sequence[str], max_tokens: int) -> list[str]:
        return [self.object for _ in prompts]


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_the_sweep_picks_the_best_layer_and_writes_it_down(
    tiny: Make, means: Means, tmp_path: Path, kind: str
) -> None:
    editable = tiny(kind)
    before = digests(editable)
    cases = known_cases([CITIES], 2)
    spec = tmp_path / "spec.json"
    result = tune(
        editable,
        "ft_m",
        [0, 3],
        cases,
        means,
        settings={"steps": 30, "rate": 0.02},
        spec=spec,
        model_name=kind,
    )
    assert digests(editable) == before
    assert [row["layer"] for row in result.rows] == [0, 3]
    assert result.best["s"] == max(row["s"] for row in result.rows)
    assert all(row["es"] == 1.0 for row in result.rows)
    written = spec_of(editable.digest, tmp_path).methods["ft_m"]
    assert written.settings == {"steps": 30, "rate": 0.02, "layer": result.best["layer"]}
    assert written.figures["s"] == result.best["s"]
    assert written.figures["n"] == 2
    assert [row["layer"] for row in written.sweep] == [0, 3]


def test_a_sweep_that_is_ended_early_compares_the_layers_on_the_same_cases(tiny: Make, means: Means) -> None:
    editable = tiny()
    cases = known_cases([CITIES], 3)
    rows: dict[str, Any] = {}
    room = [5]

    def keep(name: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any] | None:
        if name not in rows and len(rows) < room[0]:
            rows[name] = json.loads(json.dumps(make()))
        return rows.get(name)

    def sweep(**more: Any) -> Any:
        return tune(editable, "ft_m", [0, 3], cases, means, settings={"steps": 5, "rate": 0.02}, **more)

    ended = sweep(keep=keep)
    assert [row["n"] for row in ended.rows] == [
        2,
        2,
    ]  # two of three cases, by both layers; the fifth edit is kept
    room[0] = 6
    whole, alone = sweep(keep=keep), sweep()
    assert len(rows) == 6
    figures = [
        {key: row[key] for key in ("layer", "es", "ps", "ns", "s", "n") if key in row} for row in whole.rows
    ]
    assert figures == [
        {key: row[key] for key in figure} for figure, row in zip(figures, alone.rows, strict=True)
    ]
    room[0], rows = 0, {}
    with pytest.raises(InvalidEdit, match="cases"):
        sweep(keep=keep)


def test_the_sweep_of_memit_is_over_groups_of_layers(tiny: Make, means: Means, tmp_path: Path) -> None:
    editable = tiny()
    settings: dict[str, Any] = {key: value for key, value in TINY["memit"].items() if key != "layers"}
    case = EditCase(EditRequest("Ulm lies in", "Ulm", "Peru"), "Germany")
    result = tune(
        editable,
        "memit",
        [(0, 1), (1, 2)],
        [case],
        means,
        settings=settings | {"steps": 2},
        spec=tmp_path / "s.json",
    )
    assert tuple(spec_of(editable.digest, tmp_path).settings("memit")["layers"]) == result.best["layer"]
    make_editor("memit", spec_of(editable.digest, tmp_path).settings("memit"))
    for layers, wrong in (([], [case]), ([(0,)], [])):
        with pytest.raises(InvalidEdit):
            tune(editable, "memit", layers, wrong, means)


def test_every_method_is_covered_here() -> None:
    assert set(TINY) == set(METHODS)
    assert Layout.CONV1D in {EditableModel(tiny_model("gpt2"), byte_tokenizer()).spec.architecture.layout}
