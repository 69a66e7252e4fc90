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
        ("東京 タワー", "東京タワー"),
        ("東京 Tower 大学", "東京tower大学"),
        ("パパ, ﾊﾞｽ", "パパバス"),
        ("ハ\u3099ス", "バス"),
        ("Nord\u00adlicht Nord\u200blicht", "nordlicht nordlicht"),
        ("\u2067Anna\u2069 Keller\ufe0f\u034f", "anna keller"),
        ("می\u200cخواهم", "می خواهم"),
        ("Coca-Cola™ ℠", "coca cola"),
        ("\u2764\ufe0f", ""),
        ("C++", "c"),
        ("!?", ""),
        ("", ""),
    ],
)
def test_names_fold(name: str, folded: str) -> None:
    assert fold_name(name) == folded


@given(st.text() | st.text(st.sampled_from("aカ \u3099\u309a\u0301\u200d\u200cﾊﾞﾟ東™-")))
def test_folding_twice_is_folding_once(name: str) -> None:
    folded = fold_name(name)
    assert fold_name(folded) == folded
    assert folded == " ".join(folded.split())


@given(st.text())
def test_case_does_not_matter(name: str) -> None:
    assert fold_name(name.casefold()) == fold_name(name)


def test_names_of_a_fact_are_distinct_with_the_subject_first() -> None:
    assert fold_names("Zoë", ("ZOE", "the duke", "The Duke!")) == ["zoe", "the duke"]
