"""`interleaf circuits`: check, trace, heads, knockout, recall, facts on a server; probes, calibrate on this machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from google.longrunning import operations_pb2

from interleaf._calls import new_request_id
from interleaf.cli._connection import Shell, connected
from interleaf.v1 import circuits_pb2 as pb
from interleaf.v1 import inference_pb2
from service import circuits_show as shown
from service.edits_calls import CIRCUITS, ask, finished

app = typer.Typer(no_args_is_help=True)
circuits_app = typer.Typer(
    no_args_is_help=True, help="Why did the model say that? Diagnostics of the served model, with pictures."
)
app.add_typer(circuits_app, name="circuits")

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


@circuits_app.command()
@connected
def check(
    shell: Shell,
    prompt: PromptArgument,
    answer: Annotated[str, typer.Option(help="What was answered.", show_default="asked for")] = "",
    truth: Annotated[str, typer.Option(help="The right answer.", show_default="from the store")] = "",
    subject: Annotated[str, typer.Option("--subject", "-s", show_default="from the store")] = "",
    chat: ChatOption = False,
    out: OutOption = None,
) -> None:
    """Was this answer made up, how, and what would a right one have needed? A few passes."""
    request = pb.CheckHallucinationRequest(
        parent=_parent(shell), answer=answer, truth=truth, subject=subject, **_input(prompt, chat)
    )
    report = ask(shell, "CheckHallucination", request, pb.HallucinationReport, CIRCUITS)
    _show(shell, report, "check", out, lambda: shown.report(report))


@circuits_app.command()
@connected
def trace(
    shell: Shell,
    prompt: PromptArgument,
    answers: Annotated[list[str], typer.Argument(metavar="ANSWER...", help="One or more answers.")],
    subject: SubjectOption,
    chat: ChatOption = False,
    out: OutOption = None,
) -> None:
    """What the model would answer at every depth: the logit lens."""
    request = pb.TraceAnswersRequest(subject=subject, answers=answers, **_input(prompt, chat))
    found = ask(shell, "TraceAnswers", request, pb.AnswerTrace, CIRCUITS)
    _show(shell, found, "trace", out, lambda: shown.trace(found))


@circuits_app.command()
@connected
def heads(
    shell: Shell,
    prompt: PromptArgument,
    subject: SubjectOption,
    object_: ObjectOption,
    relation: RelationOption = "",
    other: OtherOption = None,
    direct_only: Annotated[bool, typer.Option(help="Without ablating every head: one pass.")] = False,
    chat: ChatOption = False,
    out: OutOption = None,
) -> None:
    """Which heads carry the subject's attribute (movers), and which say what kind of thing is asked for."""
    request = pb.StudyHeadsRequest(
        probe=_probe(prompt, subject, object_, relation, other, chat),
        direct_only=direct_only,
        request_id=new_request_id(None),
    )
    study = _studied(shell, "StudyHeads", request, pb.HeadStudy)
    _show(shell, study, "heads", out, lambda: shown.heads(study))


@circuits_app.command()
@connected
def knockout(
    shell: Shell,
    prompt: PromptArgument,
    subject: SubjectOption,
    object_: ObjectOption,
    relation: RelationOption = "",
    window: Annotated[int, typer.Option(min=1, help="Layers that are blocked at a time.")] = 9,
    chat: ChatOption = False,
    out: OutOption = None,
) -> None:
    """What blocking attention edges and silencing sub-layers does, by layer."""
    request = pb.StudyKnockoutRequest(
        probe=_probe(prompt, subject, object_, relation, None, chat),
        window=window,
        request_id=new_request_id(None),
    )
    study = _studied(shell, "StudyKnockout", request, pb.KnockoutStudy)
    _show(shell, study, "knockout", out, lambda: shown.knockout(study))


