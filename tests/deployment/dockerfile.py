"""A Dockerfile, taken apart: stages, instructions, arguments with their defaults."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_STAGE = re.compile(r"(\S+)(?:\s+AS\s+(\S+))?", re.IGNORECASE)
_VARIABLE = re.compile(r"\$\{?([A-Za-z_]\w*)\}?")


@dataclass
class Stage:
    """`steps`: instruction and its arguments, in their order, continued lines joined."""

    base: str
    name: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def of(self, instruction: str) -> list[str]:
        """The arguments of each such instruction."""
        return [said for name, said in self.steps if name == instruction]

    def environment(self) -> dict[str, str]:
        """All of ENV."""
        pairs = (part.partition("=") for said in self.of("ENV") for part in shlex.split(said))
        return {name: value for name, _, value in pairs}


def filled(text: str, values: dict[str, str]) -> str:
    """Variables that are known, replaced."""
    return _VARIABLE.sub(lambda found: values.get(found[1], found[0]), text)


def read(path: Path = ROOT / "Dockerfile") -> tuple[dict[str, str], list[Stage]]:
    """Arguments before the first stage, and the stages."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    text = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    arguments: dict[str, str] = {}
    stages: list[Stage] = []
    for line in filter(None, (line.strip() for line in text.splitlines())):
        instruction, _, said = line.partition(" ")
        if instruction == "FROM":
            found = _STAGE.fullmatch(filled(said, arguments))
            assert found is not None, said
            stages.append(Stage(found[1], found[2] or ""))
        elif stages:
            stages[-1].steps.append((instruction, said))
        else:
            assert instruction == "ARG", line
            name, _, value = said.partition("=")
            arguments[name] = value
    return arguments, stages


def command(said: str) -> list[str]:
    """The JSON form of ENTRYPOINT and CMD."""
    words: list[str] = json.loads(said)
    return words
