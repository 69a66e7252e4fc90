"""`make demo`: a stored fact changes the answer of a model whose weights stay as they are, step by step.

Everything goes through the public client and a real server with the real model; what should change and does
not makes the demo fail.
"""

from __future__ import annotations

import argparse
import signal
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console, Group
from rich.panel import Panel
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from interleaf import Answer, ChatMessage, Client, Fact, InterleafError
from interleaf._inference_calls import Prompt
from interleaf.cli import _pictures
from interleaf.cli._connection import console
from interleaf.cli._demo_checks import Checks, leads_with
from interleaf.cli._demo_server import ServerFailed, running_server
from interleaf.cli._text import block, cell

_LENGTH = 24
_REPEATS = 5
_PICTURE_WIDTH = 110


@dataclass(frozen=True, slots=True)
class Scene:
    """A fact, and how somebody asks for it. `complete` continues the prompt as it stands."""

    kind: str
    subject: str
    relation: str
    object: str
    prompt: Prompt
    complete: bool = False

    @property
    def shown(self) -> str:
        """The prompt for people."""
        if isinstance(self.prompt, str):
            return self.prompt + (" …" if self.complete else "")
        return "\n".join(
            f"{turn.role}: {turn.content}" for turn in self.prompt if isinstance(turn, ChatMessage)
        )

    def ask(self, client: Client, *, use_facts: bool = True) -> Answer:
        """Asks it the same way every time."""
        return client.ask(
            self.prompt, complete=self.complete, max_tokens=_LENGTH, stop=self.stop, use_facts=use_facts
        )

    @property
    def stop(self) -> tuple[str, ...]:
        """A completion ends with its sentence; an answer ends by itself."""
        return (".", "\n") if self.complete else ()


SCENES = (
    Scene(
        "invented person, completion",
        "Mirela Vantongeren",
        "employer",
        "the Halvorsen Observatory",
        "Mirela Vantongeren works for",
        complete=True,
    ),
    Scene(
        "invented place, question",
        "Port Ellery",
        "country",
        "New Zealand",
        "In which country is Port Ellery?",
    ),
    Scene(
        "real subject, against what the model learnt",
        "the Eiffel Tower",
        "city",
        "Rome",
        "The Eiffel Tower is located in the city of",
        complete=True,
    ),
    Scene(
        "real subject, true, in a chat",
        "Adnan Menderes International Airport",
        "city",
        "Izmir",
        (
            ChatMessage("user", "Hello! I am planning a trip."),
            ChatMessage("assistant", "How nice! Where are you going?"),
            ChatMessage("user", "I land at Adnan Menderes International Airport. Which city is that in?"),
        ),
    ),
)
CORRECTION = "Lisbon"
BESIDE = ("birthplace", "Tromsø")  # of the first scene's subject
UNRELATED = "Why do leaves fall in autumn?"


