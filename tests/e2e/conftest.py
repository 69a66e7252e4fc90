from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serving import Running, running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One server without a model for a file of tests."""
    folder: Path = tmp_path_factory.mktemp("data")
    with running(
        folder,
        store={"import_rows": 10},
        limits={"max_page_size": 50, "default_page_size": 20},
        retrieval={"revision_wait_seconds": 3.0},  # a busy machine needs more than a moment to index
    ) as made:
        yield made


@pytest.fixture
def parent(server: Running, request: pytest.FixtureRequest) -> str:
    """A namespace of the test's own."""
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-")[-60:].strip("-")
    return server.space(name)
