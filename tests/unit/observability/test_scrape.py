"""What Prometheus reads from a server that works: over HTTP, through the parser that Prometheus' own client ships."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families

from interleaf.v1 import facts_pb2
from interleaf.v1 import inference_pb2 as pb
from service.config import ConfigError
from service.observability.scrape import HOST
from service.server import Server
from tests.e2e.test_inference_service import ANNA, QUESTION, save_tiny
from tests.http_calls import HTTP
from tests.serving import PARENT, Running, refusal, serving, stubs

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]
GENERATE = "/interleaf.v1.Inference/Generate"
LIST = "/interleaf.v1.Facts/ListFacts"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    tiny = save_tiny(tmp_path_factory.mktemp("tiny"))
    with serving(
        tmp_path_factory.mktemp("data"),
        engine=tiny,
        metrics={"port": 0},
        http=HTTP,
        retrieval={"revision_wait_seconds": 20},
    ) as made:
        yield made


@pytest.fixture(scope="module")
def calls(server: Server) -> Iterator[Running]:
    with grpc.insecure_channel(server.address) as channel:
        yield stubs(server.address, "", channel)


def scrape(server: Server) -> Samples:
    response = httpx2.get(f"{server.metrics_address}/metrics", trust_env=False)
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/plain; version=")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples.get((name, frozenset(labels.items())), 0.0)


def ask(calls: Running, prompt: str = QUESTION, **more: Any) -> Any:
    request = pb.GenerateRequest(parent=PARENT, prompt=prompt, sampling={"max_tokens": 4}, **more)
    return calls.inference.Generate(request)


def test_answers_are_counted_with_facts_stages_and_verdict(server: Server, calls: Running) -> None:
    made = calls.add(*ANNA)
    before = scrape(server)
    first = ask(calls, retrieval={"min_revision": made.namespace_revision})
    ask(calls)
    ask(calls, retrieval={"disabled": True})
    after = scrape(server)

    def more(name: str, **labels: str) -> float:
        return value(after, name, **labels) - value(before, name, **labels)

    assert len(first.citations) == 1
    assert more("interleaf_calls_total", method=GENERATE, code="OK") == 3
    assert more("interleaf_call_seconds_count", method=GENERATE) == 3
    assert more("interleaf_answers_total", verdict="grounded") == 2
    assert more("interleaf_answers_total", verdict="no_facts") == 1
    assert more("interleaf_answers_without_facts_total", why="disabled") == 1
    assert (more("interleaf_injected_facts_count"), more("interleaf_injected_facts_sum")) == (3, 2)
    assert more("interleaf_fact_attention_sum") == pytest.approx(2 * first.citations[0].attention, rel=1e-4)
    assert more("interleaf_tokens_total", what="injected") == 2 * first.injected_tokens
    for stage in ("retrieval", "compile", "queue", "prefill", "decode"):
        assert more("interleaf_answer_stage_seconds_count", stage=stage) == 3
    lookups = [more("interleaf_compiled_lookups_total", result=result) for result in ("hit", "miss")]
    assert sum(lookups) == 2
    assert lookups[0] >= 1
    assert value(after, "interleaf_compiled_facts") == 1
    assert value(after, "interleaf_index_lag") == 0
    assert value(after, "interleaf_calls_in_progress", kind="generate") == 0


def test_refusals_are_counted_by_code_and_reason(server: Server, calls: Running) -> None:
    before = scrape(server)
    missing = "namespaces/nowhere"
    assert (
        refusal(lambda: calls.facts.ListFacts(facts_pb2.ListFactsRequest(parent=missing))).code == "NOT_FOUND"
    )
    gone = httpx2.get(f"{server.http_address}/v1/{missing}/facts", trust_env=False)
    assert gone.status_code == 404
    after = scrape(server)
    for name, labels in (
        ("interleaf_calls_total", {"method": LIST, "code": "NOT_FOUND"}),
        ("interleaf_refusals_total", {"reason": "NOT_FOUND"}),
    ):
        assert value(after, name, **labels) - value(before, name, **labels) == 2


def test_nothing_that_callers_choose_becomes_a_label(server: Server, calls: Running) -> None:
    for number in range(20):
        request = facts_pb2.ListFactsRequest(parent=f"namespaces/made-up-{number}")
        refusal(lambda request=request: calls.facts.ListFacts(request))
        httpx2.get(f"{server.http_address}/v1/no-such-path-{number}", trust_env=False)
    text = httpx2.get(f"{server.metrics_address}/metrics", trust_env=False).text
    assert not any(
        word in text for word in ("made-up", "no-such-path", "default", "Anna", "Werft", "anonymous")
    )


def test_only_programs_of_this_machine_read_them(server: Server) -> None:
    address = server.metrics_address
    assert address.startswith(f"http://{HOST}:")
    for headers in ({"host": "attacker.example"}, {"origin": "https://attacker.example"}):
        assert httpx2.get(f"{address}/metrics", headers=headers, trust_env=False).status_code == 403
    assert httpx2.get(f"{address}/", trust_env=False).status_code == 404
    assert httpx2.post(f"{address}/metrics", trust_env=False).status_code == 405
    wanted = {"accept": "application/openmetrics-text; version=1.0.0"}
    assert httpx2.get(f"{address}/metrics", headers=wanted, trust_env=False).text.endswith("# EOF\n")


def test_without_a_port_nothing_listens_and_a_taken_port_is_named(tmp_path: Path, server: Server) -> None:
    with serving(tmp_path / "quiet") as quiet:
        assert quiet.metrics_address == ""
    taken = int(server.metrics_address.rpartition(":")[2])
    with (
        pytest.raises(ConfigError, match=r"metrics\.port"),
        serving(tmp_path / "taken", metrics={"port": taken}),
    ):
        pass
