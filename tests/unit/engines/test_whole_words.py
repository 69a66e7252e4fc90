"""Names and values are found where they stand as words of their own."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.whole_words import mentions, parts, replaced, standing

# What ordinary prose is made of: letters with and without accents, spaces, and marks between words.
_PROSE = st.text("abAÉ ñ_.,:;'’\"-+()", max_size=30)


@pytest.mark.parametrize(
    ("words", "text", "stands"),
    [
        ("Ed", "Ed was employed", True),
        ("Ed", "Employed by Edward", False),
        ("Lund", "Lund-Lara, Lund's", True),
        ("5", "in 15 days", False),
        ("5", "It is 5.", True),
        ("5", "5, 6 or 7", True),
        ("5", "It is 2.5 metres", False),
        ("5", "It is 5.7 metres", False),
        ("5", "It is 5,7 metres", False),
        ("200", "It costs 1,200 euros", False),
        ("1,200", "It costs 1,200.", True),
        ("17.2", "The version is 17.2.20", False),
        ("17.2.20", "The version is 17.2.20.", True),
        ("10.0.0.1", "at 10.0.0.1.7", False),
        ("10.0.0.1", "at 10.0.0.1:80", False),
        ("10", "from 10:30", False),
        ("5", "It is -5 degrees", False),
        ("5", "It is −5 degrees", False),
        ("5", "気温は-5度", False),
        ("-5", "It is -5 degrees", True),
        ("-5", "3-5 degrees", False),
        ("2015", "from 2010-2015", True),
        ("2010", "from 2010-2015", True),
        ("747", "a Boeing-747", True),
        (".5", "It is 2.5", False),
        ("5.", "It is 5.7", False),
        ("東京", "東京です", True),
        ("กรุงเทพ", "ในกรุงเทพครับ", True),
        ("Toyota", "Toyotaは日本の会社です", True),
        ("2020", "2020年", True),
        ("５", "１５", False),
        ("C", "written in C++", True),
        ("C++", "written in C++.", True),
        ("...", "and so on...", True),
        ("", "anything", False),
        ("Anna", "", False),
    ],
)
def test_words_of_their_own(words: str, text: str, stands: bool) -> None:
    assert bool(standing(words, text)) is stands


@given(_PROSE, _PROSE)
def test_words_without_figures_stand_between_word_boundaries(words: str, text: str) -> None:
    before = r"(?<!\w)" if re.match(r"\w", words) else ""
    after = r"(?!\w)" if re.search(r"\w$", words) else ""
    plain = [found.span(1) for found in re.finditer(f"(?=({before}{re.escape(words)}{after}))", text)]
    assert standing(words, text) == (plain if words else [])
    assert [text[start:end] for start, end in parts(text)] == re.findall(r"\w+", text)


def test_inside_of_other_words_only_where_they_stand_nowhere_else() -> None:
    assert mentions("Roman", "In Romania a Roman") == [(13, 18)]
    assert mentions("Roman", "In Romania") == [(3, 8)]
    assert mentions("us", "US, us or bus", any_case=True) == [(0, 2), (4, 6)]
    assert mentions("STRASSE", "Straße, İ, strasse", any_case=True) == [(11, 18)]
    assert mentions("Roman", "nobody") == mentions("", "nobody") == []


def test_every_mention_is_replaced() -> None:
    assert (
        replaced("Roman", "Greek", "In Romania the Roman met a Roman.") == "In Romania the Greek met a Greek."
    )
    assert replaced("a a", "b", "a a a") == "a b"
