"""Both clients against a real server (without a model)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

import interleaf
from interleaf import AsyncClient, Client, FactState, NewFact
from tests.serving import serving


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("data"), store={"import_rows": 100}) as server:
        yield server.address


@pytest.fixture
def client(address: str, request: pytest.FixtureRequest) -> Iterator[Client]:
    name = request.node.name.replace("_", "-").removeprefix("test-")[:63].strip("-")
    with Client(address, namespace=name) as client:
        client.ensure_namespace()
        yield client


def test_a_fact_and_its_history(client: Client) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    fact = client.add("Anna", "employer", "Werft", aliases=["A."], source="HR", valid_from=start)
    assert (fact.aliases, fact.source, fact.valid_from, fact.valid_to) == (("A.",), "HR", start, None)
    assert fact.create_time is not None
    client.correct(fact, "Hafenwerk")
    assert client.get(fact).object == "Hafenwerk"
    assert client.update(fact, valid_from=None).valid_from is None
    assert client.rollback(fact, 1).valid_from == start
    assert client.delete(fact).deleted
    assert client.undelete(fact).purge_time is None
    history = [(r.number, r.action, r.fact.object) for r in client.history(fact, page_size=2)]
    assert [entry[1] for entry in history] == ["undelete", "delete", "rollback", "update", "update", "create"]
    assert history[-1] == (1, "create", "Werft")


def test_a_request_id_makes_a_repeat_harmless(client: Client) -> None:
    first = client.add("Anna", "employer", "Werft", request_id="6b1f7e4e-7c52-4a42-9c43-2f3f3f9d8a11")
    again = client.add("Anna", "employer", "Werft", request_id="6b1f7e4e-7c52-4a42-9c43-2f3f3f9d8a11")
    assert again.uid == first.uid
    assert client.get_namespace().fact_count == 1
    with pytest.raises(interleaf.RequestIdReused):
        client.add("Anna", "employer", "Hafenwerk", request_id="6b1f7e4e-7c52-4a42-9c43-2f3f3f9d8a11")


def test_refusals_arrive_as_their_classes(client: Client) -> None:
    fact = client.add("Anna", "employer", "Werft")
    with pytest.raises(interleaf.ConflictingFact) as conflict:
        client.add("Anna", "employer", "Hafenwerk")
    assert conflict.value.fact_id == fact.id
    client.correct(fact, "Hafenwerk", etag=fact.etag)
    with pytest.raises(interleaf.EtagMismatch):
        client.correct(fact, "Reederei", etag=fact.etag)
    with pytest.raises(interleaf.LimitExceeded) as limit:
        client.add("x" * 300, "employer", "Werft")
    assert limit.value.metadata["limit"] == "max_subject_length"
    assert "subject" in limit.value.violations[0].field
    with pytest.raises(interleaf.NotFound):
        client.get("nobody")
    with pytest.raises(interleaf.FailedPrecondition):
        client.undelete(fact)
    with pytest.raises(interleaf.FailedPrecondition, match="without a model"):
        client.ask("Who?")
    with pytest.raises(interleaf.FailedPrecondition):
        client.delete_namespace(client.namespace)


def test_several_at_once_and_lists_over_pages(client: Client) -> None:
    facts = client.add_many([("Anna", "employer", "Werft"), NewFact("Bo", "employer", "Werft", fact_id="bo")])
    assert facts[1].id == "bo"
    with pytest.raises(interleaf.ConflictingFact):
        client.add_many([("Cem", "employer", "Werft"), ("Bo", "employer", "Hafenwerk")])
    assert [f.subject for f in client.list(page_size=1)] == ["Anna", "Bo"], "all or none"
    assert [f.subject for f in client.list('subject : "B"')] == ["Bo"]
    assert client.get_many(["bo", facts[0]]) == tuple(reversed(client.get_many([facts[0], "bo"])))
    client.delete_many(facts)
    assert list(client.list()) == []
    assert len(list(client.list(show_deleted=True))) == 2


def test_writes_are_seen_at_once(client: Client, address: str) -> None:
    for n in range(30):
        client.add(f"Person {n}", "employer", f"Company {n}")
        hit = client.search(f"Who does Person {n} work for?", top_k=1)[0]
        assert (hit.fact.object, hit.fact.state) == (f"Company {n}", FactState.SEARCHABLE)
    namespace = client.wait_until("searchable", timeout=30)
    assert namespace.searchable_revision >= namespace.revision == 30
    with pytest.raises(interleaf.DeadlineExceeded, match="at revision 31"):
        client.wait_until("searchable", revision=31, timeout=0.1)


def test_files_and_reindexing(client: Client, tmp_path: Path) -> None:
    file = tmp_path / "crew.csv"
    file.write_text("subject,relation,object\n" + "".join(f"P{n},employer,C{n}\n" for n in range(450)))
    seen: list[int] = []
    report = client.import_file(file, progress=lambda at: seen.append(at.rows_read))
    assert (report.rows_written, report.done, seen) == (450, True, sorted(seen))
    again = client.import_file(file, import_id=report.import_id)
    assert (again.rows_written, again.rows_unchanged) == (0, 450)
    assert client.export_file(tmp_path / "out.nt") == (tmp_path / "out.nt").stat().st_size
    operation = client.wait(client.reindex(), timeout=60)
    assert operation.done
    assert operation.name in [entry.name for entry in client.operations()]


def test_asyncio(address: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with AsyncClient(address, namespace="asyncio") as client:
            await client.ensure_namespace()
            assert (await client.ensure_namespace()).id == "asyncio"
            added = await asyncio.gather(*(client.add(f"P{n}", "employer", "C") for n in range(20)))
            assert len({fact.uid for fact in added}) == 20
            assert len([fact async for fact in client.list(page_size=7)]) == 20
            with pytest.raises(interleaf.ConflictingFact):
                await client.add("P1", "employer", "D")
            await client.export_file(tmp_path / "facts.jsonl")
            await client.delete_many(added)
            report = await client.import_file(tmp_path / "facts.jsonl")
            assert report.rows_written + report.rows_unchanged + report.rows_failed == 20
            assert (await client.wait(await client.reindex(), timeout=60)).done
            assert (await client.wait_until(timeout=30)).searchable_revision > 0

    asyncio.run(scenario())
