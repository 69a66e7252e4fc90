"""What a log tells of a failure: where it was, and nothing of what was at hand there."""

from __future__ import annotations

import subprocess
import sys

import pytest

FAILING = """
import asyncio, logging, structlog
from service.config import LogSettings
from service.logs import configure

configure(LogSettings(format={format!r}))

def answer(prompt: str) -> None:
    facts = [prompt, "of nobody else's business"]
    raise RuntimeError(len(facts))

async def forgotten() -> None:
    task = asyncio.create_task(asyncio.to_thread(answer, "Where does " + "Anna live?"))
    await asyncio.wait([task])

try:
    answer("Where does " + "Anna live?")
except RuntimeError as error:
    structlog.get_logger("interleaf.calls").error("call failed", exc_info=error)
    logging.getLogger("a.library").exception("a library failed")
asyncio.run(forgotten())
"""


@pytest.mark.parametrize("form", ["console", "json"])
def test_a_failure_is_logged_with_its_lines_and_without_what_they_held(form: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FAILING.format(format=form)], capture_output=True, text=True, check=True
    )
    for said in ("call failed", "a library failed", "was never retrieved", "RuntimeError", "in answer"):
        assert said in done.stderr
    assert "Anna live" not in done.stderr
