"""interleaf ask, why, chat and compare."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from interleaf import Answer, AnswerStream, ChatMessage
from interleaf.cli import _pictures
from interleaf.cli._connection import Shell, connected
from interleaf.cli._text import visible

app = typer.Typer()

QuestionArgument = Annotated[str, typer.Argument(metavar="TEXT", help="A question; - is stdin.")]
CompleteOption = Annotated[
    bool, typer.Option("--complete", "-c", help="Continue the text as it stands, rather than answer it.")
]
PlainOption = Annotated[bool, typer.Option("--plain", help="Ask the plain model, without facts.")]
StrictOption = Annotated[bool, typer.Option("--strict", help="Say what a stored fact says, or nothing.")]
LengthOption = Annotated[int, typer.Option("--max-tokens", "-m", min=0, help="0: the server's default.")]
TemperatureOption = Annotated[float, typer.Option("--temperature", "-t", min=0.0, help="0 is greedy.")]
SeedOption = Annotated[int, typer.Option(min=0, help="With a temperature; 0: a random one.")]
StopOption = Annotated[list[str] | None, typer.Option("--stop", help="End before this text; repeatable.")]
TopKOption = Annotated[
    int, typer.Option("--top-k", "-k", min=0, help="How many facts at most; 0: the default.")
]
FactsOption = Annotated[
    list[str] | None,
    typer.Option("--fact", metavar="FACT", help="Use this fact instead of retrieving; repeatable."),
]


@app.command()
@connected
def ask(
    shell: Shell,
    text: QuestionArgument,
    complete: CompleteOption = False,
    plain: PlainOption = False,
    strict: StrictOption = False,
    max_tokens: LengthOption = 0,
    temperature: TemperatureOption = 0.0,
    seed: SeedOption = 0,
    stop: StopOption = None,
    top_k: TopKOption = 0,
    fact: FactsOption = None,
) -> None:
    """Ask the model, with the relevant facts in its attention; the facts it used stand under the answer."""
    if plain and strict:
        raise ValueError(
            "--strict says what a stored fact says, and --plain asks without facts: give one of them"
        )
    pieces = shell.client.stream(
        _given(text),
        complete=complete,
        max_tokens=max_tokens,
        temperature=temperature,
        seed=seed,
        stop=stop or (),
        top_k=top_k,
        facts=fact or (),
        use_facts=not plain,
        strict=strict,
    )
    _show_stream(shell, pieces)


@app.command()
@connected
def why(
    shell: Shell,
    text: QuestionArgument,
    complete: CompleteOption = False,
    top_k: TopKOption = 0,
) -> None:
    """Show which facts a question is answered with, which of those that were found it is not, and why."""
    weighing = shell.client.weigh(_given(text), complete=complete, top_k=top_k)
    shell.show(weighing, lambda: _pictures.weighing(weighing))


@app.command()
@connected
def compare(
    shell: Shell,
    text: QuestionArgument,
    complete: CompleteOption = False,
    max_tokens: LengthOption = 0,
    temperature: TemperatureOption = 0.0,
    seed: SeedOption = 0,
    stop: StopOption = None,
    top_k: TopKOption = 0,
    fact: FactsOption = None,
) -> None:
    """Show the plain model's answer and the answer with facts, side by side."""
    both = shell.client.compare(
        _given(text),
        complete=complete,
        max_tokens=max_tokens,
        temperature=temperature,
        seed=seed,
        stop=stop or (),
        top_k=top_k,
        facts=fact or (),
    )
    shell.show(both, lambda: _pictures.comparison(both))


@app.command()
@connected
def chat(
    shell: Shell,
    system: Annotated[str, typer.Option(metavar="TEXT", help="Tell the model how to behave.")] = "",
    plain: PlainOption = False,
    max_tokens: LengthOption = 0,
    temperature: TemperatureOption = 0.0,
    top_k: TopKOption = 0,
) -> None:
    """Talk with the model; it knows your facts. /new starts over, /quit (or Ctrl-D) ends.

    Without a terminal each line of stdin is a turn.
    """
    start = [ChatMessage("system", system)] if system else []
    turns = list(start)
    while (said := _next_line(shell.err)) is not None:
        if said in ("/quit", "/exit"):
            return
        if said == "/new":
            turns = list(start)
            continue
        if not said:
            continue
        turns.append(ChatMessage("user", said))
        pieces = shell.client.stream(
            turns, max_tokens=max_tokens, temperature=temperature, top_k=top_k, use_facts=not plain
        )
        answer = _show_stream(shell, pieces)
        turns.append(ChatMessage("assistant", answer.text))


def _given(text: str) -> str:
    return sys.stdin.read().removesuffix("\n") if text == "-" else text


def _next_line(console: Console) -> str | None:
    if sys.stdin.isatty():
        try:
            return console.input(Text("you ▸ ", style="bold cyan")).strip()
        except EOFError:
            return None
    line = sys.stdin.readline()
    return line.strip() if line else None


def _show_stream(shell: Shell, pieces: AnswerStream) -> Answer:
    """Prints an answer as it comes, then what it rests on."""
    with pieces:
        for text in pieces:
            if not shell.as_json:
                sys.stdout.write(visible(text, lines=True))
                sys.stdout.flush()
    if not shell.as_json:
        print()
    answer = pieces.answer
    if shell.as_json:
        shell.show(answer, lambda: _pictures.answer(answer))
    else:
        shell.out.print(_pictures.footnotes(answer))
    return answer
