"""What is read off one forward adds up, in every family, with and without injected facts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from circuits.errors import Cancelled, InvalidProbe
from circuits.interventions import Head
from circuits.lab import Meter, Passes, twin_of
from circuits.lens import depths, lens, lens_cost
from circuits.look import Look, look
from circuits.probe import Probe, answer_tokens, place
from circuits.reading import read_facts, readers, reading_cost
from engines.contract import Message
from engines.kv_attention import KVBatch, inject
from tests.unit.circuits.labs import ANSWER, PROMPT, SUBJECT, placed_in, tiny_lab
from tests.unit.circuits.untouched import stays_as_it_is, traces
from tests.unit.engines.slow_reference import reference_logits
from tests.unit.engines.tiny_models import CONFIGS, LAYERS

KINDS = sorted(CONFIGS)
IDS = [10, 72, 101, 33, 7, 150, 99, 201, 45, 60]
CLOSE = {"atol": 3e-4, "rtol": 1e-4}


def test_spans_are_the_last_mention_and_the_relation_is_the_rest() -> None:
    lab = tiny_lab()
    placed = place(lab, "Ann met ann. Where was Ann born? In", "ann")
    assert placed.subject == (23, 24, 25)
    assert placed.last == 34
    assert set(placed.relation) == set(range(1, 34)) - set(placed.subject)
    assert place(lab, PROMPT, SUBJECT, "is from").relation == tuple(range(9, 16))
    chat = place(lab, [Message("user", "Where is Ulm?")], "Ulm")
    assert "".join(chat.pieces[at] for at in chat.subject) == "Ulm"
    for subject, relation, field in (
        ("Eve", "", "subject"),
        (" ", "", "subject"),
        (SUBJECT, "was", "relation"),
    ):
        with pytest.raises(InvalidProbe) as error:
            place(lab, PROMPT, subject, relation)
        assert error.value.field == field
    assert len(answer_tokens(lab, "a", "b")) == 2
    assert len(answer_tokens(lab, "a ", "b")) == 1
    with pytest.raises(InvalidProbe):
        lab.run([[1] * 1000])


@pytest.mark.parametrize(
    ("prompt", "subject", "start"),
    [
        ("The US has the status of", "US", 4),
        ("Ed was employed by", "Ed", 0),
        ("Iran, as every Iranian knows, is", "Iran", 0),
        ("The us of the US, says us", "US", 14),
        ("Apollo 1 came before Apollo 11 and", "apollo 1", 0),
        ("Romania is", "Roman", 0),  # as a word of its own it stands nowhere
    ],
)
def test_a_subject_is_not_looked_for_inside_of_other_words(prompt: str, subject: str, start: int) -> None:
    placed = place(tiny_lab(), prompt, subject)
    assert placed.subject == tuple(range(start, start + len(subject)))


@pytest.mark.parametrize(("before", "behind"), [("", ""), (" ", ""), ("\n", " \n")])
def test_a_subject_is_not_looked_for_in_the_template_of_a_chat(before: str, behind: str) -> None:
    lab = tiny_lab()
    said = f"{before}Who pays Ant?{behind}"
    turns = [Message("user", "Ant is antsy."), Message("assistant", "I see"), Message("user", said)]
    encoder = lab.prompts
    for content in ("m['content']", "m['content'] | trim"):
        encoder._tokenizer.chat_template = lab.tokenizer.chat_template.replace("m['content']", content)
        placed = place(lab, turns, "Ant")
        assert "".join(placed.pieces[placed.subject[0] :]).startswith("Ant?")
        with pytest.raises(InvalidProbe):
            place(lab, turns, "assistant")
    encoder._tokenizer.chat_template = lab.tokenizer.chat_template.replace(
        "m['content']", "m['content'][:-1]"
    )
    # What is said cannot be told from the template: all of it is looked at.
    assert place(lab, turns, "assistant")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("told", [False, True])
def test_the_parts_of_a_look_add_up_to_the_logits(kind: str, told: bool) -> None:
    lab = tiny_lab(kind)
    model: Any = lab.model
    facts = [lab.adapter.fact("one", 3), lab.adapter.fact("two", 2)] if told else []  # type: ignore[union-attr]
    with stays_as_it_is(model):
        seen = look(lab, IDS, [8, 9], facts)
    with torch.no_grad():
        expected = reference_logits(model, IDS, lab.adapter, facts, since=8)
    assert torch.allclose(seen.logits, expected[[8, 9]], **CLOSE)
    tokens = list(range(0, 260, 7))
    for position, at in enumerate(seen.positions):
        heads = seen.head_writes(position)
        others = (
            seen.residual[0, at] + seen.mlp[:, at].sum(0) + seen.attention[:, at].sum(0) - heads.sum((0, 1))
        )
        said = seen.direct(heads, position, tokens).sum((0, 1)) + seen.direct(others, position, tokens)
        assert torch.allclose(
            _capped(model, said + _constant(seen, tokens)), seen.logits[position][tokens], **CLOSE
        )
        through = seen.through(position, range(10))
        assert torch.allclose(heads, through + seen.through_facts(position), **CLOSE)
        parts = seen.through(position, range(4)) + seen.through(position, range(4, 10))
        assert torch.allclose(parts, through, **CLOSE)
        reads_facts = seen.through_facts(position).abs().amax((1, 2)) > 1e-3
        assert reads_facts.tolist() == [told and layer in (1, 3) for layer in range(LAYERS)]
        assert torch.allclose(seen.lens(seen.residual[-1, at]), seen.logits[position], **CLOSE)
        everywhere = seen.direct(heads, position, range(lab.spec.vocabulary))
        assert torch.allclose(everywhere.mean(-1), seen.direct_mean(heads, position), **CLOSE)
        assert torch.equal(everywhere.argmax(-1), seen.direct_top(heads, position, 1)[..., 0])


def _constant(seen: Look, tokens: list[int]) -> Tensor:
    """What no part says: biases of the final norm and of the head."""
    bias = getattr(seen.spec.final_norm, "bias", None)
    head: Any = seen.spec.lm_head
    said = torch.zeros(len(tokens)) if bias is None else head.weight[tokens] @ bias
    return said if head.bias is None else said + head.bias[tokens]


def _capped(model: Any, logits: Tensor) -> Tensor:
    cap = getattr(model.config, "final_logit_softcapping", None)
    return torch.tanh(logits / cap) * cap if cap else logits


@pytest.mark.parametrize("kind", ["gemma2", "gpt2", "llama"])
def test_the_lens_ends_in_what_the_model_says_of_the_whole_answer(kind: str) -> None:
    lab = tiny_lab(kind)
    placed = placed_in(lab)
    answers = [(text, answer_tokens(lab, PROMPT, text)) for text in (ANSWER, "Oslo")]
    with lab.metered(Meter()) as meter:
        result = lens(lab, placed, answers)
    assert meter.done == lens_cost(2)
    for trajectory, (text, tokens) in zip(result.answers, answers, strict=True):
        with torch.no_grad():
            logits = reference_logits(lab.model, [*placed.ids, *tokens])
        said = logits[placed.last : -1].log_softmax(-1)[range(len(tokens)), tokens]
        assert (trajectory.text, trajectory.tokens) == (text, len(tokens))
        assert trajectory.final == pytest.approx(float(said.sum()), abs=1e-3)
        assert trajectory.first_log_probability[-1] == pytest.approx(float(said[0]), abs=1e-3)
        assert trajectory.rank[-1] == int((logits[placed.last] > logits[placed.last, tokens[0]]).sum())
        assert len(trajectory.rank) == len(result.top) == 2 * LAYERS
        assert len(trajectory.subject_rank) == LAYERS
    seen = look(lab, placed.ids, [placed.last])
    assert torch.equal(depths(seen)[1::2, 0], seen.residual[1:, placed.last])


def test_facts_are_read_by_layers_heads_and_tokens() -> None:
    lab = tiny_lab()
    placed, tokens = placed_in(lab), answer_tokens(lab, PROMPT, ANSWER)
    adapter: Any = lab.adapter
    facts = [adapter.fact("one", 3), adapter.fact("two", 1)]

    def said(seen: list[Any]) -> float:
        with torch.no_grad():
            logits = reference_logits(lab.model, [*placed.ids, *tokens], adapter, seen, since=placed.last)
        return float(logits[placed.last : -1].log_softmax(-1)[range(len(tokens)), tokens].sum())

    with stays_as_it_is(lab.model), lab.metered(Meter()) as meter:
        reading = read_facts(lab, placed, tokens, facts)
    assert meter.done == reading_cost(lab, facts)
    assert reading.with_facts == pytest.approx(said(facts), abs=1e-3)
    assert reading.plain == pytest.approx(said([]), abs=1e-3)
    assert reading.facts[0] == pytest.approx(said(facts[1:]) - said(facts), abs=2e-3)
    assert reading.facts[1] == pytest.approx(reading.tokens[1][0], abs=1e-4)
    assert [len(row) for row in reading.tokens] == [3, 1]
    assert [layer for layer, _ in reading.layers] == [1, 3]
    assert [each.head for each in reading.heads] == [
        Head(layer, head) for layer in (1, 3) for head in range(4)
    ]
    assert all(len(each.shares) == 2 and 0 <= sum(each.shares) <= 1 for each in reading.heads)
    assert {round(change, 3) for _, change in reading.layers} != {0.0}
    seen = look(lab, placed.ids, [placed.last], facts)
    best = readers(seen, tokens[0], 3)
    by_head = {each.head: each for each in reading.heads}
    assert [by_head[head].direct for head, _, _ in best] == pytest.approx(
        [direct for _, _, direct in best], abs=1e-5
    )
    assert best == sorted(best, key=lambda item: -item[2])
    with pytest.raises(InvalidProbe):
        read_facts(lab, placed, tokens, [])


def test_without_one_of_its_tokens_a_fact_is_said_as_before() -> None:
    """The tokens behind it keep their turns, those of other facts their places."""
    lab = tiny_lab()
    placed, tokens = placed_in(lab), answer_tokens(lab, PROMPT, ANSWER)
    adapter: Any = lab.adapter
    row = [*placed.ids, *tokens]
    plain = [adapter.fact("two", 2), adapter.fact("one", len(tokens) + 1), adapter.fact("three", 1)]
    says = [tokens[1:2], tokens, []]
    facts = [
        replace(fact, tokens=replace(fact.tokens, said=tuple(said)))
        for fact, said in zip(plain, says, strict=True)
    ]

    def said(*hidden: int) -> float:
        with torch.no_grad():
            logits = reference_logits(lab.model, row, adapter, facts, since=placed.last, hidden=hidden)
        return float(logits[placed.last : -1].log_softmax(-1)[range(len(tokens)), tokens].sum())

    reading = read_facts(lab, placed, tokens, facts)
    assert reading.with_facts == pytest.approx(said(), abs=1e-3)
    changes = [change for of_fact in reading.tokens for change in of_fact]
    assert [len(of_fact) for of_fact in reading.tokens] == [2, len(tokens) + 1, 1]
    assert changes == pytest.approx([said(at) - said() for at in range(len(changes))], abs=2e-3)


def test_a_twin_shares_the_weights_and_nothing_else() -> None:
    lab = tiny_lab()
    twin = twin_of(lab.model)
    assert {id(each) for each in twin.parameters()} == {id(each) for each in lab.model.parameters()}
    adapter: Any = lab.adapter
    with inject(twin, adapter, KVBatch.pack([[adapter.fact("a")]], adapter.layers)):
        assert traces(twin) != traces(lab.model)
        assert twin.config._attn_implementation != lab.model.config._attn_implementation
        with torch.no_grad():
            ids = torch.tensor([IDS])
            assert torch.allclose(lab.model(ids).logits[0], reference_logits(lab.model, IDS), **CLOSE)
            assert not torch.allclose(twin(ids).logits, lab.model(ids).logits, **CLOSE)
    with torch.no_grad():
        lab.model.get_parameter("model.norm.weight").mul_(2.0)
    assert torch.equal(twin.model.norm.weight, lab.model.model.norm.weight)


def test_a_stopped_analysis_ends_at_the_next_pass_and_leaves_nothing() -> None:
    lab = tiny_lab()
    placed = placed_in(lab)
    asked: list[float] = []
    meter = Meter(Passes(4), asked.append, lambda: len(asked) == 2)
    answers = [(text, answer_tokens(lab, PROMPT, text)) for text in ("a", "b", "c", "d")]
    with stays_as_it_is(lab.model), pytest.raises(Cancelled), lab.metered(meter):
        lens(lab, placed, answers)
    assert asked == [0.25, 0.5]
    assert meter.done == Passes(2)
    assert Probe(PROMPT, SUBJECT, ANSWER).alternatives == ()