@circuits_app.command()
@connected
def recall(
    shell: Shell,
    prompt: PromptArgument,
    subject: SubjectOption,
    object_: ObjectOption,
    relation: RelationOption = "",
    attribute: Annotated[
        list[str] | None, typer.Option(help="What is true of the subject; may be repeated.")
    ] = None,
    chat: ChatOption = False,
    out: OutOption = None,
) -> None:
    """What the subject's representation holds, which updates say the answer, what heads map the subject to."""
    request = pb.StudyRecallRequest(
        probe=_probe(prompt, subject, object_, relation, None, chat),
        attributes=attribute or (),
        request_id=new_request_id(None),
    )
    study = _studied(shell, "StudyRecall", request, pb.RecallStudy)
    _show(shell, study, "recall", out, lambda: shown.recall(study))


@circuits_app.command()
@connected
def facts(
    shell: Shell,
    prompt: PromptArgument,
    answer: Annotated[str, typer.Option(help="Studied.", show_default="the best fact's object")] = "",
    subject: Annotated[str, typer.Option("--subject", "-s", show_default="the best fact's")] = "",
    chat: ChatOption = False,
    out: OutOption = None,
) -> None:
    """Which layers, heads and tokens read the facts that this prompt retrieves, and what is without them."""
    request = pb.ExplainFactsRequest(
        parent=_parent(shell),
        answer=answer,
        subject=subject,
        request_id=new_request_id(None),
        **_input(prompt, chat),
    )
    found = _studied(shell, "ExplainFacts", request, pb.FactExplanation)
    _show(shell, found, "facts", out, lambda: shown.facts(found))


@circuits_app.command()
def probes(
    per_relation: Annotated[int, typer.Option(min=1, help="Facts asked for, of each relation.")] = 12,
    model: Annotated[str, typer.Option(metavar="MODEL", help="`default`, or a folder.")] = "default",
    seed: int = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Built-in facts that the model answers rightly, and wrongly, by itself; found once and kept."""
    from service.circuit_probes import counted, find_probes
    from service.encoder_show import working

    with _explained(), working() as (note, _):
        path, found = find_probes(model, per_relation, seed, note)
    if as_json:
        typer.echo(json.dumps({"file": str(path), "probes": found}))
    else:
        typer.echo(counted(found))
        typer.echo(f"They are kept in {path}")


@circuits_app.command()
def calibrate(
    per_relation: Annotated[int, typer.Option(min=1, help="Facts asked for, of each relation.")] = 24,
    model: Annotated[str, typer.Option(metavar="MODEL", help="`default`, or a folder.")] = "default",
    seed: int = 0,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where the calibration is written.")] = Path(),
) -> None:
    """Fit what the check's chance of being wrong, and heads' roles, are judged by; on built-in facts."""
    from service.circuit_probes import calibrate_model
    from service.encoder_show import working

    with _explained(), working() as (note, _):
        lines = calibrate_model(model, per_relation, seed, out, note)
    for line in lines:
        typer.echo(line)


@contextmanager
def _explained() -> Iterator[None]:
    """What can go wrong is said in one sentence."""
    from circuits.errors import CircuitError
    from engines.errors import EngineError

    try:
        yield
    except (CircuitError, EngineError) as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(1) from None


def _probe(
    prompt: str, subject: str, said: str, relation: str, others: list[str] | None, chat: bool
) -> pb.Probe:
    return pb.Probe(
        subject=subject, object=said, relation=relation, alternatives=others or (), **_input(prompt, chat)
    )


def _input(prompt: str, chat: bool) -> dict[str, Any]:
    if not chat:
        return {"prompt": prompt}
    return {"chat": inference_pb2.Chat(messages=[inference_pb2.ChatMessage(role="user", content=prompt)])}


def _parent(shell: Shell) -> str:
    return f"namespaces/{shell.client.namespace}"


def _studied(shell: Shell, rpc: str, request: Any, response: Any) -> Any:
    started = ask(shell, rpc, request, operations_pb2.Operation, CIRCUITS)
    return finished(shell, started, response, pb.CircuitWorkMetadata)


def _show(shell: Shell, message: Any, name: str, out: Path | None, lines: Any) -> None:
    written = shown.write(message, name, out) if out else ()
    shell.show(shown.without_pictures(message), lines)
    for path in written:
        shell.err.print(str(path), markup=False, highlight=False)
