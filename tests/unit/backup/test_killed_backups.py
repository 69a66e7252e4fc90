"""Backups and restores that are killed: what they leave is no data directory, and the next one removes it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from service.backup.creating import create
from service.backup.manifest import BackupFailed
from service.backup.partial import being_made
from service.backup.restoring import restore
from service.cli.backup import app
from service.config import ConfigError
from service.datadir import DataDir
from tests.serving import listed, running, serving

PARENT = "namespaces/default"
# Ends the process at a call of its own choosing, the Nth.
KILLED = """
import os, signal, sys
from pathlib import Path
from service.backup import creating, restoring

def ending(left):
    def rename(self, to, real=Path.rename):
        left.pop() if left else os.kill(os.getpid(), signal.SIGKILL)
        return real(self, to)
    return rename

Path.rename = ending([None] * int(sys.argv[1]))
first, second = map(Path, sys.argv[3:5])
if sys.argv[2] == "create":
    creating.create(first, first / "facts.db", second)
else:
    restoring.restore(first, second)
"""


def kill(after: int, what: str, source: Path, target: Path) -> None:
    """At the renaming of a folder or file, once so many were renamed."""
    words = [sys.executable, "-c", KILLED, str(after), what, str(source), str(target)]
    assert subprocess.run(words, check=False).returncode == -signal.SIGKILL


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    with running(folder) as server:
        server.add("Anna Keller", "employer", "Werft")
    return folder


@pytest.fixture(scope="module")
def backup(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return create(data, data / "facts.db", tmp_path_factory.mktemp("backups"))[0]


def test_the_next_backup_removes_what_a_killed_one_left(data: Path, tmp_path: Path) -> None:
    kill(0, "create", data, tmp_path)
    (half,) = tmp_path.iterdir()
    shown = CliRunner().invoke(app, ["backup", "list", str(tmp_path), "--json"])
    assert json.loads(shown.stdout) == {"backups": [], "unfinished": [str(half)]}
    assert "unfinished" in CliRunner().invoke(app, ["backup", "list", str(tmp_path)]).stdout
    with being_made(lambda: made(tmp_path / ".partial-interleaf-another")) as under_way:
        path, _ = create(data, data / "facts.db", tmp_path)
        assert set(tmp_path.iterdir()) == {path, under_way}
    assert list(tmp_path.iterdir()) == [path]
    assert {item.name for item in path.iterdir()} == {"backup.json", "data"}


def made(path: Path) -> Path:
    path.mkdir()
    return path


def test_the_next_restore_removes_what_a_killed_one_left_beside_its_folder(
    backup: Path, tmp_path: Path
) -> None:
    kill(0, "restore", backup, tmp_path / "new")
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".partial-new-")] == []
    restore(backup, tmp_path / "new")
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_a_folder_that_is_there_is_filled_where_it_is(backup: Path, tmp_path: Path) -> None:
    """A mount point can be neither removed nor renamed over."""
    target = tmp_path / "mounted"
    (target / "lost+found").mkdir(parents=True)
    same = target.stat().st_ino
    restore(backup, target)
    assert target.stat().st_ino == same
    assert not [path for path in target.iterdir() if path.name.startswith(".partial")]
    assert list(tmp_path.iterdir()) == [target]
    with running(target) as server:
        assert listed(server, PARENT) == ["Werft"]
    with pytest.raises(BackupFailed, match="not empty"):
        restore(backup, target)


def test_a_restore_into_a_folder_that_was_killed_is_no_data_directory(backup: Path, tmp_path: Path) -> None:
    names = len(list((backup / "data").iterdir()))
    assert names > 2
    for after in range(names):
        target = tmp_path / str(after)
        target.mkdir()
        kill(after, "restore", backup, target)
        assert not (target / "facts.db").exists()
        with pytest.raises(ConfigError, match="was not finished"), serving(target):
            pass
        assert not (target / "facts.db").exists()
        restore(backup, target)
        with running(target) as server:
            assert listed(server, PARENT) == ["Werft"]


def test_a_strangers_file_stays_and_a_server_keeps_its_folder(backup: Path, tmp_path: Path) -> None:
    target = tmp_path / "there"
    target.mkdir()
    with DataDir(target), pytest.raises(BackupFailed, match="in use by another server"):
        restore(backup, target)
    kill(1, "restore", backup, target)
    (target / "mine.txt").write_text("mine")
    with pytest.raises(BackupFailed, match="not empty"):
        restore(backup, target)
    assert (target / "mine.txt").read_text() == "mine"


def test_a_damaged_backup_leaves_a_folder_that_was_there_empty(backup: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-r", str(backup), str(copy)], check=True)
    (copy / "data" / "page-token.key").write_text("another")
    target = tmp_path / "there"
    target.mkdir()
    with pytest.raises(BackupFailed, match="the backup is damaged"):
        restore(copy, target)
    assert {path.name for path in target.iterdir()} <= {".lock"}
