from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kb_store.errors import InvalidInput, LimitExceeded
from kb_store.model import Content, Limits
from kb_store.validation import (
    check_aliases,
    check_changes,
    check_content,
    check_id,
    check_integer,
    check_relations,
    check_text,
    check_time,
    is_id,
)

LIMITS = Limits()


@pytest.mark.parametrize("value", ["a", "0", "a-b", "x" * 63, "0-0"])
def test_ids(value: str) -> None:
    assert check_id("fact_id", value) == value


@pytest.mark.parametrize("value", ["", "-a", "a-", "A", "a_b", "ä", "x" * 64, "a\n", "a b", "a/b", "\ud800"])
def test_no_ids(value: str) -> None:
    assert not is_id(value)
    with pytest.raises(InvalidInput, match="fact_id"):
        check_id("fact_id", value)


@pytest.mark.parametrize("value", [None, 7, b"a"])
def test_other_types_are_no_ids(value: object) -> None:
    assert not is_id(value)


@given(st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=256))
def test_texts_come_back_as_they_are(value: str) -> None:
    assert check_text("subject", value, "max_subject_length", 256) is value


@pytest.mark.parametrize("character", ["\0", "\n", "\r", "\t", "\x1f", "\x7f", "\x85", "\u2028", "\ud800"])
def test_control_characters_and_surrogates_are_refused_with_their_place(character: str) -> None:
    with pytest.raises(InvalidInput, match="at character 3") as refusal:
        check_text("subject", f"ab{character}c", "max_subject_length", 256)
    assert refusal.value.details == {"field": "subject"}
    assert refusal.value.message.isascii()


def test_lengths_count_characters() -> None:
    assert check_text("subject", "😀" * 4, "max_subject_length", 4)
    with pytest.raises(LimitExceeded) as refusal:
        check_text("subject", "😀" * 5, "max_subject_length", 4)
    assert refusal.value.details == {
        "field": "subject",
        "limit": "max_subject_length",
        "maximum": "4",
        "actual": "5",
    }


@pytest.mark.parametrize("value", ["", " ", "\u00a0\u2003"])
def test_required_texts_are_not_blank(value: str) -> None:
    with pytest.raises(InvalidInput, match="must not be empty"):
        check_text("object", value, "max_object_length", 9, required=True)
    assert check_text("source", value, "max_source_length", 9) == value


@pytest.mark.parametrize(
    ("content", "field"),
    [
        (Content("", "r", "o"), "fact.subject"),
        (Content("s", "", "o"), "fact.relation"),
        (Content("s", "r", ""), "fact.object"),
        (Content("s", "r", "o", ("",)), "fact.aliases[0]"),
        (Content("s", "r", "o", ("a",) * 17), "fact.aliases"),
        (Content("s", "r", "o", source="x" * 513), "fact.source"),
        (Content("s", "r", "o", valid_to=datetime(2020, 1, 1)), "fact.valid_to"),
    ],
)
def test_fields_are_named_with_their_prefix(content: Content, field: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        check_content(content, LIMITS, "fact.")
    assert refusal.value.field == field


def test_a_fact_must_end_after_it_begins() -> None:
    moment = datetime(2020, 1, 1, tzinfo=UTC)
    with pytest.raises(InvalidInput, match="valid_to"):
        check_content(Content("s", "r", "o", valid_from=moment, valid_to=moment), LIMITS)


def test_changes() -> None:
    moment = datetime(2020, 1, 1, tzinfo=UTC)
    changes = {"object": "x", "aliases": ["a", "b"], "valid_from": None, "valid_to": moment}
    assert check_changes(changes, LIMITS) == {**changes, "aliases": ("a", "b")}
    for bad, field in (
        ({"uid": "x"}, "update_mask"),
        ({"subject": None}, "subject"),
        ({"aliases": "abc"}, "aliases"),
        ({"aliases": None}, "aliases"),
        ({"valid_from": "2020"}, "valid_from"),
    ):
        with pytest.raises(InvalidInput) as refusal:
            check_changes(bad, LIMITS)
        assert refusal.value.field == field


@pytest.mark.parametrize(("time", "hours"), [(datetime.max, -5), (datetime.min, 5)])
def test_times_that_utc_does_not_have_are_refused(time: datetime, hours: int) -> None:
    with pytest.raises(InvalidInput, match="UTC"):
        check_time("t", time.replace(tzinfo=timezone(timedelta(hours=hours))))


def test_aliases_relations_times_and_integers() -> None:
    assert check_aliases("aliases", ["a"], LIMITS) == ("a",)
    assert check_relations("relations", ["b", "a", "b"], LIMITS) == {"a", "b"}
    assert check_time("t", None) is None
    assert check_integer("n", 2**63 - 1) == 2**63 - 1
    for value in (-1, 2**63):
        with pytest.raises(InvalidInput):
            check_integer("n", value)
