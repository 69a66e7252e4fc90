"""What the engine's process is told to hold."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from engines.contract import InjectedFact, KVTokens
from engines.errors import EngineBusy, InvalidRequest
from engines.vllm.row_shelf import RowShelf, name_of


def _fact(key: str, tokens: int = 2) -> InjectedFact:
    generator = torch.Generator().manual_seed(sum(map(ord, key)))
    keys, values = torch.randn(2, 1, tokens, 1, 4, generator=generator)
    return InjectedFact(KVTokens(key, "encoder", keys, values))


def test_a_fact_is_sent_once() -> None:
    shelf = RowShelf(10, 10)
    a, b = _fact("a"), _fact("b")
    first = shelf.lend([a, b, a])
    assert [tokens.key for _, tokens in first.put] == ["a", "b"]
    assert first.rows == (first.rows[0], first.rows[1], first.rows[0])
    again = shelf.lend([b, replace(a, bias=1.0)])
    assert again.put == ()
    assert again.rows == (first.rows[1], first.rows[0])
    # The same content in another object is the same row.
    copied = replace(a, tokens=replace(a.tokens, keys=a.tokens.keys.clone()))
    assert shelf.lend([copied]).rows == first.rows[:1]


def test_a_name_says_everything() -> None:
    tokens = _fact("a").tokens
    others = [
        replace(tokens, key="b"),
        replace(tokens, encoder="another"),
        replace(tokens, said=(1, 2)),
        replace(tokens, keys=tokens.keys + 1e-6),
        replace(tokens, values=tokens.values.half()),
        replace(tokens, keys=tokens.values, values=tokens.keys),
    ]
    assert len({name_of(tokens), *map(name_of, others)}) == 1 + len(others)


def test_those_used_longest_ago_go_first() -> None:
    shelf = RowShelf(6, 6)
    a, b, c, d = map(_fact, "abcd")
    rows = {fact.tokens.key: shelf.lend([fact]).rows for fact in (a, b, c)}
    for names in rows.values():
        shelf.give_back(names)
    shelf.give_back(shelf.lend([a]).rows)
    loan = shelf.lend([d])
    assert loan.drop == rows["b"]
    assert [tokens.key for _, tokens in loan.put] == ["d"]
    assert [tokens.key for _, tokens in shelf.lend([b]).put] == ["b"]


def test_what_is_in_use_stays() -> None:
    shelf = RowShelf(4, 4)
    held = shelf.lend([_fact("a"), _fact("b")])
    with pytest.raises(EngineBusy):
        shelf.lend([_fact("c")])
    shelf.give_back(held.rows[:1])
    assert shelf.lend([_fact("c")]).drop == held.rows[:1]


def test_too_much_for_any_time_is_refused() -> None:
    shelf = RowShelf(4, 4)
    with pytest.raises(InvalidRequest, match="6 tokens; a request may see 4"):
        shelf.lend([_fact("a"), _fact("b"), _fact("c")])
    assert [tokens.key for _, tokens in shelf.lend([_fact("a")]).put] == ["a"]


def test_a_new_process_has_nothing() -> None:
    shelf = RowShelf(4, 4)
    a = _fact("a")
    held = shelf.lend([a])
    shelf.forget()
    assert len(shelf.lend([a]).put) == 1
    shelf.give_back(held.rows)  # of the process before: harms nobody
    shelf.discard(held.rows[0])
    assert len(shelf.lend([a]).put) == 1
