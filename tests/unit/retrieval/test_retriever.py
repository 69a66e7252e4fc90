"""What is retrieved for a text, from whom, and in which order."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from kb_store import retrieval
from kb_store.errors import InvalidInput, LimitExceeded, NotFound
from kb_store.model import Content, Context, CreateFact, SearchMode
from kb_store.retrieval import Retriever


def subjects(keeper: Any, text: str, **options: Any) -> list[tuple[str, str]]:
    result = keeper.retriever.search("a", text, **({"top_k": 8} | options))
    return [(hit.fact.content.subject, hit.fact.content.relation) for hit in result.hits]


@pytest.fixture(autouse=True)
def _world(keeper: Any) -> None:
    keeper.namespace("a")
    keeper.namespace("b")


NEAR = [
    ("Norwind Shipping", "founder", "A"),
    ("Norwind Shipping Asia", "founder", "B"),
    ("Norwind Foods", "founder", "C"),
    ("Norwin Shipping", "founder", "D"),
    ("Anna Keller", "employer", "E"),
    ("Anna Kellermann", "employer", "F"),
    ("Anne Keller", "employer", "G"),
    ("Anna Keller", "place of birth", "H"),
]


@pytest.mark.parametrize("mode", [SearchMode.FUSED, SearchMode.LEXICAL])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Who founded Norwind Shipping?", ("Norwind Shipping", "founder")),
        ("Who founded Norwind Shipping Asia?", ("Norwind Shipping Asia", "founder")),
        ("The employer of Anna Keller is", ("Anna Keller", "employer")),
        ("The place of birth of Anna Keller is", ("Anna Keller", "place of birth")),
        ("Anna Kellermann, employed by", ("Anna Kellermann", "employer")),
        ("anne keller's employer", ("Anne Keller", "employer")),
    ],
)
def test_the_fact_that_was_asked_for_comes_first(
    keeper: Any, text: str, expected: tuple[str, str], mode: SearchMode
) -> None:
    keeper.add("a", *NEAR)
    keeper.catch_up()
    assert subjects(keeper, text, mode=mode)[0] == expected


def test_a_name_inside_a_longer_one_does_not_fire(keeper: Any) -> None:
    keeper.add("a", *NEAR)
    keeper.catch_up()
    hits = keeper.retriever.search("a", "The founder of Norwind Shipping Asia is", top_k=8).hits
    cover = {hit.fact.content.subject: hit.subject_cover for hit in hits}
    assert cover["Norwind Shipping Asia"] == 1.0
    assert cover["Norwind Shipping"] <= 0.5


def test_scores_are_shares_best_first_and_the_same_every_time(keeper: Any) -> None:
    keeper.add("a", *NEAR)
    keeper.catch_up()
    first = keeper.retriever.search("a", "Who founded Norwind Shipping?", top_k=8)
    assert first == keeper.retriever.search("a", "Who founded Norwind Shipping?", top_k=8)
    scores = [hit.score for hit in first.hits]
    assert scores == sorted(scores, reverse=True)
    for hit in first.hits:
        for value in (hit.score, hit.subject_cover, hit.relation_score, hit.dense_score):
            assert 0.0 <= value <= 1.0


def test_facts_found_by_name_alone_have_their_meaning_measured_too(keeper: Any) -> None:
    keeper.add("a", *(("Anna Keller", f"thing number {i}", "x") for i in range(70)))
    keeper.catch_up()
    hits = keeper.retriever.search("a", "thing number 69 of Anna Keller", top_k=64).hits
    assert all(hit.dense_score > 0 for hit in hits)
    assert hits[0].fact.content.relation == "thing number 69"


def test_a_fact_that_has_not_reached_the_index_is_judged_by_its_meaning_as_well(keeper: Any) -> None:
    keeper.add("a", ("Anna Keller", "employer", "Norwind"))
    keeper.catch_up()
    keeper.indexer.close()
    keeper.add("a", ("Anna Keller", "birthplace", "Oslo"))
    best, other = keeper.retriever.search("a", "the birthplace of Anna Keller", top_k=4).hits
    assert best.fact.content.relation == "birthplace"
    assert best.dense_score > other.dense_score > 0


def test_dense_mode_finds_what_shares_no_word_with_the_text(keeper: Any) -> None:
    keeper.add("a", *NEAR)
    keeper.catch_up()
    assert subjects(keeper, "norwindshipping foundership", mode=SearchMode.DENSE)[0] == (
        "Norwind Shipping",
        "founder",
    )
    assert subjects(keeper, "norwindshipping foundership", mode=SearchMode.LEXICAL) == []


def test_what_is_stored_of_others_is_told_of_nearest_first(keeper: Any) -> None:
    keeper.add("a", *NEAR)
    keeper.add("b", ("Anna Keller", "salary", "Z"))
    keeper.catch_up()
    result = keeper.retriever.search("a", "the place of birth of Anna Keller", top_k=1)
    assert len(result.hits) == 1
    assert result.relations[0] == "place of birth"
    assert sorted(result.relations) == ["employer", "founder", "place of birth"]
    assert keeper.retriever.search("a", "", top_k=1).relations == ()
    keeper.add("a", *(("Anna Keller", f"thing {number}", "X") for number in range(90)))
    keeper.catch_up()
    many = keeper.retriever.search("a", "some thing of Anna Keller", top_k=1).relations
    assert len(many) == len(set(many)) == 32


def test_top_k_and_limits(keeper: Any) -> None:
    keeper.add("a", *NEAR)
    keeper.catch_up()
    assert len(subjects(keeper, "Anna Keller", top_k=3)) == 3
    with pytest.raises(LimitExceeded, match="max_top_k"):
        subjects(keeper, "Anna", top_k=65)
    with pytest.raises(InvalidInput, match="top_k"):
        subjects(keeper, "Anna", top_k=0)
    with pytest.raises(LimitExceeded, match="max_query_length"):
        subjects(keeper, "x" * 32_769)
    with pytest.raises(NotFound):
        keeper.retriever.search("nobody", "Anna", top_k=3)
    assert subjects(keeper, "  \n") == []


@pytest.mark.parametrize("text", ["\ud800", "\x00", "\x00Anna", "🙂" * 9000, "a " * 16_000, '" OR *'])
def test_no_text_within_the_limits_is_refused(keeper: Any, text: str) -> None:
    keeper.add("a", *NEAR)
    keeper.catch_up()
    for mode in SearchMode:
        subjects(keeper, text, mode=mode)


def test_names_early_in_a_long_conversation_are_found(keeper: Any) -> None:
    keeper.add("a", *NEAR)
    keeper.catch_up()
    text = "Tell me about Anna Kellermann. " + "And then we talked of the weather. " * 800
    assert subjects(keeper, text)[0] == ("Anna Kellermann", "employer")


def test_only_what_is_live_and_valid_now(keeper: Any) -> None:
    now = datetime(2030, 6, 1, tzinfo=UTC)
    spans = [
        ("past", None, now - timedelta(days=1)),
        ("present", now - timedelta(days=1), now + timedelta(days=1)),
        ("future", now + timedelta(days=1), None),
        ("always", None, None),
    ]
    for name, start, end in spans:
        content = Content("Anna Keller", f"{name} employer", "x", valid_from=start, valid_to=end)
        keeper.store.write([CreateFact("a", content)], Context())
    keeper.delete(*keeper.add("a", ("Anna Keller", "deleted employer", "x")))
    keeper.catch_up()
    found = {relation for _, relation in subjects(keeper, "employer of Anna Keller", now=now)}
    assert found == {"present employer", "always employer"}


@pytest.mark.parametrize("mode", SearchMode)
def test_a_history_of_old_values_does_not_hide_the_valid_one(
    keeper: Any, mode: SearchMode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them are equally near and equally named, and there are more than a search has room for."""
    now = datetime(2030, 6, 1, tzinfo=UTC)
    keeper.store.create_namespace("prices", "", frozenset({"price"}), Context())
    for number in range(300):
        start = now - timedelta(days=300 - number)
        content = Content("Gold", "price", f"{number}", valid_from=start, valid_to=start + timedelta(days=1))
        keeper.store.write([CreateFact("prices", content)], Context())
    keeper.store.write([CreateFact("prices", Content("Gold", "price", "today", valid_from=now))], Context())
    keeper.catch_up()
    for most in (2048, 64):  # the second is no more than a first round asks for
        monkeypatch.setattr(retrieval, "_MOST_DENSE", most)
        result = keeper.retriever.search("prices", "What is the price of Gold?", top_k=4, mode=mode, now=now)
        found = [hit.fact.content.object for hit in result.hits]
        assert found == ["today"] or (most == 64 and mode is SearchMode.DENSE and not found)