class Story:
    """The demo, told in order. Each step shows what happens and checks that it did."""

    def __init__(self, client: Client, out: Console) -> None:
        self.client = client
        self.out = out
        self.checks = Checks(self.out)
        self.plain: dict[Scene, Answer] = {}
        self.facts: dict[Scene, Fact] = {}

    def tell(self) -> None:
        """Runs every step."""
        steps: tuple[tuple[str, Callable[[], None]], ...] = (
            ("1  Facts are added; the same questions, before and after", self.before_and_after),
            ("2  A question that no fact is about stays as it was", self.unrelated),
            (
                "3  A correction changes the answer at once, a rollback takes it back",
                self.correct_and_roll_back,
            ),
            ("4  Side by side", self.side_by_side),
            ("5  What is asked for together is said together", self.together),
            ("6  A deletion brings the plain model's answer back, to the letter", self.delete),
            ("7  What it costs", self.costs),
        )
        for title, step in steps:
            self.out.print()
            self.out.print(Rule(Text(title, style="bold"), align="left", style="cyan"))
            step()

    def before_and_after(self) -> None:
        """Plain answers, then the facts, then the same questions again."""
        with self.out.status("asking the plain model"):
            self.plain = {scene: scene.ask(self.client, use_facts=False) for scene in SCENES}
        for scene in SCENES:
            fact = self.client.add(scene.subject, scene.relation, scene.object, source="the demo")
            self.facts[scene] = fact
            self.show(scene, scene.ask(self.client), scene.object)

    def show(self, scene: Scene, answer: Answer, wanted: str) -> None:
        """One question before and after, with the citation, checked."""
        grid = Table.grid(padding=(0, 2))
        grid.add_column(style="dim", no_wrap=True)
        grid.add_column(overflow="fold")
        grid.add_row("asked", block(scene.shown))
        grid.add_row("fact", _triple(self.facts[scene]))
        grid.add_row("before", block(self.plain[scene].text.strip(), "red"))
        grid.add_row("after", block(answer.text.strip(), "bold green"))
        body = Group(grid, Text(), _pictures.footnotes(answer))
        self.out.print(Panel(body, title=Text(scene.kind), title_align="left", border_style="dim"))
        self.checks.expect(f"the answer says {wanted!r}", leads_with(answer.text, wanted))
        self.checks.expect("it is not what the plain model said", answer.text != self.plain[scene].text)
        cited = [citation.uid for citation in answer.citations if citation.used]
        self.checks.expect("it cites the fact", cited[:1] == [self.facts[scene].uid])

    def unrelated(self) -> None:
        """The stored facts leave other answers alone."""
        both = self.client.compare(UNRELATED, max_tokens=_LENGTH)
        self.out.print(block(UNRELATED), _pictures.answer(both.edited))
        self.checks.expect("the answer is the plain model's, to the letter", not both.changed)

    def correct_and_roll_back(self) -> None:
        """A new object, and the old one again."""
        scene = SCENES[2]
        fact = self.facts[scene]
        first = scene.ask(self.client)
        self.facts[scene] = self.client.correct(fact, CORRECTION)
        self.show(scene, scene.ask(self.client), CORRECTION)
        self.facts[scene] = self.client.rollback(fact, fact.revision)
        again = scene.ask(self.client)
        self.out.print(_pictures.history(list(self.client.history(fact))))
        self.out.print(Text("after the rollback: ", style="dim") + block(again.text.strip(), "bold green"))
        self.checks.expect(f"the answer says {scene.object!r} again", leads_with(again.text, scene.object))
        self.checks.expect(
            "it is the answer from before the correction, to the letter", again.text == first.text
        )

    def side_by_side(self) -> None:
        """Both answers in one call."""
        scene = SCENES[0]
        both = self.client.compare(scene.prompt, complete=scene.complete, max_tokens=_LENGTH, stop=scene.stop)
        self.out.print(block(scene.shown), _pictures.comparison(both))
        self.checks.expect("the two answers differ", both.changed)
        self.checks.expect("the left one is the plain model's", both.original.text == self.plain[scene].text)

    def together(self) -> None:
        """Two facts in one answer, in the order of the question."""
        scene = SCENES[0]
        first = self.facts[scene]
        second = self.client.add(scene.subject, *BESIDE, source="the demo")
        question = f"What are the {first.relation} and the {second.relation} of {scene.subject}?"
        answer = self.client.ask(question, max_tokens=_LENGTH)
        self.client.delete(second)
        self.out.print(block(question), _pictures.answer(answer))
        wanted = f"the answer says {first.object!r}, then {second.object!r}"
        self.checks.expect(wanted, 0 <= answer.text.find(first.object) < answer.text.find(second.object))
        cited = {citation.uid for citation in answer.citations if citation.used}
        self.checks.expect("it cites both facts", cited == {first.uid, second.uid})

    def delete(self) -> None:
        """Without the facts the model is the one it was."""
        for scene in SCENES:
            self.client.delete(self.facts[scene])
            answer = scene.ask(self.client)
            self.out.print(block(scene.shown, "dim"), block(answer.text.strip()))
            same = answer.text == self.plain[scene].text
            self.checks.expect("the answer is the plain model's, to the letter", same)

    def costs(self) -> None:
        """The same questions with and without facts, in turn, timed by this program."""
        for scene in SCENES:
            self.client.undelete(self.facts[scene])
        scene = SCENES[0]
        scene.ask(self.client)  # compiles the fact; from now on it is in the cache
        with_facts: list[float] = []
        without: list[float] = []
        retrievals: list[float] = []
        for _ in range(_REPEATS):
            for use_facts, times in ((True, with_facts), (False, without)):
                start = time.perf_counter()
                answer = scene.ask(self.client, use_facts=use_facts)
                times.append((time.perf_counter() - start) / max(answer.generated_tokens, 1))
                if use_facts:
                    retrievals.append(answer.timings.retrieval)
        retrieval, fact, plain = map(statistics.median, (retrievals, with_facts, without))
        grid = Table.grid(padding=(0, 2))
        grid.add_row("retrieval", cell(f"{retrieval * 1000:.1f} ms a question", "bold"))
        grid.add_row("with facts", cell(f"{fact * 1000:.1f} ms a token"))
        grid.add_row("plain model", cell(f"{plain * 1000:.1f} ms a token"))
        grid.add_row("ratio", cell(f"{fact / plain:.2f} (median of {_REPEATS} questions each)", "bold"))
        self.out.print(grid)


def _triple(fact: Fact) -> Text:
    return Text(" · ", style="dim").join((cell(fact.subject), cell(fact.relation), cell(fact.object, "bold")))


def main(arguments: Sequence[str] = ()) -> int:
    """Runs the demo; 0 when everything came out as it should."""
    parser = argparse.ArgumentParser(prog="python -m interleaf.cli.demo", description=__doc__)
    parser.add_argument("--svg", type=Path, help="also draw what is printed, as a picture for documents")
    picture: Path | None = parser.parse_args(arguments).svg
    out, err = console(), console(stderr=True)
    if picture is not None:
        out.record, out.width = True, _PICTURE_WIDTH
    out.print(
        Panel(Text("Interleaf: facts in the attention of a frozen model", style="bold"), border_style="cyan")
    )
    begin = time.perf_counter()
    for number in (signal.SIGTERM, signal.SIGINT):  # the server ends with us
        signal.signal(number, lambda number, frame: sys.exit(128 + number))
    with ExitStack() as stack:
        try:
            with err.status("starting the server (it loads the model)"):
                server = stack.enter_context(running_server())
            client = stack.enter_context(Client(server.address, namespace="demo"))
            client.ensure_namespace()
            if server.page is not None:
                live = f"{server.page}/#/injections"
                out.print(
                    Text.assemble(
                        ("While this runs, a browser shows what goes into attention: ", "dim"), live
                    )
                )
            story = Story(client, out)
            story.tell()
        except ServerFailed as error:
            err.print(block(f"{error}\n{error.log}", "red"))
            return 1
        except InterleafError as error:
            err.print(block(f"{error.code}: {error.message}", "bold red"))
            return 1
    out.print()
    out.print(story.checks.summary())
    out.print(Text(f"{time.perf_counter() - begin:.0f} s in all.", style="dim"))
    if picture is not None:
        out.save_svg(str(picture), title="make demo")
    return 1 if story.checks.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
