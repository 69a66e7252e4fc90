"""The demo is a check as well: it counts what came out as it should, and fails when something did not."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field

from rich.console import Console
from rich.text import Text

from interleaf.cli._text import cell


def leads_with(text: str, wanted: str) -> bool:
    """Whether the first sentence of an answer says it, case and accents aside. What a model adds later does
    not count: an answer that corrects itself was wrong at first."""
    first = re.split(r"(?<=\w\w\w)[.!?](?:\s|$)|\n", text.strip(), maxsplit=1)[0]
    return _folded(wanted) in _folded(first)


def _folded(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text)
    letters = "".join(character for character in decomposed if not unicodedata.combining(character))
    return " ".join(letters.casefold().split())


@dataclass(slots=True)
class Checks:
    """What was checked, in order."""

    out: Console
    results: list[tuple[str, bool]] = field(default_factory=list)

    def expect(self, what: str, holds: bool) -> None:
        """Notes a check and shows it."""
        self.results.append((what, holds))
        mark = Text("✔ ", style="green") if holds else Text("✘ ", style="bold red")
        self.out.print(mark + cell(what, "dim" if holds else "bold red"))

    @property
    def failed(self) -> list[str]:
        """Checks that did not hold."""
        return [what for what, holds in self.results if not holds]

    def summary(self) -> Text:
        """One sentence about all of them."""
        good = len(self.results) - len(self.failed)
        text = Text(
            f"{good} of {len(self.results)} checks hold.",
            style="bold green" if not self.failed else "bold red",
        )
        for what in self.failed:
            text.append_text(Text("\n  ✘ ", style="red") + cell(what, "red"))
        return text
