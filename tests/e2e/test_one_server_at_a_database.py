"""A SQLite database has one server at a time, wherever it lies; what only looks at it works beside that one."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from service.cli.audit import app as audit
from service.cli.backup import app as backup
from service.cli.serving import serve_app
from service.config import ConfigError
from tests.serving import PARENT, listed, running, serving


@pytest.mark.parametrize("place", ["shared.db", "one/named.db", "one/facts.db"])
def test_a_second_server_with_a_data_folder_of_its_own_is_refused(tmp_path: Path, place: str) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    own = {} if place == "one/facts.db" else {"database_url": f"sqlite:///{tmp_path / place}"}
    other = {"database_url": f"sqlite:///{tmp_path / 'link' / place}"}
    with running(tmp_path / "one", store=own) as server:
        server.add("Anna Keller", "employer", "Werft")
        with (
            pytest.raises(ConfigError, match=f"{place} is in use by another server"),
            serving(tmp_path / "two", store=other),
        ):
            pass
        assert listed(server, PARENT) == ["Werft"]
    with running(tmp_path / "two", store=other) as server:
        assert listed(server, PARENT) == ["Werft"]


def test_what_only_looks_works_beside_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{tmp_path / 'elsewhere' / 'my.db'}"
    monkeypatch.setenv("INTERLEAF_STORE__DATABASE_URL", url)
    data, runner = ("--data-dir", str(tmp_path / "data")), CliRunner()
    with running(tmp_path / "data", store={"database_url": url}) as server:
        server.add("Anna Keller", "employer", "Werft")
        for app, words in (
            (backup, ("backup", "create", "--to", str(tmp_path / "backups"), *data)),
            (audit, ("audit", "verify", *data)),
            (serve_app, ("doctor", "--engine", "none", *data)),
        ):
            done = runner.invoke(app, list(words))
            assert done.exit_code == 0, done.output
