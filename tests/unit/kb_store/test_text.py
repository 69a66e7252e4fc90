import pytest
from hypothesis import given
from hypothesis import strategies as st

from kb_store.text import fold_name, fold_names


@pytest.mark.parametrize(
    ("name", "folded"),
    [
        ("Zoë O'Neill", "zoe o neill"),
        ("  ANNA   Keller ", "anna keller"),
        ("İstanbul", "istanbul"),
        ("Straße", "strasse"),
        ("Marlowe-Finch, Jr.", "marlowe finch jr"),
        ("A–B/C_D", "a b c d"),
        ("ﬁx ①", "fix 1"),
        ("東京 タワー", "東京 タワー"),
        ("C++", "c"),
        ("!?", ""),
        ("", ""),
    ],
)
def test_names_fold(name: str, folded: str) -> None:
    assert fold_name(name) == folded


@given(st.text())
def test_folding_twice_is_folding_once(name: str) -> None:
    folded = fold_name(name)
    assert fold_name(folded) == folded
    assert folded == " ".join(folded.split())


@given(st.text())
def test_case_does_not_matter(name: str) -> None:
    assert fold_name(name.casefold()) == fold_name(name)


def test_names_of_a_fact_are_distinct_with_the_subject_first() -> None:
    assert fold_names("Zoë", ("ZOE", "the duke", "The Duke!")) == ["zoe", "the duke"]
