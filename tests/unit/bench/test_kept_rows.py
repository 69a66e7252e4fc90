"""Rows of a long run go on in another process, and on another machine."""

from __future__ import annotations

from pathlib import Path

import pytest

import circuits
from bench import kept
from bench.common import Bench
from bench.kept import Kept


@pytest.fixture(autouse=True)
def apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache and a folder of packed rows of the test's own."""
    monkeypatch.setenv("INTERLEAF_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(kept, "PACKED", tmp_path / "packed")


def rows_of(seed: int = 0, **decides: int) -> Kept:
    return Kept(
        Bench("some", argv=["--seed", str(seed)], add_arguments=kept.kept_arguments), (kept,), **decides
    )


def test_a_run_that_was_ended_within_a_line_goes_on_behind_the_last_whole_one() -> None:
    first = rows_of()
    first.keep("one", {"value": 1})
    with first.path.open("a", encoding="utf-8") as file:
        file.write('["two", {"val')
    second = rows_of()
    assert (second.get("one"), "two" in second) == ({"value": 1}, False)
    assert second.row("two", lambda: {"value": "\u2028"}) == {"value": "\u2028"}
    assert rows_of().get("two") == {"value": "\u2028"}
    assert "one" not in rows_of(seed=1)
    assert "one" not in rows_of(facts=5)


def test_packed_rows_are_there_where_the_cache_is_empty(capsys: pytest.CaptureFixture[str]) -> None:
    first = rows_of()
    first.keep("one", {"value": 1})
    kept.main([str(first.path)])
    assert first.path.name in capsys.readouterr().out
    first.path.unlink()
    second = rows_of()
    assert second.get("one") == {"value": 1}
    second.keep("two", {"value": 2})
    packed = kept.pack(second.path)  # its file has the second row only
    before = packed.read_bytes()
    second.path.unlink()
    assert [rows_of().get(name) for name in ("one", "two")] == [{"value": 1}, {"value": 2}]
    second.keep("two", {"value": 2})
    with second.path.open("a", encoding="utf-8") as file:
        file.write('["three", {"val')  # ended within a line
    assert kept.pack(second.path).read_bytes() == before
    with pytest.raises(SystemExit, match="2"):
        kept.main([str(second.path.with_name("nowhere.jsonl"))])
    assert "is no file of kept rows" in capsys.readouterr().err


def test_a_whole_package_can_decide_about_rows() -> None:
    names = {module.__name__ for module in kept.modules_of(circuits)}
    assert {"circuits", "circuits.lab", "circuits.hallucination.check"} <= names
