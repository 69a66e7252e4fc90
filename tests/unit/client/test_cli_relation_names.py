"""The command takes two names for one relation exactly where the server does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interleaf.cli._relation_names import key_of
from service.serving.examples import key_of as key_of_the_server


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("worksFor", "works_for", True),
        ("Works  for", "works-for", True),
        ("worksFor", "worksfor", False),
        ("employé", "EMPLOYE", True),
        ("employé", "employe\u0301", True),
        ("straße", "STRASSE", True),
        ("बेटा", "बेटी", False),
        ("बेटा", "बेटा_", True),
        ("पिता का नाम", "पिता_का_नाम", True),
        ("แม่", "แม", True),
        ("แม", "แมว", False),
        ("اسم الأب", "اسم_الأب", True),
        ("نام\u200cپدر", "نام پدر", True),
        ("パパ", "ハハ", False),
        ("パパ", "ハ\u309aハ\u309a", True),
        ("出生 地", "出生地", True),
        ("出生地", "出生", False),
        ("nord\u00adlicht", "nordlicht", True),
        ("☀️", "❤️", True),  # neither has a letter
    ],
)
def test_names_that_mean_one_relation(one: str, other: str, same: bool) -> None:
    for judge in (key_of, key_of_the_server):
        assert (judge(one) == judge(other)) is same


def test_every_character_is_judged_as_by_the_server() -> None:
    for first in (*range(0, 0x40000, 0x1000), 0xE0000):  # nothing is assigned in between
        name = "".join(f"a{chr(code)}B " for code in range(first, first + 0x1000))
        assert key_of(name) == key_of_the_server(name)


@given(
    st.text("aEé\u0301 _-Zߙİςबेटाीपแมกรุاأبパハ\u309a\u3099出生™☀\ufe0f\u00ad\u200c\u200d09.'", max_size=12)
    | st.text()
)
def test_every_name_is_judged_as_by_the_server(name: str) -> None:
    assert key_of(name) == key_of_the_server(name)
