"""Engines with vLLM in an environment of its own (`make setup-vllm`); without it these tests are skipped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from tests.vllm.models import PYTHON, Pair, start


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = [item for item in items if "tests/vllm/" in item.path.as_posix()]
    for item in here:
        item.add_marker(pytest.mark.vllm)
        item.add_marker(pytest.mark.timeout(1800))
        if not PYTHON.exists():
            item.add_marker(pytest.mark.skip(reason="no .venv-vllm: make setup-vllm"))


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """As the service starts it."""
    torch.set_num_threads(1)
    pair = start(tmp_path_factory.mktemp("llama"))
    yield pair
    pair.close()


@pytest.fixture
def begin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Pair]]:
    """Starts engines that are closed at the test's end."""
    torch.set_num_threads(1)
    started: list[Pair] = []

    def one(kind: str = "llama", **settings: Any) -> Pair:
        started.append(start(tmp_path_factory.mktemp(kind), kind, **settings))
        return started[-1]

    yield one
    for pair in started:
        pair.close()
