"""Lists of facts, their pages and filters, search, and revisions that are waited for, through the wire."""

from __future__ import annotations

from typing import Any

from interleaf.v1 import facts_pb2 as pb
from tests.serving import PARENT, Running, get, listed, refusal

ANNA = ("Anna Keller", "employer", "Nordlicht Werft")


def test_pages_hold_every_fact_once_while_facts_come_and_go(server: Running, parent: str) -> None:
    names = [server.add(f"S{n}", "r", f"o{n}", parent=parent).name for n in range(12)]
    seen: list[str] = []
    token = ""
    while True:
        page = server.facts.ListFacts(
            pb.ListFactsRequest(parent=parent, page_size=5, page_token=token, show_deleted=True)
        )
        seen += [fact.name for fact in page.facts]
        token = page.next_page_token
        if not token:
            break
        server.facts.DeleteFact(pb.DeleteFactRequest(name=names[len(seen) - 1]))
        server.add(f"late {len(seen)}", "r", "o", parent=parent)
    assert seen[:12] == names
    assert len(seen) == len(set(seen)) == 14


def test_page_sizes(server: Running, parent: str) -> None:
    requests = [
        pb.CreateFactRequest(fact=pb.Fact(subject=f"S{n}", relation="r", object="o")) for n in range(60)
    ]
    server.facts.BatchCreateFacts(pb.BatchCreateFactsRequest(parent=parent, requests=requests))
    assert len(listed(server, parent)) == 20
    assert len(listed(server, parent, page_size=1_000_000)) == 50
    refused = refusal(lambda: listed(server, parent, page_size=-1))
    assert refused.fields == ("page_size",)


def test_filters(server: Running, parent: str) -> None:
    server.add("Anna Keller", "employer", "Werft", parent=parent, fact={"source": "HR"})
    server.add("Anna Keller", "birthplace", "Kiel", parent=parent)
    server.add("Tom Berg", "employer", "Hafenwerk", parent=parent)
    assert listed(server, parent, filter='subject = "Anna Keller" AND relation = employer') == ["Werft"]
    assert listed(server, parent, filter="source != HR") == ["Kiel", "Hafenwerk"]
    assert listed(server, parent, filter="object : werk") == ["Hafenwerk"]
    for wrong in ("subject", "nonsense = 1", 'subject = "open', "subject = a OR relation = b"):
        refused = refusal(lambda wrong=wrong: listed(server, parent, filter=wrong))
        assert (refused.code, refused.fields) == ("INVALID_ARGUMENT", ("filter",))


def test_page_tokens_belong_to_their_list(server: Running, parent: str) -> None:
    made = [server.add(f"S{n}", "r", "o", parent=parent) for n in range(3)]
    token = server.facts.ListFacts(pb.ListFactsRequest(parent=parent, page_size=1)).next_page_token
    forged = [
        {"parent": parent, "page_token": token[:-1] + ("A" if token[-1] != "A" else "B")},
        {"parent": parent, "page_token": "nonsense!"},
        {"parent": parent, "page_token": "MTIz"},
        {"parent": parent, "page_token": "x" * 100_000},
        {"parent": PARENT, "page_token": token},
        {"parent": parent, "page_token": token, "filter": "subject = S1"},
        {"parent": parent, "page_token": token, "show_deleted": True},
    ]
    for values in forged:
        refused = refusal(lambda values=values: server.facts.ListFacts(pb.ListFactsRequest(**values)))
        assert (refused.code, refused.fields) == ("INVALID_ARGUMENT", ("page_token",))
    refused = refusal(
        lambda: server.facts.ListFactRevisions(
            pb.ListFactRevisionsRequest(name=made[0].name, page_token=token)
        )
    )
    assert refused.fields == ("page_token",)


def test_search_sees_what_min_revision_asks_for(server: Running, parent: str) -> None:
    server.add("Tom Berg", "birthplace", "Kiel", parent=parent)
    made = server.add(*ANNA, parent=parent)

    def search(query: str, **more: Any) -> Any:
        return server.facts.SearchFacts(
            pb.SearchFactsRequest(parent=parent, query=query, min_revision=made.namespace_revision, **more)
        )

    found = search("Who is the employer of Anna Keller?")
    assert found.hits[0].fact.name == made.name
    assert found.hits[0].subject_cover == 1.0
    assert found.hits[0].fact.state == pb.FACT_STATE_SEARCHABLE
    assert found.namespace_revision == 2
    assert len(search("Anna Keller", top_k=1).hits) == 1
    for mode in (pb.SEARCH_MODE_DENSE, pb.SEARCH_MODE_LEXICAL):
        assert search("employer of Anna Keller", mode=mode).hits[0].fact.name == made.name
    refused = refusal(lambda: search("x", top_k=65))
    assert (refused.reason, refused.metadata["limit"]) == ("LIMIT_EXCEEDED", "max_top_k")
    refused = refusal(lambda: search("x", mode=99))
    assert refused.fields == ("mode",)
    server.facts.DeleteFact(pb.DeleteFactRequest(name=made.name))
    assert made.name not in [hit.fact.name for hit in search("employer of Anna Keller").hits]


def test_a_revision_that_does_not_come_is_refused(server: Running, parent: str) -> None:
    made = server.add(*ANNA, parent=parent)
    assert get(server, made.name, min_revision=1) is not None
    for call in (
        lambda: get(server, made.name, min_revision=2),
        lambda: server.facts.ListFacts(pb.ListFactsRequest(parent=parent, min_revision=2)),
        lambda: server.facts.SearchFacts(pb.SearchFactsRequest(parent=parent, query="x", min_revision=2)),
    ):
        refused = refusal(call)
        assert (refused.code, refused.reason) == ("FAILED_PRECONDITION", "REVISION_NOT_REACHED")
        assert (refused.metadata["wanted"], refused.metadata["reached"]) == ("2", "1")
