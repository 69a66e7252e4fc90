"""Calls of Edits and Circuits from the command line, whose results are shown as the API's messages.

By the client's own connection, retries and errors.
"""

from __future__ import annotations

from typing import Any

from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from interleaf import Progress, Work
from interleaf._calls import Call
from interleaf._work import unpacked
from interleaf.cli._connection import Shell

EDITS, CIRCUITS = "/interleaf.v1.Edits/", "/interleaf.v1.Circuits/"


def ask(shell: Shell, rpc: str, request: Any, response: Any, service: str = EDITS) -> Any:
    """One call; errors are the client's."""
    return shell.client._call(Call(service + rpc, request, response, lambda message: message))


def finished(shell: Shell, started: Any, response: Any) -> Any:
    """Waits for an operation, showing where it stands; its response. Ctrl-C cancels the work."""
    work: Work[Any] = Work(shell.client, started, unpacked({response: lambda message: message}))
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Bar(*columns, console=shell.err, transient=True) as bar:
        task = bar.add_task("waiting", total=1.0)

        def show(seen: Progress) -> None:
            bar.update(task, description=seen.stage, completed=seen.share)

        try:
            return work.result(progress=show)
        except KeyboardInterrupt:
            work.cancel()
            raise
