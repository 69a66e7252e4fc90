"""A database that `store.database_url` names: it is backed up too, and who restores it is told what to change."""

from __future__ import annotations

from pathlib import Path

import pytest
import structlog
from typer.testing import CliRunner

from service.backup.restoring import verify
from service.cli.backup import app
from service.cli.serving import serve_app
from tests.serving import listed, running

PARENT = "namespaces/default"


def run(*words: str) -> str:
    result = CliRunner().invoke(app, ["backup", *words])
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout


@pytest.mark.parametrize("place", ["elsewhere/my.db", "data/my.db"])
def test_a_restore_says_that_the_database_was_elsewhere_and_a_start_that_one_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    url = f"sqlite:///{tmp_path / place}"
    with running(tmp_path / "data", store={"database_url": url}) as server:
        server.add("Anna Keller", "employer", "Werft")
        monkeypatch.setenv("INTERLEAF_STORE__DATABASE_URL", url)
        path = Path(run("create", "--data-dir", str(tmp_path / "data"), "--to", str(tmp_path / "b")).strip())
    manifest, problems = verify(path)
    assert (manifest.database, problems) == (str(tmp_path / place), [])
    assert not [name for name in manifest.files if "my.db" in name]
    new = tmp_path / "new"
    said = run("restore", str(path), str(new))
    assert f"store.database_url named {tmp_path / place}: unset it" in said
    assert f"sqlite:///{new / 'facts.db'}" in said

    with (
        structlog.testing.capture_logs() as logged,
        running(new, store={"database_url": f"sqlite:///{tmp_path}/a-new.db"}) as server,
    ):
        assert listed(server, PARENT) == []
    assert [line["unread"] for line in logged if "unread" in line] == [str(new / "facts.db")]
    told = CliRunner().invoke(serve_app, ["doctor", "--engine", "none", "--data-dir", str(new)]).stdout
    assert "is not read" in " ".join(told.split())

    with (
        structlog.testing.capture_logs() as logged,
        running(new, store={"database_url": f"sqlite:///{new / 'facts.db'}"}) as server,
    ):
        assert listed(server, PARENT) == ["Werft"]
    assert not [line for line in logged if "unread" in line]


def test_of_a_database_in_the_data_directory_nothing_of_the_kind_is_said(tmp_path: Path) -> None:
    with running(tmp_path / "data") as server:
        server.add("Anna Keller", "employer", "Werft")
        path = run("create", "--data-dir", str(tmp_path / "data"), "--to", str(tmp_path / "b")).strip()
    assert "database_url" not in run("restore", path, str(tmp_path / "new"))
    assert '"database"' not in (Path(path) / "backup.json").read_text()
