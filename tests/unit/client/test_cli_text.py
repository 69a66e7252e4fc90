"""What facts and models say is shown, never obeyed."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from time import tzset

import pytest
from rich.console import Console

from interleaf import (
    Answer,
    Citation,
    FinishReason,
    Grounding,
    Timings,
    ValueCheck,
    WeighedFact,
    Weighing,
    Weight,
)
from interleaf._decode import fact as decode_fact
from interleaf.cli import _pictures
from interleaf.cli._text import json_line, visible, when
from interleaf.v1 import facts_pb2

HOSTILE = [
    ("\x1b[2J\x1b[31mred", r"\x1b[2J\x1b[31mred"),
    ("a\rb", r"a\rb"),
    ("a\x00b\x07", r"a\x00b\x07"),
    ("\x9b31m", r"\x9b31m"),
    ("a\nb\tc", r"a\nb\tc"),
    ("\u202egnp.exe", r"\u202egnp.exe"),
    ("a\u2028b", r"a\u2028b"),
    ("zero\u200bwidth", r"zero\u200bwidth"),
    ("[bold red]markup[/]", "[bold red]markup[/]"),
    (":smile:", ":smile:"),
    ("[link=http://x]y[/link]", "[link=http://x]y[/link]"),
    ("Crème brûlée 東京 👩‍🚀", "Crème brûlée 東京 👩‍🚀"),
]


def shown(picture: object, width: int = 400) -> str:
    file = io.StringIO()
    Console(file=file, width=width, force_terminal=True, color_system=None).print(picture)
    return file.getvalue()


@pytest.mark.parametrize(("text", "expected"), HOSTILE)
def test_visible(text: str, expected: str) -> None:
    assert visible(text) == expected


def test_lines_of_an_answer_stay_lines() -> None:
    assert visible("a\n\tb\x1b", lines=True) == "a\n\tb\\x1b"


@pytest.mark.parametrize(("text", "expected"), HOSTILE)
def test_no_picture_lets_a_fact_through(text: str, expected: str) -> None:
    message = facts_pb2.Fact(
        name="namespaces/n/facts/f", subject=text, relation=text, object=text, aliases=[text], source=text
    )
    fact = decode_fact(message)
    for picture in (_pictures.facts([fact]), _pictures.fact(fact)):
        output = shown(picture)
        assert expected in output
        assert not set(output) & set("\x00\x07\r\x1b\x9b\u202e\u2028")


def test_answers_and_citations_are_taken_literally() -> None:
    hostile = "\x1b[2J[red]x[/red]"
    citation = Citation("namespaces/n/facts/f", "u", 1, hostile, hostile, hostile, 0.5, 0.9, ValueCheck.EXACT)
    answer = Answer(
        hostile,
        FinishReason.STOP,
        (citation,),
        Grounding.GROUNDED,
        1,
        1,
        1,
        Timings(0, 0, 0, 0, 0),
        1,
        "m",
        "e",
    )
    output = shown(_pictures.answer(answer))
    assert output.count(r"\x1b[2J[red]x[/red]") == 4
    assert "\x1b" not in output
    assert "attention 50.0%" in output


def test_what_was_weighed_is_taken_literally_and_says_what_to_do() -> None:
    hostile = "\x1b[2J[red]x[/red]"
    facts = tuple(
        WeighedFact("namespaces/n/facts/f", hostile, hostile, hostile, weight, 1.0, -7.25, 0.5)
        for weight in (Weight.SHOWN, Weight.NOT_ASKED_FOR, Weight.BEHIND_ANOTHER)
    )
    output = shown(_pictures.weighing(Weighing(facts, -5.5, 1)))
    assert "\x1b" not in output
    assert output.count(r"\x1b[2J[red]x[/red]") == 9
    assert "A fit of -5.5 is needed." in output
    assert "interleaf relations describe" in output
    assert "describe" not in shown(_pictures.weighing(Weighing(facts[:1], -5.5, 1)))
    assert shown(_pictures.weighing(Weighing((), -5.5, 1))).strip() == "No facts found."


def test_json_is_ascii_and_whole() -> None:
    message = facts_pb2.Fact(name="namespaces/n/facts/f", subject="\x9b\x1bé", revision=2)
    message.create_time.FromDatetime(datetime(2026, 1, 2, tzinfo=UTC))
    line = json_line(decode_fact(message))
    assert line.isascii()
    assert "\x1b" not in line
    fields = json.loads(line)
    assert (fields["id"], fields["subject"], fields["revision"]) == ("f", "\x9b\x1bé", 2)
    assert fields["create_time"] == "2026-01-02T00:00:00+00:00"
    assert fields["delete_time"] is None
    assert fields["state"] == "durable"


def test_times_are_local_and_optional() -> None:
    assert when(None) == ""
    time = datetime(2026, 1, 2, 3, 4, 5).astimezone()
    assert when(time) == "2026-01-02 03:04:05"


@pytest.mark.parametrize(
    ("zone", "time", "expected"),
    [
        ("Europe/Berlin", datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC), "9999-12-31 23:59:59 UTC"),
        ("America/New_York", datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC), "9999-12-31 18:59:59"),
        ("America/New_York", datetime(1, 1, 1, tzinfo=UTC), "01-01 00:00:00 UTC"),
        ("Europe/Berlin", datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02 01:00:00"),
    ],
)
def test_at_the_ends_of_the_calendar_times_are_told_in_utc(
    zone: str, time: datetime, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("TZ", zone)
        tzset()
        told = when(time)
    tzset()
    assert told.endswith(expected)


def test_an_id_is_whole_in_a_narrow_terminal() -> None:
    words = "The Halvorsen Observatory of the North"
    for fact_id in ("01m84m3g894we2v7qh59", "a" * 63):
        name = f"namespaces/n/facts/{fact_id}"
        fact = decode_fact(facts_pb2.Fact(name=name, subject=words, relation=words, object=words, revision=1))
        output = shown(_pictures.facts([fact]), width=80)
        assert max(map(len, output.splitlines())) <= 80
        assert "".join(line.split()[0] for line in output.splitlines()[2:] if line[0] != " ").startswith(
            fact_id
        )
        assert (fact_id in output) is (len(fact_id) == 20)


def test_empty_lists_say_so() -> None:
    assert shown(_pictures.facts([])).strip() == "No facts."
    assert shown(_pictures.namespaces([])).strip() == "No namespaces."
