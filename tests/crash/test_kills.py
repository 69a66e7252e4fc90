"""The kill loop in small: five random kills, and each failpoint once. `make test-crash` is the long one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kb_store import failpoints
from tests.crash import many
from tests.crash.kill_loop import KillLoop
from tests.crash.ledger import Ledger, Operation, State
from tests.crash.verify import Findings, _compare

# Generous, for machines that are busy with other things.
pytestmark = pytest.mark.timeout(1800)

FAILPOINTS = (
    "index.after_file_fsync",
    "index.after_file_rename",
    "index.after_manifest_rename",
    "index.before_file_fsync",
    "index.before_manifest_rename",
    "indexer.after_apply",
    "indexer.before_apply",
    "indexer.before_trim",
    "store.after_commit",
    "store.before_ack",
    "store.before_commit",
    "store.in_import",
)


def test_every_failpoint_is_visited() -> None:
    ours = [name for name in failpoints.registered() if name.startswith(("store.", "index"))]
    assert tuple(ours) == FAILPOINTS


def test_random_kills_lose_nothing(tmp_path: Path) -> None:
    with KillLoop(tmp_path, seed=1) as loop:
        for _ in range(5):
            assert loop.kill_once() == []
    assert loop.ledger.acknowledged > 0


def test_kills_at_failpoints_lose_nothing(tmp_path: Path) -> None:
    with KillLoop(tmp_path, seed=2) as loop:
        for number, name in enumerate(FAILPOINTS):
            # Some passes later than the first, so that there is something to lose.
            assert (name, loop.kill_at(name, passes=2 + number % 3)) == (name, [])
    assert loop.ledger.acknowledged > 0


def test_the_judge_sees_what_is_wrong() -> None:
    """A verifier that cannot fail proves nothing."""
    state = State(2, "s", "o", True)
    for stored, kind in (
        ({}, "lost"),
        ({"a": State(1, "s", "o", True)}, "lost"),
        ({"a": State(3, "s", "o", True)}, "phantom"),
        ({"a": state, "b": state}, "phantom"),
        ({"a": State(2, "s", "other", True)}, "inconsistent"),
        ({"a": State(2, "s", "o", False)}, "inconsistent"),
    ):
        found = Findings()
        _compare(stored, {"a": state}, found)
        assert getattr(found, kind)
    found = Findings()
    _compare({"a": state}, {"a": state}, found)
    assert found.all() == []


def test_the_ledger_counts_only_what_was_acknowledged() -> None:
    ledger = Ledger()
    made = Operation("1", 0, "create", (("a", "s", "o"), ("b", "s", "o")))
    gone = Operation("2", 0, "delete", (("a", "s", "o"),))
    other = Operation("3", 1, "import", (("c", "s", "o"),))
    ledger.read([b"R ready\n", made.line(), b"A 0\n", gone.line(), other.line(), b"A 1\n"])
    assert ledger.states == {name: State(1, "s", "o", True) for name in "abc"}
    assert ledger.under_way == {0: gone}
    assert (ledger.imported, ledger.acknowledged) == ({"lane-1": 1}, 2)


@pytest.mark.parametrize("value", ["store.before_commit:0", "store.before_commit:x"])
def test_failpoints_that_cannot_be_read_are_refused(value: str) -> None:
    with pytest.raises(ValueError, match="expected name or name:n"):
        failpoints._parse(value)


def test_many_kills_go_on_where_they_were_stopped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["--per-store", "1", "--cache", str(tmp_path), "--seed", "3"]
    assert many.main([*arguments, "--kills", "1"]) == 0
    first = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (first["kills"], first["stores"], first["lost"]) == (1, 1, 0)
    monkeypatch.delattr(many, "one_store")  # nothing is left to be done
    assert many.main([*arguments, "--kills", "1"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == first
