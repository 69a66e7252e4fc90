"""A piece of work on encoders in a process of its own, seen from the server's event loop."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import structlog

from service.encoders.jobs import Job, Progress
from service.encoders.worker import GRACE_SECONDS
from service.errors import EncoderWorkFailed, EncoderWorkRefused
from service.job_kinds import to_json

_LONGEST_LINE = 64 * 1024 * 1024
_KEPT_LINES = 40
_MARGIN_SECONDS = 5.0

_log = structlog.get_logger("interleaf.encoders")


async def run_in_process(job: Job, note: Callable[[Progress], None]) -> dict[str, Any]:
    """The job's result. EncoderWorkRefused with its sentence, EncoderWorkFailed when the process dies of it.

    Cancelled, it returns only when the process is gone.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "service.encoders.worker",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,  # a Ctrl-C is the server's to see; it then ends the process
        limit=_LONGEST_LINE,
    )
    said: deque[str] = deque(maxlen=_KEPT_LINES)
    listening = asyncio.create_task(_keep_last(process, said))
    try:
        return await _converse(process, job, note, said)
    finally:
        await asyncio.shield(_end(process, listening))


async def _converse(
    process: asyncio.subprocess.Process, job: Job, note: Callable[[Progress], None], said: deque[str]
) -> dict[str, Any]:
    stdin, stdout = _pipes(process)
    with suppress(ConnectionError):
        stdin.write(to_json(job).encode() + b"\n")
        await stdin.drain()
    async for line in stdout:
        message: dict[str, Any] = json.loads(line)
        if "progress" in message:
            note(Progress(**message["progress"]))
        elif "refused" in message:
            raise EncoderWorkRefused(message["refused"])
        elif "result" in message:
            result: dict[str, Any] = message["result"]
            return result
    code = await process.wait()
    _log.error("work on an encoder failed", exit_code=code, said="\n".join(said))
    raise EncoderWorkFailed(code)


async def _end(process: asyncio.subprocess.Process, listening: asyncio.Task[None]) -> None:
    """Closing its input tells it to stop; it is killed if it does not within its own grace time."""
    _pipes(process)[0].close()
    try:
        await asyncio.wait_for(process.wait(), GRACE_SECONDS + _MARGIN_SECONDS)
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    await listening


async def _keep_last(process: asyncio.subprocess.Process, said: deque[str]) -> None:
    if process.stderr is not None:
        async for line in process.stderr:
            said.append(line.decode(errors="replace").rstrip())


def _pipes(process: asyncio.subprocess.Process) -> tuple[asyncio.StreamWriter, asyncio.StreamReader]:
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("the process was started without pipes")
    return process.stdin, process.stdout
