"""interleaf backup: beside a running server, and what is done with damaged, foreign and half-made backups."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from kb_store.sql.snapshot import copy_database
from service.backup import creating
from service.backup.creating import create, list_backups
from service.backup.manifest import BackupFailed
from service.backup.restoring import restore, verify
from service.cli.backup import app
from tests.serving import listed, running, searchable

RUNNER = CliRunner()
PARENT = "namespaces/default"


def run(*words: str, code: int = 0) -> str:
    result = RUNNER.invoke(app, ["backup", *words])
    assert result.exit_code == code, (result.output, result.exception)
    return result.stdout if code == 0 else result.stdout + result.stderr


def make(data: Path, into: Path, *more: str) -> Path:
    return Path(run("create", "--data-dir", str(data), "--to", str(into), *more).strip())


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    with running(folder) as server:
        for number in range(3):
            fact = server.add(f"S{number}", "colour", "green")
        searchable(server, PARENT, fact.namespace_revision)
    (folder / "encoders" / "mine").mkdir(parents=True)
    (folder / "encoders" / "mine" / "manifest.json").write_text("{}")
    (folder / "key-statistics").mkdir()
    (folder / "key-statistics" / "keys-half.safetensors").write_text("made again")
    (folder / "edits" / ".partial-half").mkdir(parents=True)
    (folder / "edits" / ".partial-half" / "delta").write_text("half")
    return folder


@pytest.fixture
def backup(data: Path, tmp_path: Path) -> Path:
    return make(data, tmp_path / "backups")


def test_beside_a_running_server(tmp_path: Path) -> None:
    with running(tmp_path / "data") as server:
        server.add("Anna Keller", "employer", "Werft")
        path = make(tmp_path / "data", tmp_path / "backups")
        server.add("Anna Keller", "colour", "green")
    said = run("verify", str(path))
    assert "1 facts in 1 namespaces" in said
    assert "--data-dir" in run("restore", str(path), str(tmp_path / "again"))
    with running(tmp_path / "again") as server:
        assert listed(server, PARENT) == ["Werft"]
        server.add("Anna Keller", "colour", "blue")


def test_everything_of_the_directory_is_in_it_and_nothing_unfinished(backup: Path, data: Path) -> None:
    manifest, problems = verify(backup)
    assert problems == []
    assert {"facts.db", "page-token.key", "index/manifest.json", "encoders/mine/manifest.json"} <= set(
        manifest.files
    )
    assert not [name for name in manifest.files if "half" in name or ".lock" in name or "-wal" in name]
    assert manifest.index_sequence == manifest.last_sequence
    assert (backup / "data" / "page-token.key").read_bytes() == (data / "page-token.key").read_bytes()
    assert (backup.stat().st_mode & 0o077) == 0


def test_backups_inside_of_the_directory_hold_none_of_each_other(data: Path, tmp_path: Path) -> None:
    """In a container it is the only place that lasts."""
    made = tmp_path / "data"
    shutil.copytree(data, made)
    sizes = [len(verify(make(made, made / "backups" / "nightly"))[0].files) for _ in range(3)]
    assert len(set(sizes)) == 1


def test_what_links_lead_to_is_in_it(data: Path, tmp_path: Path) -> None:
    made, elsewhere = tmp_path / "data", tmp_path / "elsewhere"
    shutil.copytree(data, made)
    (made / "encoders" / "mine").rename(elsewhere)
    (made / "encoders" / "mine").symlink_to(elsewhere)
    (made / "encoders" / "latest").symlink_to(made / "encoders" / "mine")
    (made / "encoders" / "all").symlink_to(made / "encoders")  # round and round
    (elsewhere / "back").symlink_to(made)
    backup = make(made, tmp_path / "backups")
    assert {"encoders/mine/manifest.json", "encoders/latest/manifest.json"} <= set(verify(backup)[0].files)
    assert (backup / "data" / "encoders" / "mine" / "manifest.json").read_text() == "{}"
    assert "encoders/all" not in "".join(verify(backup)[0].files)


def test_a_restore_that_was_killed_hinders_no_other(backup: Path, tmp_path: Path) -> None:
    (tmp_path / ".partial-again").mkdir()
    run("restore", str(backup), str(tmp_path / "again"))
    assert (tmp_path / "again" / "facts.db").is_file()


def test_the_list_and_what_is_kept(data: Path, tmp_path: Path) -> None:
    made = [make(data, tmp_path) for _ in range(3)]
    (made[0] / "backup.json").write_text("{}")
    entries: list[dict[str, Any]] = json.loads(run("list", str(tmp_path), "--json"))["backups"]
    assert [Path(entry["path"]) for entry in entries] == [made[2], made[1], made[0]]
    assert entries[0]["facts"] == 3
    assert entries[2]["damaged"]
    assert "damaged" in run("list", str(tmp_path))
    newest = make(data, tmp_path, "--keep", "1")
    # What cannot be believed is not counted, and not removed either.
    assert [path for path, _ in list_backups(tmp_path)] == [newest, made[0]]


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("facts.db", "facts.db fails its checksum"),
        ("index/manifest.json", "index/manifest.json fails its checksum"),
        ("page-token.key", "page-token.key fails its checksum"),
    ],
)
def test_a_flipped_bit_is_found_and_not_restored(
    backup: Path, tmp_path: Path, name: str, problem: str
) -> None:
    path = backup / "data" / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert problem in run("verify", str(backup), code=1)
    assert problem in run("restore", str(backup), str(tmp_path / "again"), code=1)
    assert not (tmp_path / "again").exists()
    assert not list(tmp_path.glob(".partial*"))


def test_files_that_are_missing_added_or_cut_are_found(backup: Path) -> None:
    (backup / "data" / "page-token.key").unlink()
    (backup / "data" / "stranger").write_text("x")
    with (backup / "data" / "index" / "manifest.json").open("a") as file:
        file.write(" ")
    said = run("verify", str(backup), code=1)
    assert "page-token.key is missing" in said
    assert "stranger is not part of the backup" in said
    assert "bytes, " in said


def test_a_manifest_that_was_changed_is_not_believed(backup: Path, tmp_path: Path) -> None:
    body = json.loads((backup / "backup.json").read_text())
    body["last_sequence"] += 1
    (backup / "backup.json").write_text(json.dumps(body))
    assert "fails its checksum" in run("verify", str(backup), code=1)
    with pytest.raises(BackupFailed, match="checksum"):
        restore(backup, tmp_path / "again")
    assert "no backup" in run("verify", str(tmp_path), code=1)


def test_nothing_is_written_over(backup: Path, data: Path) -> None:
    assert "not empty" in run("restore", str(backup), str(data), code=1)
    assert (data / "facts.db").exists()


def test_a_backup_that_breaks_off_leaves_nothing(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(creating.files, "write", full)
    with pytest.raises(BackupFailed, match="No space left"):
        create(data, data / "facts.db", tmp_path / "backups")
    assert list((tmp_path / "backups").iterdir()) == []
    assert list_backups(tmp_path / "backups") == []


def test_an_index_that_does_not_fit_is_left_out(data: Path, tmp_path: Path) -> None:
    """The same as when the server saves its index between every two copies."""
    other = tmp_path / "data"
    shutil.copytree(data, other)
    connection = sqlite3.connect(other / "facts.db")
    connection.execute("DELETE FROM outbox")
    connection.execute("UPDATE counters SET last_sequence = last_sequence + 5")
    connection.commit()
    connection.close()
    _, manifest = create(other, other / "facts.db", tmp_path / "backups")
    assert manifest.index_sequence is None
    assert not [name for name in manifest.files if name.startswith("index")]


def test_other_databases_are_refused_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTERLEAF_STORE__DATABASE_URL", "postgresql+psycopg://localhost/facts")
    assert "pg_dump" in run("create", "--to", str(tmp_path), code=1)
    monkeypatch.delenv("INTERLEAF_STORE__DATABASE_URL")
    said = run("create", "--to", str(tmp_path), "--data-dir", str(tmp_path / "nowhere"), code=1)
    assert "no database" in said


def test_a_copy_is_one_file(data: Path, tmp_path: Path) -> None:
    copy_database(data / "facts.db", tmp_path / "copy.db")
    assert [path.name for path in tmp_path.iterdir()] == ["copy.db"]
