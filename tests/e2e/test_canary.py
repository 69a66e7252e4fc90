"""The canary in a server that works: its facts are found where they are and nowhere else, and its figures say so."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families

from interleaf.v1 import namespaces_pb2
from kb_store.model import Content, Context, CreateFact
from service import canary
from service.app import App
from service.canary import Canary, Round
from service.config import load
from service.server import Server
from tests.serving import WORDS, running, serving

NONE = {"kind": "none"}


def figures(server: Server) -> dict[str, float]:
    text = httpx2.get(f"{server.metrics_address}/metrics", trust_env=False).text
    return {
        sample.name + sample.labels.get("outcome", ""): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if "canary" in sample.name and "bucket" not in sample.name
    }


def test_its_figures_are_there_to_be_scraped(tmp_path: Path) -> None:
    with serving(tmp_path, canary={"interval_seconds": 0.05}, metrics={"port": 0}) as server:
        for _ in range(600):
            seen = figures(server)
            if seen.get("interleaf_canary_seconds_count", 0) >= 2:
                break
            time.sleep(0.05)
    assert seen["interleaf_canary_questions_totalright"] >= 6
    assert seen["interleaf_canary_questions_totalwrong"] == 0
    assert seen["interleaf_canary_leaks_total"] == 0


def test_without_an_interval_there_is_none(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        names = [
            space.name
            for space in server.namespaces.ListNamespaces(namespaces_pb2.ListNamespacesRequest()).namespaces
        ]
    assert names == ["namespaces/default"]


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    settings = load(None, {"store": {"data_dir": tmp_path}, "engine": NONE})
    app = App.open(settings, WORDS)
    yield app
    asyncio.run(app.stop())


def bird(app: App) -> Canary:
    parts = app.parts
    return Canary(
        parts.settings.canary,
        parts.store,
        parts.retriever,
        parts.revisions,
        parts.workers,
        None,
        parts.meters,
    )


def test_objects_change_every_round(app: App) -> None:
    made = bird(app)
    for number in range(3):
        found: Round = asyncio.run(made.round())
        assert (found.right, found.wrong, found.leaks) == (3, 0, 0)
        facts = app.parts.store.list_facts("interleaf-canary", limit=10).facts
        assert [fact.revision for fact in facts] == [number + 1] * 3


def test_a_leak_is_seen(app: App) -> None:
    """The power check: a stranger that has been told a canary's object says it, and is caught."""
    made = bird(app)
    asyncio.run(made.round())
    leaked = Content(canary._SUBJECTS[0], "employer", canary._OBJECTS[0])
    store = app.parts.store
    revision = store.write([CreateFact("interleaf-canary-stranger", leaked)], Context()).namespace_revision
    assert app.parts.indexer.wait_searchable("interleaf-canary-stranger", revision, 60)
    assert asyncio.run(made.round()).leaks >= 1
