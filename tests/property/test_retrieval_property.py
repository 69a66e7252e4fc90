"""Scores stay within their bounds for any text, and the index agrees with a dictionary of vectors."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from kb_store.contract import Vectors
from kb_store.index import FaissIndex, IndexSettings
from kb_store.scoring import Candidate, Question
from kb_store.text import fold_name
from kb_store.words import cut, pieces, stem, word_spans

DIMENSION = 8

texts = st.text(max_size=80)
names = st.lists(
    st.sampled_from("Anna Keller Kellers The Inc US Zoë 7 東京 of J. norwind-shipping".split()),
    min_size=1,
    max_size=5,
).map(" ".join)
candidates = st.builds(
    Candidate, names | texts, names | texts, st.lists(names | texts, max_size=2).map(tuple)
)


@settings(max_examples=60, deadline=None)
@given(texts | names, st.lists(candidates, max_size=6))
def test_covers_are_shares_and_rivals_only_take_away(text: str, rivals: list[Candidate]) -> None:
    question = Question(text)
    for candidate, cover in zip(rivals, question.score(rivals), strict=True):
        assert 0.0 <= cover.subject <= 1.0
        assert 0.0 <= cover.relation <= 1.0
        assert cover.subject <= question.subject_cover(candidate.subject, candidate.aliases)


@settings(deadline=None)
@given(texts, names, texts)
def test_a_name_between_spaces_is_always_whole(before: str, name: str, after: str) -> None:
    assert Question(f"{before} {name} {after}").subject_cover(name) == 1.0


@settings(deadline=None)
@given(texts)
def test_words_are_their_spans(text: str) -> None:
    folded = fold_name(text)
    assert cut(folded) == [folded[start:end] for start, end in word_spans(folded)]
    assert all(stem(word) for word in cut(folded))


@settings(deadline=None)
@given(
    texts
    | st.text(st.sampled_from("aB東京ガー म\u094dि\u0301\u0323\u200d\ufe0f\u0e48™℃½_' 9ﷺ㍿"), max_size=30)
)
def test_pieces_hold_the_words_of_the_whole(text: str) -> None:
    cut_up = pieces(text)
    assert "".join(cut_up) == text
    assert [word for piece in cut_up for word in cut(fold_name(piece))] == cut(fold_name(text))


class IndexMachine(RuleBasedStateMachine):
    """Small limits, so that a run crosses compaction, growth and reloading."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.random = np.random.default_rng(0)
        self.truth: dict[int, Vectors] = {}
        self.sequence = 0
        self.open()

    def open(self) -> None:
        self.index = FaissIndex(
            self.folder,
            dimension=DIMENSION,
            embedder="e",
            settings=IndexSettings(flat_limit=12, growth=2.0, compact_at=3),
        )

    def vectors(self, count: int) -> Vectors:
        drawn = self.random.standard_normal((count, DIMENSION)).astype(np.float32)
        drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
        return drawn

    rows = st.lists(st.integers(0, 40), max_size=12)

    @rule(remove=rows, add=rows)
    def apply(self, remove: list[int], add: list[int]) -> None:
        self.sequence += 1
        vectors = self.vectors(len(add))
        self.index.apply("a", remove=remove, rows=add, vectors=vectors, sequence=self.sequence)
        for row in remove:
            self.truth.pop(row, None)
        self.truth.update(zip(add, vectors, strict=True))

    @rule()
    def apply_again_what_is_there(self) -> None:
        rows = sorted(self.truth)
        vectors = np.array([self.truth[row] for row in rows], np.float32).reshape(-1, DIMENSION)
        self.index.apply("a", remove=[], rows=rows, vectors=vectors, sequence=self.sequence)

    @rule()
    def save_and_load(self) -> None:
        self.index.save()
        self.open()
        assert self.index.applied_sequence() == self.sequence
        assert not self.index.damaged

    @invariant()
    def same_rows(self) -> None:
        assert self.index.rows("a") == frozenset(self.truth)
        assert self.index.count("a") == len(self.truth)

    @invariant()
    def everyone_finds_itself(self) -> None:
        for row, vector in list(self.truth.items())[:3]:
            hits = self.index.search("a", vector, limit=50)
            assert hits[0][0] == row
            assert abs(hits[0][1] - 1.0) < 1e-4
            assert {found for found, _ in hits} <= set(self.truth)
            assert len(hits) == len({found for found, _ in hits})

    def teardown(self) -> None:
        shutil.rmtree(self.folder)


TestIndexMachine = IndexMachine.TestCase
TestIndexMachine.settings = settings(max_examples=15, stateful_step_count=25, deadline=None)
