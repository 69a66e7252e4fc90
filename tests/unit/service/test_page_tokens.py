from __future__ import annotations

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kb_store.errors import InvalidInput
from service.page_tokens import PageTokens

TOKENS = PageTokens(b"k" * 32)


@given(st.one_of(st.integers(0, 2**63), st.text()), st.lists(st.text()))
def test_what_goes_in_comes_out(cursor: int | str, bound: list[str]) -> None:
    assert TOKENS.read(TOKENS.make(cursor, *bound), *bound) == cursor


@given(st.lists(st.text(), max_size=3), st.lists(st.text(), max_size=3))
def test_a_token_is_bound_to_its_list(bound: list[str], other: list[str]) -> None:
    token = TOKENS.make(7, *bound)
    if bound != other:
        with pytest.raises(InvalidInput):
            TOKENS.read(token, *other)


@given(st.binary(max_size=64), st.integers(0, 40), st.integers(1, 255))
def test_nothing_forged_is_read(noise: bytes, place: int, change: int) -> None:
    for forged in (noise.hex(), noise.decode("latin-1"), "ü", "=" * place, "A" * place):
        if forged:
            with pytest.raises(InvalidInput):
                TOKENS.read(forged)
    token = bytearray(TOKENS.make(123456).encode())
    position = place % len(token)
    other = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"[change % 26]
    if token[position] != other and position < len(token) - 1:  # the last letter has bits that say nothing
        token[position] = other
        with pytest.raises(InvalidInput):
            TOKENS.read(token.decode())


def test_another_key_reads_nothing() -> None:
    with pytest.raises(InvalidInput):
        PageTokens(b"j" * 32).read(TOKENS.make(1))


def test_the_key_is_kept_private_and_made_again_when_it_is_not_whole(tmp_path: Path) -> None:
    path = tmp_path / "data" / "page-token.key"
    token = PageTokens.open(path).make(5)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert PageTokens.open(path).number(token) == 5
    path.write_bytes(b"short")
    with pytest.raises(InvalidInput):
        PageTokens.open(path).read(token)
    assert len(path.read_bytes()) == 32


def test_the_beginning_of_a_list() -> None:
    assert TOKENS.number("", "x") == 0
    assert TOKENS.text("", "x") == ""
