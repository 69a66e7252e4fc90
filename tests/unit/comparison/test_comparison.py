"""The comparison of methods on tiny models: what is read inside adds up, the model comes back, the picture is whole."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree

import pytest
import torch

from editors.comparison.compare import Comparison, compare
from editors.comparison.contenders import Contender, WeightEdit
from editors.comparison.inside import look_inside
from editors.comparison.picture import picture
from editors.metrics.counterfact import EditCase
from editors.metrics.portability import Hop
from editors.metrics.speaking import plainly
from editors.weights.contract import Means
from editors.weights.corpus import builtin_corpus
from editors.weights.delta import tensor_digest
from editors.weights.hooks import forward_until
from editors.weights.model import EditableModel
from editors.weights.request import EditRequest
from editors.weights.statistics import KeyStatistics
from engines.architectures import ARCHITECTURES
from engines.continuations import score_batch
from service.edits.circuits import CircuitFinder
from service.edits.fact_contender import FactSpeaker
from tests.tiny import bank_model, bank_tokenizer
from tests.unit.engines.tiny_models import RandomAdapter

CASE = EditCase(
    EditRequest("the name of Tom Berg", "Tom Berg", "Oslo & <b>", "name"),
    "Rome",
    ("people call Tom Berg",),
    ("the name of Ida Lund",),
)
FT = {"layer": 1, "steps": 30, "rate": 0.02}
ROME = {"layer": 1, "steps": 5, "clamp": 40.0, "decay": 0.0, "drift": 0.0, "prefixes": ((2, 1),)}


def editable_of(kind: str) -> EditableModel:
    return EditableModel(bank_model(kind), bank_tokenizer())


@pytest.mark.parametrize("kind", sorted(ARCHITECTURES))
def test_what_is_read_inside_is_what_the_model_says(kind: str) -> None:
    editable = editable_of(kind)
    seen = look_inside(editable, CASE.request, CASE.true, lambda: plainly([]))
    layers, heads = len(editable.spec.layers), editable.spec.heads
    assert (seen.ranks.shape, seen.heads.shape, seen.mlps.shape) == ((layers, 2), (layers, heads), (layers,))
    ids = torch.tensor([editable.prompts.encode(CASE.request.prompt)])
    with torch.no_grad():
        logits = editable.model(input_ids=ids).logits[0, -1].float()
    wanted = editable.prompts.encode_pair(CASE.request.prompt, " Oslo & <b>")[1][0]
    assert int(seen.ranks[-1, 0]) == int((logits > logits[wanted]).sum()) + 1
    assert torch.isfinite(seen.heads).all()
    assert seen.heads.abs().sum() > 0
    assert seen.mlps.abs().sum() > 0


@pytest.mark.parametrize("kind", ["qwen3", "gemma2", "gemma3_text"])
def test_the_parts_add_up_to_the_difference_of_the_logits(kind: str) -> None:
    """Without biases the embedding, the heads and the MLPs make the whole of it, through norms behind them too."""
    editable = editable_of(kind)
    request, spec = CASE.request, editable.spec
    seen = look_inside(editable, request, CASE.true, lambda: plainly([]))
    ids = torch.tensor([editable.prompts.encode(request.prompt)])
    new, old = (editable.prompts.encode_pair(request.prompt, f" {text}")[1][0] for text in ("Oslo", "Rome"))
    with torch.no_grad():
        first, passed = forward_until(editable.model, [spec.layers[0], spec.final_norm], input_ids=ids)
        logits = spec.lm_head(passed.wrote[0, -1])  # before they are capped
        embedded = first.read[0, -1]
        scale = passed.wrote[0, -1] / passed.read[0, -1]
        direction = spec.weight_of(spec.lm_head)[new] - spec.weight_of(spec.lm_head)[old]
    parts = float(seen.heads.sum() + seen.mlps.sum() + (embedded * scale) @ direction)
    assert parts == pytest.approx(float(logits[new] - logits[old]), abs=1e-3)


@pytest.mark.parametrize("kind", ["llama", "gemma2"])
def test_facts_are_compared_as_they_are_served(kind: str) -> None:
    """Seen from the prompt's last token on, and in turns, whatever shares the batch."""
    editable = editable_of(kind)
    adapter, encode = RandomAdapter.of(editable.model), editable.prompts.encode_pair
    pairs = [("the name of Tom Berg", "Oslo"), ("Ida", "a much longer name"), ("whose is it", "Rome")]
    made = adapter.fact("name", tokens=3, bias=2.0)
    fact = replace(made, tokens=replace(made.tokens, said=tuple(encode("is", " Oslo & Ulm")[1][:2])))
    seen = {prompt: [fact] if prompt != "whose is it" else [] for prompt, _ in pairs}
    speaker = FactSpeaker(editable, adapter, lambda prompts: [seen[prompt] for prompt in prompts])
    encoded = [encode(prompt, f" {text}") for prompt, text in pairs]
    served = score_batch(editable.model, adapter, encoded, [seen[prompt] for prompt, _ in pairs])
    for each, (said, _) in zip(speaker.forced(pairs), served, strict=True):
        assert each.log_probabilities == pytest.approx(said, abs=1e-4)


