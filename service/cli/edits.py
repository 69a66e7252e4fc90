"""`interleaf edits`: create, list, show, receipt, apply, revert, delete, compare on a server; tune on this machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from google.longrunning import operations_pb2
from google.protobuf import empty_pb2

from interleaf._calls import new_request_id
from interleaf.cli._connection import Shell, connected
from interleaf.v1 import edits_pb2 as pb
from service.cli import edits_show as shown
from service.cli.edits_calls import ask, finished
from service.cli.edits_enhance import enhance_app

app = typer.Typer(no_args_is_help=True)
edits_app = typer.Typer(
    no_args_is_help=True,
    help="Edit the model's weights (ROME, MEMIT, fine-tuning): reversible, with receipts. For the whole engine.",
)
app.add_typer(edits_app, name="edits")
edits_app.add_typer(enhance_app)

_KEYS = tuple(pb.EditFact.DESCRIPTOR.fields_by_name)
EditArgument = Annotated[str, typer.Argument(metavar="EDIT", help="A name that `list` prints.")]
FactsOption = Annotated[
    Path | None,
    typer.Option(
        "--facts",
        metavar="FILE",
        exists=True,
        help="JSON lines: prompt, subject, target; old, relation, paraphrases, neighbours if known.",
    ),
]
PromptOption = Annotated[str, typer.Option(help="What the target follows; names the subject.")]
SubjectOption = Annotated[str, typer.Option(help="As it stands in the prompt.")]
TargetOption = Annotated[str, typer.Option(help="What the model shall say.")]
OldOption = Annotated[str, typer.Option(help="What it should say no more; for receipt and comparison.")]
RelationOption = Annotated[str, typer.Option(help='As in "the RELATION of SUBJECT"; for kv.')]


@edits_app.command()
@connected
def create(
    shell: Shell,
    method: Annotated[str, typer.Option(help="rrome, rome, memit, ft_m or ft_l.")] = "rrome",
    facts: FactsOption = None,
    prompt: PromptOption = "",
    subject: SubjectOption = "",
    target: TargetOption = "",
    old: OldOption = "",
    relation: RelationOption = "",
    name: Annotated[str, typer.Option(metavar="EDIT", help="Its name.", show_default="chosen")] = "",
    settings: Annotated[str, typer.Option(metavar="JSON", help="Over those measured for the model.")] = "",
    apply: Annotated[bool, typer.Option("--apply", help="Also put it into the served weights.")] = False,
) -> None:
    """Compute an edit aside, with its receipt; nothing that is served changes before `apply`."""
    request = pb.CreateEditRequest(
        parent=f"namespaces/{shell.client.namespace}",
        edit_id=name,
        method=method,
        facts=_facts(facts, prompt, subject, target, old, relation),
        settings=settings,
        request_id=new_request_id(None),
    )
    made = finished(shell, ask(shell, "CreateEdit", request, operations_pb2.Operation), pb.Edit)
    receipt = ask(shell, "GetEditReceipt", pb.GetEditReceiptRequest(name=made.name), pb.EditReceipt)
    if apply:
        made = ask(shell, "ApplyEdit", pb.ApplyEditRequest(name=made.name), pb.Edit)
    shell.show(shown.plain(made), lambda: shown.made(made, receipt))


@edits_app.command("list")
@connected
def list_edits(shell: Shell) -> None:
    """The edits, and which are applied."""
    edits = list(_pages(shell))
    if shell.as_json:
        shell.show_all(map(shown.plain, edits), lambda values: "")
    else:
        shell.out.print(shown.table(edits))


@edits_app.command()
@connected
def show(shell: Shell, edit: EditArgument) -> None:
    """An edit: what it was asked for, what it touches, what the engine said when it was applied."""
    found = ask(shell, "GetEdit", pb.GetEditRequest(name=_name(edit)), pb.Edit)
    shell.show(shown.plain(found), lambda: shown.one(found))


@edits_app.command()
@connected
def receipt(shell: Shell, edit: EditArgument) -> None:
    """What an edit was measured to do, before and after, with controls."""
    found = ask(shell, "GetEditReceipt", pb.GetEditReceiptRequest(name=_name(edit)), pb.EditReceipt)
    shell.show(shown.plain(found), lambda: shown.receipt(found))


@edits_app.command()
@connected
def apply(
    shell: Shell,
    edit: EditArgument,
    all_namespaces: Annotated[
        bool, typer.Option("--all-namespaces", help="I know that every namespace is answered with it.")
    ] = False,
    combine: Annotated[
        bool,
        typer.Option("--combine", help="Beside edits of the same tensors that it was not computed with."),
    ] = False,
) -> None:
    """Put an edit into the served weights, between two answers. It comes back after a restart."""
    request = pb.ApplyEditRequest(name=_name(edit), all_namespaces=all_namespaces, combine=combine)
    found = ask(shell, "ApplyEdit", request, pb.Edit)
    shell.show(shown.plain(found), lambda: shown.one(found))


@edits_app.command()
@connected
def revert(shell: Shell, edit: EditArgument) -> None:
    """Take an edit out of the served weights, to the byte."""
    found = ask(shell, "RevertEdit", pb.RevertEditRequest(name=_name(edit)), pb.Edit)
    shell.show(shown.plain(found), lambda: shown.one(found))


@edits_app.command()
@connected
def delete(shell: Shell, edit: EditArgument) -> None:
    """Forget an edit that is not applied."""
    ask(shell, "DeleteEdit", pb.DeleteEditRequest(name=_name(edit)), empty_pb2.Empty)
    shell.show({"deleted": _name(edit)}, lambda: f"{_name(edit)} is gone.")


@edits_app.command()
@connected
def compare(
    shell: Shell,
    methods: Annotated[
        str, typer.Option(metavar="NAMES", help="With commas: rrome, rome, memit, ft_m, ft_l, kv.")
    ] = "",
    facts: FactsOption = None,
    prompt: PromptOption = "",
    subject: SubjectOption = "",
    target: TargetOption = "",
    old: OldOption = "",
    relation: RelationOption = "",
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the picture (SVG) there.")] = None,
    circuits: Annotated[
        bool, typer.Option("--circuits", help="Also how much of the model's circuit is kept. Takes long.")
    ] = False,
) -> None:
    """Several methods on the same facts, side by side, as numbers and as one picture."""
    request = pb.CompareEditsRequest(
        parent=f"namespaces/{shell.client.namespace}",
        methods=[name.strip() for name in methods.split(",") if name.strip()],
        facts=_facts(facts, prompt, subject, target, old, relation),
        request_id=new_request_id(None),
        circuits=circuits,
    )
    done = finished(shell, ask(shell, "CompareEdits", request, operations_pb2.Operation), pb.EditComparison)
    if out is not None:
        out.write_text(done.svg, encoding="utf-8")
    shell.show(shown.plain(done), lambda: shown.comparison(done, out))


@edits_app.command()
def tune(
    method: Annotated[str, typer.Option(help="rrome, memit, ft_m or ft_l.")],
    layers: Annotated[str, typer.Option(help="0,2,4; for memit groups: 2+3+4,3+4+5.")],
    model: Annotated[str, typer.Option(metavar="MODEL", help="`default`, or a folder.")] = "default",
    cases: Annotated[int, typer.Option(min=1, help="Facts that the model knows, each edited alone.")] = 20,
    settings: Annotated[str, typer.Option(metavar="JSON", help="The same for every layer.")] = "{}",
    seed: int = 0,
    key_tokens: Annotated[int, typer.Option(min=1000, help="Of text, for key statistics.")] = 50_000,
) -> None:
    """Measure which layer of a model a method edits best, and keep it for this machine's edits. Takes minutes."""
    from editors.weights.errors import EditError
    from editors.weights.session import user_specs
    from engines.errors import EngineError
    from engines.models import resolve_model
    from service.cli.encoder_show import working
    from service.edits.tuning import parse_layers, tune_layers
    from service.encoders.jobs import Progress

    try:
        spec = user_specs() / f"{resolve_model(model).name}.json"
        with working() as (note, _):
            result = tune_layers(
                method,
                parse_layers(layers),
                json.loads(settings),
                model=model,
                cases=cases,
                seed=seed,
                spec=spec,
                key_tokens=key_tokens,
                progress=lambda what, share: note(Progress(what, share)),
            )
    except (EditError, EngineError, ValueError) as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(1) from None
    shown.sweep(result.rows, result.best)
    typer.echo(f"Kept in {spec}.")


