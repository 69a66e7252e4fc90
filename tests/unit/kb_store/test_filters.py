import re
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kb_store.errors import InvalidInput, LimitExceeded
from kb_store.filters import FIELDS, parse_filter
from kb_store.model import Condition, FilterOp

EQUAL, NOT_EQUAL, CONTAINS = FilterOp.EQUAL, FilterOp.NOT_EQUAL, FilterOp.CONTAINS


@pytest.mark.parametrize(
    ("text", "conditions"),
    [
        ("", ()),
        (" \t\n", ()),
        ('subject = "Anna Keller"', (Condition("subject", EQUAL, "Anna Keller"),)),
        (
            'subject="x"AND relation:"y"',
            (Condition("subject", EQUAL, "x"), Condition("relation", CONTAINS, "y")),
        ),
        ("fact_id != a-1", (Condition("fact_id", NOT_EQUAL, "a-1"),)),
        ('object = "AND"', (Condition("object", EQUAL, "AND"),)),
        (
            "object = AND AND source = 1.5",
            (Condition("object", EQUAL, "AND"), Condition("source", EQUAL, "1.5")),
        ),
        (r'source : "say \"hi\" \\ there"', (Condition("source", CONTAINS, 'say "hi" \\ there'),)),
        ('source = ""', (Condition("source", EQUAL, ""),)),
        ("subject = Zoë", (Condition("subject", EQUAL, "Zoë"),)),
    ],
)
def test_filters(text: str, conditions: tuple[Condition, ...]) -> None:
    assert parse_filter(text) == conditions


@pytest.mark.parametrize(
    ("text", "position", "word"),
    [
        ('uid = "x"', 1, "field"),
        ("= x", 1, "field"),
        ("subject", 8, "expected =, != or :"),
        ("subject =", 10, "value"),
        ("subject = =", 11, "value"),
        ('subject = "x', 11, "unclosed"),
        ('subject = "x" OR object = "y"', 15, "AND"),
        ('subject = "x" AND', 18, "field"),
        ('subject = "x" and object = "y"', 15, "AND"),
        ("subject > x", 9, "unexpected"),
        ("subject = (x)", 11, "unexpected"),
        (r'subject = "a\n"', 13, "escape"),
        ("subject ! x", 9, "unexpected"),
        ('subject = "x" "y"', 15, "AND"),
        ("subject = \ud800", 11, "unexpected"),
    ],
)
def test_refusals_tell_where(text: str, position: int, word: str) -> None:
    with pytest.raises(InvalidInput, match=re.escape(word)) as refusal:
        parse_filter(text)
    assert refusal.value.field == "filter"
    assert refusal.value.details["position"] == str(position)
    refusal.value.message.encode()


def test_values_are_checked_like_texts() -> None:
    with pytest.raises(InvalidInput, match="control character"):
        parse_filter('subject = "a\0b"')
    with pytest.raises(LimitExceeded, match="max_filter_length"):
        parse_filter(f'subject = "{"x" * 1024}"')


_VALUES = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=30)


@given(
    st.lists(st.builds(Condition, st.sampled_from(FIELDS), st.sampled_from(FilterOp), _VALUES), max_size=5)
)
def test_what_is_written_is_read(conditions: list[Condition]) -> None:
    def quoted(value: str) -> str:
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'

    text = " AND ".join(f"{each.field} {each.op.value} {quoted(each.value)}" for each in conditions)
    assert parse_filter(text) == tuple(conditions)


@given(st.text(st.sampled_from('subject="\\ AND:!x\ud800\0'), max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(InvalidInput):
        assert parse_filter(text) == parse_filter(f" {text}\n")
