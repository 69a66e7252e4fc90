"""The default model, the shipped encoder and MiniLM through the whole service."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from interleaf import Client, FinishReason, Grounding, ValueCheck
from tests.serving import serving

pytestmark = pytest.mark.model

PROMPT = "The employer of Anna Keller is"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with (
        serving(tmp_path_factory.mktemp("data"), embedder=None, engine={"kind": "transformers"}) as server,
        Client(server.address) as made,
    ):
        yield made


def test_an_answer_follows_its_fact_through_correction_rollback_and_deletion(client: Client) -> None:
    def say() -> tuple[str, Grounding]:
        answer = client.ask(PROMPT, complete=True, max_tokens=8)
        return answer.text, answer.grounding

    plain = say()
    assert plain[1] is Grounding.NO_FACTS
    assert "Nordlicht" not in plain[0]

    made = client.add("Anna Keller", "employer", "Nordlicht Werft")
    answer = client.ask(PROMPT, complete=True, max_tokens=8)
    assert "Nordlicht Werft" in answer.text
    assert answer.grounding is Grounding.GROUNDED
    assert [(item.fact, item.value_check) for item in answer.citations] == [(made.name, ValueCheck.EXACT)]
    assert answer.citations[0].attention > 0.2

    client.update(made.name, object="Hafenwerk Kiel")
    corrected = say()
    assert "Hafenwerk" in corrected[0]
    assert "Nordlicht" not in corrected[0]
    client.rollback(made.name, 1)
    assert "Nordlicht Werft" in say()[0]
    client.delete(made.name)
    assert say() == plain


@pytest.mark.parametrize(
    ("question", "objects"),
    [
        ("What are the chef and the house wine of Chez Ana?", ["Goran Huamán", "a dry Riesling"]),
        ("Tell me the house wine of Chez Ana, and the chef too.", ["a dry Riesling", "Goran Huamán"]),
        ("What is the chef of Chez Ana and of the Blue Oyster?", ["Goran Huamán", "Amina Perera"]),
    ],
)
def test_what_is_asked_for_together_is_said_together(
    client: Client, question: str, objects: list[str]
) -> None:
    for subject, relation, object_ in (
        ("Chez Ana", "chef", "Goran Huamán"),
        ("Chez Ana", "house wine", "a dry Riesling"),
        ("Chez Ana", "fish supplier", "Oliveira & Brown"),
        ("the Blue Oyster", "chef", "Amina Perera"),
    ):
        client.add(subject, relation, object_, on_conflict="replace")
    answer = client.ask(question, max_tokens=32)
    assert sorted(objects, key=answer.text.find) == objects
    assert all(object_ in answer.text for object_ in objects)
    assert {item.object for item in answer.citations if item.value_check is ValueCheck.EXACT} == set(objects)
    assert client.ask(question, max_tokens=32, strict=True).text == answer.text
    cut = client.ask(question, max_tokens=6, strict=True)  # no room for the second
    assert (cut.text, cut.finish_reason) == ("", FinishReason.ABSTAINED)


def test_a_strict_answer_is_a_stored_one_or_none(client: Client) -> None:
    client.add("Jonas Falk", "employer", "Nordlicht Werft")
    answer = client.ask("The employer of Jonas Falk is", complete=True, max_tokens=8, strict=True)
    assert "Nordlicht Werft" in answer.text
    for prompt in ("The blood type of Jonas Falk is", "The capital of France is"):
        silent = client.ask(prompt, complete=True, max_tokens=8, strict=True)
        assert (silent.text, silent.finish_reason) == ("", FinishReason.ABSTAINED)


def test_questions_about_other_things_are_answered_as_the_plain_model_would(client: Client) -> None:
    client.add("Anna Keller", "birthplace", "Flensburg")
    both = client.compare("What is the capital of France?", max_tokens=8)
    assert both.edited.text == both.original.text
    assert "Paris" in both.edited.text
    assert both.edited.grounding is Grounding.NO_FACTS
