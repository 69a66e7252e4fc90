"""The whole of retrieval with the real embedder."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def minilm() -> Any:
    from engines.embedder import SentenceEmbedder
    from engines.errors import ModelMissing

    try:
        return SentenceEmbedder.load()
    except ModelMissing as error:
        pytest.skip(str(error))


@pytest.mark.parametrize(
    ("text", "relation"),
    [
        ("What does Anna Keller do for a living?", "profession"),
        ("In which city did Anna Keller come into the world?", "place of birth"),
        ("The company that pays Anna Keller is", "employer"),
        ("What should I cook for Anna Keller tonight?", "favorite food"),
    ],
)
def test_meaning_chooses_among_the_facts_of_a_subject(
    keeper: Any, minilm: Any, text: str, relation: str
) -> None:
    keeper.stop()
    keeper.embedder = minilm
    keeper.start()
    keeper.namespace("a")
    relations = ["profession", "place of birth", "employer", "favorite food"]
    keeper.add("a", *(("Anna Keller", name, "x") for name in relations))
    keeper.add("a", *(("Bruno Weber", name, "y") for name in relations))
    keeper.catch_up()
    hits = keeper.retriever.search("a", text, top_k=4).hits
    assert {hit.fact.content.subject for hit in hits} == {"Anna Keller"}
    assert hits[0].fact.content.relation == relation
