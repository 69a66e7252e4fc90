"""docs/client.md names every method, error, command, option and exit code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer

from interleaf import Client, _errors
from interleaf.cli._app import build
from interleaf.cli._connection import Common
from interleaf.cli._failure import __doc__ as exit_codes

DOCS = (Path(__file__).parents[3] / "docs" / "client.md").read_text(encoding="utf-8")
METHODS = sorted(name for name in vars(Client) if not name.startswith("_"))
COMMAND = typer.main.get_command(build(plugins=False))


def commands() -> list[tuple[str, list[object]]]:
    """Every command with its parameters, groups walked."""
    found = []
    for name, command in COMMAND.commands.items():  # type: ignore[attr-defined]
        inner = getattr(command, "commands", None)
        if inner is None:
            found.append((name, command.params))
        else:
            found.extend((f"{name} {part}", leaf.params) for part, leaf in inner.items())
    return found


@pytest.mark.parametrize("name", METHODS)
def test_methods(name: str) -> None:
    assert f"`{name}`" in DOCS


def test_errors() -> None:
    for name, value in vars(_errors).items():
        if isinstance(value, type) and issubclass(value, _errors.InterleafError):
            assert f"`{name}`" in DOCS


def test_commands_and_common_options() -> None:
    for name, params in commands():
        assert f"`{name.rpartition(' ')[2]}`" in DOCS or f"`interleaf {name}`" in DOCS, name
        names = {param.name for param in params}  # type: ignore[attr-defined]
        assert set(Common.__dataclass_fields__) <= names, f"{name} lacks a common option"
    for variable in ("SERVER", "NAMESPACE", "API_KEY", "TLS", "CA", "TIMEOUT"):
        assert f"`INTERLEAF_{variable}`" in DOCS


def test_exit_codes() -> None:
    for line in (exit_codes or "").splitlines()[2:]:
        code, meaning = re.split(r"\s+", line, maxsplit=1)
        assert f"| {code} | {meaning}" in DOCS