def test_a_circuit_kept_is_counted_by_nodes_and_edges() -> None:
    """Of one that needs other parts behind every edit."""
    editable = editable_of("llama")
    asked: list[str] = []

    def needed(request: EditRequest, said: str) -> tuple[frozenset[int], frozenset[int]]:
        asked.append(said)
        if said == CASE.true:
            return frozenset({0, 1, 2, 3}), frozenset({7, 8})
        return frozenset({0, 1, 9}), frozenset({8, 9, 10})

    contender = WeightEdit(editable, "ft_m", {**FT, "steps": 2}, Means())
    _, tuned = compare(editable, [contender], [CASE], lambda what, share: None, None, needed).methods
    assert asked == [CASE.true, CASE.request.target]
    assert tuned["figures"]["circuit_nodes_kept"] == tuned["figures"]["circuit_edges_kept"] == 0.5


@pytest.fixture(scope="module")
def compared() -> tuple[Comparison, bool]:
    """Two methods on a fact, and whether every byte of the model came back."""
    editable = editable_of("llama")
    before = {name: tensor_digest(value) for name, value in editable.model.state_dict().items()}
    means = Means(KeyStatistics(builtin_corpus(), tokens=1000))
    contenders: list[Contender] = [
        WeightEdit(editable, "ft_m", FT, means),
        WeightEdit(editable, "rrome", ROME, means),
    ]
    hops = {0: [Hop("The country of the name of Tom Berg is", "Norway", "Italy")]}
    shares: list[float] = []
    needed = CircuitFinder(editable)
    found = compare(editable, contenders, [CASE], lambda what, share: shares.append(share), hops, needed)
    assert shares == sorted(shares)
    after = {name: tensor_digest(value) for name, value in editable.model.state_dict().items()}
    return found, after == before


def test_methods_stand_side_by_side(compared: tuple[Comparison, bool]) -> None:
    found, is_unchanged = compared
    assert is_unchanged
    original, tuned, rome = found.methods
    assert [method["method"] for method in found.methods] == ["original", "ft_m", "rrome"]
    assert original["figures"]["locality"] == original["figures"]["locality_free"] == 1.0
    assert original["figures"]["spill"] == 0.0
    assert original["heads"] == []
    assert tuned["figures"]["es"] == tuned["figures"]["reliability"] == 1.0
    assert tuned["layers"] == rome["layers"] == [1]
    assert tuned["readings"][-1]["rank_last"] == 1.0
    assert [reading["layer"] for reading in tuned["readings"]] == [0, 1, 2, 3]
    # Below the edited layer nothing is different.
    assert tuned["readings"][0] == original["readings"][0]
    assert tuned["figures"]["portability"] in (0.0, 1.0)
    assert tuned["figures"]["seconds"] > 0
    assert {"peak_after_edit", "jump_at_edit", "mlp_contribution"} <= set(tuned["figures"])
    for method in (tuned, rome):
        assert 0 < method["figures"]["circuit_nodes_kept"] <= 1  # the input is always needed
        assert 0 <= method["figures"]["circuit_edges_kept"] <= 1
    assert "circuit_nodes_kept" not in original["figures"]
    assert all(len(head["tokens_after"]) == 5 for head in tuned["heads"])


def test_the_picture_is_whole_and_takes_facts_for_text(compared: tuple[Comparison, bool]) -> None:
    found, _ = compared
    found.methods[1]["said"] = "<script>alert(1)</script>\x00 & so on"
    drawn = picture(found)
    root = ElementTree.fromstring(drawn)  # noqa: S314 - our own
    assert "<script" not in drawn
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"unedited", "FT-M", "r-ROME", "spill"} <= set(texts)
    lines = list(root.iter("{http://www.w3.org/2000/svg}polyline"))
    assert [len((line.get("points") or "").split()) for line in lines] == [4, 4, 4]
