"""What the commands of `interleaf circuits` share: arguments, the wait for a study, what is shown and written."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from google.longrunning import operations_pb2

from interleaf.cli._connection import Shell
from interleaf.v1 import inference_pb2
from service.cli import circuits_show as shown
from service.cli.edits_calls import CIRCUITS, ask, finished

PromptArgument = Annotated[str, typer.Argument(help="What the model is asked; the answer follows it.")]
SubjectOption = Annotated[str, typer.Option("--subject", "-s", help="As it stands in the prompt.")]
ObjectOption = Annotated[str, typer.Option("--object", "-o", help="The answer that is studied.")]
RelationOption = Annotated[
    str,
    typer.Option(help="Words of the prompt that say the relation.", show_default="all but the subject"),
]
OtherOption = Annotated[
    list[str] | None, typer.Option("--other", help="Another object of the relation; may be repeated.")
]
OutOption = Annotated[
    Path | None,
    typer.Option("--out", metavar="FOLDER", help="Also write the data as JSON and the pictures there."),
]
ChatOption = Annotated[bool, typer.Option("--chat", help="Ask it in the model's chat template.")]


def input_of(prompt: str, chat: bool) -> dict[str, Any]:
    """The prompt as the API's `input`."""
    if not chat:
        return {"prompt": prompt}
    return {"chat": inference_pb2.Chat(messages=[inference_pb2.ChatMessage(role="user", content=prompt)])}


def parent_of(shell: Shell) -> str:
    """The namespace that the command is for."""
    return f"namespaces/{shell.client.namespace}"


def studied(shell: Shell, rpc: str, request: Any, response: Any) -> Any:
    """Begins a study and waits for what it finds."""
    started = ask(shell, rpc, request, operations_pb2.Operation, CIRCUITS)
    return finished(shell, started, response)


def show(shell: Shell, message: Any, name: str, out: Path | None, lines: Any) -> None:
    """Shows the data, and writes it with its pictures where there is a folder for them."""
    written = shown.write(message, name, out) if out else ()
    shell.show(shown.without_pictures(message), lines)
    for path in written:
        shell.err.print(str(path), markup=False, highlight=False)
