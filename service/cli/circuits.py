"""`interleaf circuits`: check, trace, heads, knockout, recall, facts on a server; probes, calibrate on this machine.
More commands of the same group are in `circuits_many`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from interleaf._calls import new_request_id
from interleaf.cli._connection import Shell, connected
from interleaf.v1 import circuits_pb2 as pb
from service.cli import circuits_show as shown
from service.cli.circuits_common import (
    ChatOption,
    ObjectOption,
    OtherOption,
    OutOption,
    PromptArgument,
    RelationOption,
    SubjectOption,
    input_of,
    parent_of,
    show,
    studied,
)
from service.cli.circuits_many import many_app
from service.cli.edits_calls import CIRCUITS, ask

app = typer.Typer(no_args_is_help=True)
circuits_app = typer.Typer(
    no_args_is_help=True, help="Why did the model say that? Diagnostics of the served model, with pictures."
)
circuits_app.add_typer(many_app)
app.add_typer(circuits_app, name="circuits")


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
        parent=parent_of(shell), answer=answer, truth=truth, subject=subject, **input_of(prompt, chat)
    )
    report = ask(shell, "CheckHallucination", request, pb.HallucinationReport, CIRCUITS)
    show(shell, report, "check", out, lambda: shown.report(report))


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
    request = pb.TraceAnswersRequest(subject=subject, answers=answers, **input_of(prompt, chat))
    found = ask(shell, "TraceAnswers", request, pb.AnswerTrace, CIRCUITS)
    show(shell, found, "trace", out, lambda: shown.trace(found))


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
    study = studied(shell, "StudyHeads", request, pb.HeadStudy)
    show(shell, study, "heads", out, lambda: shown.heads(study))


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
    study = studied(shell, "StudyKnockout", request, pb.KnockoutStudy)
    show(shell, study, "knockout", out, lambda: shown.knockout(study))


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
    study = studied(shell, "StudyRecall", request, pb.RecallStudy)
    show(shell, study, "recall", out, lambda: shown.recall(study))


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
        parent=parent_of(shell),
        answer=answer,
        subject=subject,
        request_id=new_request_id(None),
        **input_of(prompt, chat),
    )
    found = studied(shell, "ExplainFacts", request, pb.FactExplanation)
    show(shell, found, "facts", out, lambda: shown.facts(found))


@circuits_app.command()
def probes(
    per_relation: Annotated[int, typer.Option(min=1, help="Facts asked for, of each relation.")] = 12,
    model: Annotated[str, typer.Option(metavar="MODEL", help="`default`, or a folder.")] = "default",
    seed: int = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Built-in facts that the model answers rightly, and wrongly, by itself; found once and kept."""
    from service.cli.encoder_show import working
    from service.studies.probes import counted, find_probes

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
    answers: Annotated[int | None, typer.Option(min=2, help="At most so many of them.")] = None,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where the calibration is written.")] = Path(),
) -> None:
    """Fit what the check's chance of being wrong, and heads' roles, are judged by; on built-in facts."""
    from service.cli.encoder_show import working
    from service.studies.probes import calibrate_model

    with _explained(), working() as (note, _):
        lines = calibrate_model(model, per_relation, seed, out, note, answers)
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
        subject=subject, object=said, relation=relation, alternatives=others or (), **input_of(prompt, chat)
    )