def _name(edit: str) -> str:
    return edit if edit.startswith("edits/") else f"edits/{edit}"


def _pages(shell: Shell) -> Iterator[Any]:
    token = ""
    while True:
        page = ask(shell, "ListEdits", pb.ListEditsRequest(page_token=token), pb.ListEditsResponse)
        yield from page.edits
        token = page.next_page_token
        if not token:
            return


def _facts(
    file: Path | None, prompt: str, subject: str, target: str, old: str, relation: str
) -> list[pb.EditFact]:
    """From a file, or the one of the options."""
    if file is None:
        if not (prompt and subject and target):
            raise ValueError("give --prompt, --subject and --target, or --facts FILE")
        return [pb.EditFact(prompt=prompt, subject=subject, target=target, old=old, relation=relation)]
    if prompt or subject or target:
        raise ValueError("give --facts, or a fact by --prompt, --subject and --target, not both")
    found = []
    for number, line in enumerate(file.read_text(encoding="utf-8").split("\n"), 1):
        if line.strip():
            try:
                values = json.loads(line)
                if not isinstance(values, dict) or not values.keys() <= set(_KEYS):
                    raise ValueError(f"a line is an object with {', '.join(_KEYS)}, not a fact as exported")
                found.append(pb.EditFact(**values))
            except (TypeError, ValueError) as error:
                raise ValueError(f"{file.name}, line {number}: {error}") from None
    return found
