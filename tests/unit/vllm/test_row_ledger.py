"""Slots, names and users."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.vllm.row_ledger import Row, RowError, RowLedger


def test_rows_never_change_and_have_to_fit() -> None:
    ledger = RowLedger(10)
    ledger.add("a", 4)
    with pytest.raises(RowError, match="there already"):
        ledger.add("a", 4)
    with pytest.raises(RowError, match="no tokens"):
        ledger.add("b", 0)
    with pytest.raises(RowError, match="no room"):
        ledger.add("b", 7)
    assert ledger.free == 6
    assert len(ledger) == 1


def test_what_is_not_there_cannot_be_used_and_nothing_is_counted() -> None:
    ledger = RowLedger(10)
    row = ledger.add("a", 2)
    with pytest.raises(RowError, match="no row 'b'"):
        ledger.use(["a", "b"])
    assert row.users == 0
    with pytest.raises(RowError):
        ledger.drop("b")


def test_a_dropped_row_keeps_its_slots_until_its_users_have_ended() -> None:
    ledger = RowLedger(4)
    ledger.add("a", 4)
    first, second = ledger.use(["a"]), ledger.use(["a"])
    ledger.drop("a")
    assert "a" not in ledger
    with pytest.raises(RowError, match="no room"):
        ledger.add("new", 1)
    ledger.release(first)
    assert ledger.free == 0
    ledger.release(second)
    assert ledger.free == 4
    ledger.add("a", 4)  # the name is free again


@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(1, 5), st.sampled_from(["add", "use", "end", "drop"])))
)
def test_slots_of_living_rows_never_overlap(steps: list[tuple[int, int, str]]) -> None:
    ledger, living, used = RowLedger(16), {}, []
    for number, count, what in steps:
        name = str(number)
        try:
            if what == "add":
                living[name] = ledger.add(name, count)
            elif what == "use":
                used.append(ledger.use([name]))
            elif what == "end" and used:
                ledger.release(used.pop(number % len(used)))
            elif what == "drop":
                ledger.drop(name)
                living.pop(name)
        except RowError:
            continue
        held: list[Row] = [*living.values(), *(row for rows in used for row in rows)]
        distinct = {id(row): row for row in held}.values()
        slots = [slot for row in distinct for slot in range(row.first, row.first + row.count)]
        assert len(slots) == len(set(slots))
        assert ledger.free == 16 - len(slots)
