"""interleaf edits: what is refused before a server is asked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from service.cli.edits import app


def refused(*words: str) -> str:
    result = CliRunner().invoke(app, ["edits", *words, "--server", "127.0.0.1:1"], env={"COLUMNS": "200"})
    assert result.exit_code == 2, result.output
    return result.stderr


def test_a_fact_is_needed() -> None:
    assert "give --prompt, --subject and --target, or --facts FILE" in refused("create", "--name", "x")
    assert "or --facts FILE" in refused("compare", "--prompt", "Anna works for", "--subject", "Anna")


@pytest.mark.parametrize("line", [{"subject": "Anna", "relation": "employer", "object": "Werft"}, ["prompt"]])
def test_other_lines_are_refused_with_the_keys_that_there_are(tmp_path: Path, line: object) -> None:
    file = tmp_path / "facts.jsonl"
    file.write_text(json.dumps(line) + "\n")
    said = refused("compare", "--facts", str(file))
    assert "facts.jsonl, line 1: a line is an object with prompt, subject, target, old, relation" in said
