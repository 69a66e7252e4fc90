"""Calls of Edits and Circuits from the command line: by the client's own connection, retries and errors."""

from __future__ import annotations

import time
from typing import Any

from google.longrunning import operations_pb2
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from interleaf._calls import Call
from interleaf._namespace_calls import OPERATIONS, _operation
from interleaf.cli._connection import Shell
from interleaf.v1 import edits_pb2 as pb

EDITS, CIRCUITS = "/interleaf.v1.Edits/", "/interleaf.v1.Circuits/"
_POLL_SECONDS = 0.5


def ask(shell: Shell, rpc: str, request: Any, response: Any, service: str = EDITS) -> Any:
    """One call; errors are the client's."""
    return shell.client._call(Call(service + rpc, request, response, lambda message: message))


def finished(shell: Shell, started: Any, response: Any, work: Any = pb.EditWorkMetadata) -> Any:
    """Waits for an operation, showing where it stands (`work`: its metadata); its response. Ctrl-C cancels the work."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    operation = started
    try:
        with Progress(*columns, console=shell.err, transient=True) as progress:
            task = progress.add_task("waiting", total=1.0)
            while not operation.done:
                metadata = work()
                operation.metadata.Unpack(metadata)
                progress.update(task, description=metadata.stage, completed=metadata.share)
                time.sleep(_POLL_SECONDS)
                request = operations_pb2.GetOperationRequest(name=started.name)
                call = Call(
                    OPERATIONS + "GetOperation", request, operations_pb2.Operation, lambda message: message
                )
                operation = shell.client._call(call)
    except KeyboardInterrupt:
        shell.client.cancel_operation(started.name)
        raise
    _operation(operation)  # raises what it ended with
    found = response()
    operation.response.Unpack(found)
    return found
