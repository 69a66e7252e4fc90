"""Texts of others in pictures."""

from __future__ import annotations

from xml.dom.minidom import parseString

from hypothesis import given
from hypothesis import strategies as st

from engines.svg import written


@given(st.text())
def test_any_text_can_stand_in_a_picture(text: str) -> None:
    parseString(f'<svg name="{written(text)}">{written(text)}</svg>'.encode())  # noqa: S318 - our own


def test_what_can_be_written_is_written_as_it_is() -> None:
    assert written('<a> & "\x1b" ü 漢') == "&lt;a&gt; &amp; &quot;\ufffd&quot; ü 漢"
