"""`make demo` tells the same story on vLLM, and fails where one of its steps does not come out."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.vllm.models import PYTHON, ROOT


@pytest.mark.slow
@pytest.mark.model
def test_the_demo_comes_out_on_vllm() -> None:
    chosen = {
        "INTERLEAF_ENGINE__KIND": "vllm",
        "INTERLEAF_ENGINE__VLLM_PYTHON": str(PYTHON),
        "INTERLEAF_ENGINE__MAX_CONTEXT": "2048",
    }
    told = subprocess.run(
        [sys.executable, "-m", "interleaf.cli.demo"],
        cwd=ROOT,
        env=os.environ | chosen,
        capture_output=True,
        text=True,
        timeout=1500,
    )
    assert told.returncode == 0, told.stdout[-3000:] + told.stderr[-3000:]
    assert "the Halvorsen Observatory" in told.stdout