def test_a_correction_is_seen_at_once(keeper: Any) -> None:
    (fact,) = keeper.add("a", ("Anna Keller", "employer", "Norwind"))
    keeper.catch_up()
    keeper.indexer.close()  # the index hears of nothing any more
    keeper.correct(fact, object="Calder")
    result = keeper.retriever.search("a", "employer of Anna Keller", top_k=1)
    assert result.hits[0].fact.content.object == "Calder"
    assert result.namespace_revision == 2
    keeper.delete(fact)
    assert keeper.retriever.search("a", "employer of Anna Keller", top_k=1).hits == ()


class TestIsolation:
    """Nothing of one namespace is found in another, whatever the index says."""

    def leaks(self, keeper: Any, retriever: Retriever) -> list[str]:
        """Canaries of `b` that a search in `a` returns."""
        hits = [
            hit
            for mode in SearchMode
            for text in ("The secret of Anna Keller is", "secret", "Anna Keller")
            for hit in retriever.search("a", text, top_k=64, mode=mode).hits
        ]
        return [hit.fact.content.object for hit in hits if hit.fact.content.object == "canary"]

    @pytest.fixture(autouse=True)
    def _poisoned(self, keeper: Any, embedder: Any) -> None:
        """The index of `a` claims rows of `b`, as a damaged or outdated one might."""
        keeper.add("a", *((f"Anna Keller {i}", "secret", "harmless") for i in range(20)))
        keeper.add("b", *(("Anna Keller", f"secret {i}", "canary") for i in range(20)))
        keeper.catch_up()
        foreign = sorted(keeper.rows("b"))
        vectors = embedder.embed(["secret of Anna Keller"] * len(foreign))
        keeper.index.apply("a", remove=[], rows=foreign, vectors=vectors, sequence=0)

    def test_a_poisoned_index_leaks_nothing(self, keeper: Any) -> None:
        assert self.leaks(keeper, keeper.retriever) == []

    def test_power_without_the_namespace_in_the_re_read_it_would_leak(
        self, keeper: Any, embedder: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        read = keeper.store.facts_by_row

        def read_anybodys(namespace: str, rows: Any) -> Any:
            return read("a", rows) | read("b", rows)

        monkeypatch.setattr(keeper.store, "facts_by_row", read_anybodys)
        assert self.leaks(keeper, Retriever(keeper.store, keeper.index, embedder)) != []
