"""Every `interleaf ...` that a page tells to type names a command and options that there are."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer.main

from interleaf.cli._app import build

ROOT = Path(__file__).resolve().parents[3]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])

# At the beginning of a line of a block, behind a prompt and variables; or in a line's code.
_TYPED = re.compile(r"^\s*(?:\$ )?(?:[A-Z_]+=\S+ )*(?:\S*bin/)?interleaf (.+)$", re.MULTILINE)
_QUOTED = re.compile(r"`(?:[A-Z_]+=\S+ )*interleaf ([^`\n]+)`")
_BLOCK = re.compile(r"^(```|~~~).*?\n(.*?)^\1", re.MULTILINE | re.DOTALL)
_ENDS = {"|", "\\|", "&", "&&", ";", ">", "<", "#"}  # of a command; what follows is the shell's, or another's


def commands(text: str) -> Iterator[list[str]]:
    """The words of each command of a page, without `interleaf`."""
    joined = re.sub(r"\\\n\s*", " ", text)
    found = [line for block in _BLOCK.finditer(joined) for line in _TYPED.findall(block[2])]
    for line in [*found, *_QUOTED.findall(_BLOCK.sub("", joined))]:
        lexer = shlex.shlex(line, posix=True, punctuation_chars=False)
        lexer.whitespace_split, lexer.commenters = True, "#"
        try:
            words = list(lexer)
        except ValueError:  # a quote that is an apostrophe
            words = line.split()
        end = next((place for place, word in enumerate(words) if word in _ENDS), len(words))
        yield words[:end]


@cache
def whole() -> Any:
    """With the server's commands."""
    return typer.main.get_command(build(plugins=True))


def problem(words: list[str]) -> str:
    """What of it there is not; empty when there is all of it."""
    command = whole()
    rest = list(words)
    while rest and rest[0] in getattr(command, "commands", {}):
        command = command.commands[rest.pop(0)]
    if hasattr(command, "commands") and rest and re.fullmatch(r"[a-z][a-z-]*", rest[0]):
        return f"{rest[0]} is no command"
    known = {"--help"}
    for parameter in command.params:
        known |= {*parameter.opts, *parameter.secondary_opts}
    options = [match[1] for word in rest if (match := re.match(r"(--?[a-zA-Z][\w-]*)", word))]
    return "; ".join(f"{name} is no option" for name in options if name not in known)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_are_there(document: Path) -> None:
    wrong = {
        " ".join(words): said
        for words in commands(document.read_text(encoding="utf-8"))
        if (said := problem(words))
    }
    assert wrong == {}


def test_a_command_or_option_that_is_not_there_is_noticed() -> None:
    page = (
        "`interleaf facts add` and `interleaf add`\n```sh\n$ interleaf serve --prot 1 | tee --append x\n"
        "HOME=/x .venv/bin/interleaf backup create \\\n  --to b --kept 3  # --nonsense\n```\n"
    )
    assert [problem(words) for words in commands(page)] == [
        "--prot is no option",
        "--kept is no option",
        "",
        "add is no command",
    ]
    assert sum(len(list(commands(path.read_text(encoding="utf-8")))) for path in DOCUMENTS) > 100
