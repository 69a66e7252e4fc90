"""How processors are shared out to vLLM's workers."""

from __future__ import annotations

import pytest

from engines.vllm.start import shares


@pytest.mark.parametrize(
    ("processors", "workers", "told"),
    [([0, 1], 2, "0|1"), ([0, 1, 4, 5, 7], 2, "0,4,7|1,5"), ([3], 2, "nobind"), ([0, 1], 3, "nobind")],
)
def test_every_worker_gets_processors_of_its_own(processors: list[int], workers: int, told: str) -> None:
    assert shares(processors, workers) == told
