"""interleaf doctor, config show and new-key."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from service.access.keys import KeyRing
from service.cli.serving import serve_app
from service.config import effective, load
from service.datadir import DataDir
from tests.serving import running

RUNNER = CliRunner()


def run(*words: str, code: int = 0) -> str:
    result = RUNNER.invoke(serve_app, list(words))
    assert result.exit_code == code, (result.output, result.exception)
    return result.stdout if code == 0 else result.stdout + result.stderr


def doctor(*words: str, code: int = 0) -> dict[str, dict[str, Any]]:
    report = json.loads(run("doctor", "--json", *words, code=code))
    assert report["healthy"] is (code == 0)
    return {finding["name"]: finding for finding in report["findings"]}


def test_a_healthy_machine(tmp_path: Path) -> None:
    found = doctor("--engine", "none", "--data-dir", str(tmp_path / "data"))
    assert all(finding["ok"] for finding in found.values())
    assert {"python", "torch", "faiss-cpu", "access", "engine", "embedder", "index", "free disk"} <= set(
        found
    )
    assert "will be made" in found["data folder"]["value"]
    assert not (tmp_path / "data").exists()


def test_problems_are_named(tmp_path: Path) -> None:
    found = doctor("--model", str(tmp_path), "--data-dir", str(tmp_path), code=1)
    assert "no model at" in found["model"]["problem"]
    assert not found["encoder"]["ok"]
    config = tmp_path / "interleaf.toml"
    config.write_text("[listen]\nhost = '192.168.0.1'\n")
    found = doctor("--engine", "none", "--config", str(config), "--data-dir", str(tmp_path), code=1)
    assert "needs TLS" in found["access"]["problem"]
    assert "✘" in run("doctor", "--engine", "none", "--config", str(config), code=1)


def test_deep_compares_every_fact_with_the_index(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        for number in range(3):
            server.add(f"S{number}", "r", "o")
        found = doctor("--engine", "none", "--deep", "--data-dir", str(tmp_path), code=1)
        assert "in use by another server" in found["data"]["problem"]
    found = doctor("--engine", "none", "--deep", "--data-dir", str(tmp_path))
    # The tests' embedder made the index; the installed one makes it again, and then it agrees.
    assert "another embedder" in found["index"]["value"]
    assert found["namespace default"]["value"] == "3 facts, 3 of them embedded and searched for"
    assert found["database"]["value"] == "agrees with itself"
    assert doctor("--engine", "none", "--data-dir", str(tmp_path))["index"]["value"] == "3 facts"


def test_the_effective_configuration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("INTERLEAF_LISTEN__PORT", "7500")
    monkeypatch.setenv("INTERLEAF_STORE__DATABASE_URL", "sqlite:///secret.db")
    shown = run("config", "show", "--json")
    assert json.loads(shown) == effective(load())
    assert json.loads(shown)["listen"]["port"] == 7500
    assert "secret" not in shown
    text = run("config", "show")
    assert "[listen]" in text
    assert "port = 7500" in text
    assert "# tls_key is unset" in text
    # What is printed can be used as a file.
    monkeypatch.delenv("INTERLEAF_LISTEN__PORT")
    monkeypatch.delenv("INTERLEAF_STORE__DATABASE_URL")
    file = tmp_path / "interleaf.toml"
    file.write_text(run("config", "show"))
    assert effective(load(file)) == effective(load())
    assert "no configuration file" in run("config", "show", "--config", str(tmp_path / "no.toml"), code=1)


def test_a_key_is_printed_once(tmp_path: Path) -> None:
    file = tmp_path / "keys.txt"
    key = run("new-key", "crawler", "--file", str(file)).strip()
    found = KeyRing.read(file).caller(key)
    assert found is not None
    assert found.name == "crawler"
    assert "already" in run("new-key", "crawler", "--file", str(file), code=1)


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    words = ["serve", "--port", "0", "--engine", "none", "--data-dir", str(tmp_path)]
    with DataDir(tmp_path):
        ended = subprocess.run(
            [sys.executable, "-m", "interleaf.cli", *words], capture_output=True, text=True, check=False
        )
    assert ended.returncode == 1
    assert ended.stderr.startswith("Error: store.data_dir:")
    assert "in use by another server" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
