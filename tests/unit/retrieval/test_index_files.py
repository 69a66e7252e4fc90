"""Saved indexes: whole or not believed, and a crash leaves the old or the new."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kb_store import failpoints
from kb_store.contract import Vectors
from kb_store.index import FaissIndex

DIMENSION = 16
Make = Callable[..., Vectors]


def open_index(folder: Path, embedder: str = "e") -> FaissIndex:
    return FaissIndex(folder, dimension=DIMENSION, embedder=embedder)


@pytest.fixture
def saved(tmp_path: Path, unit_vectors: Make) -> Path:
    index = open_index(tmp_path / "index")
    index.apply("a", remove=[], rows=range(10), vectors=unit_vectors(10, DIMENSION), sequence=10)
    index.apply("b", remove=[], rows=range(10, 15), vectors=unit_vectors(5, DIMENSION), sequence=15)
    index.save()
    return tmp_path / "index"


def file_of(folder: Path, namespace: str) -> Path:
    manifest = json.loads((folder / "manifest.json").read_text())
    return folder / str(manifest["namespaces"][namespace]["file"])


def test_what_was_saved_is_loaded(saved: Path) -> None:
    index = open_index(saved)
    assert index.rows("a") == frozenset(range(10))
    assert index.rows("b") == frozenset(range(10, 15))
    assert index.applied_sequence() == index.saved_sequence == 15
    assert not index.lost
    assert not index.damaged


def test_an_empty_folder_is_a_new_index(tmp_path: Path) -> None:
    index = open_index(tmp_path / "new")
    assert index.applied_sequence() == 0
    assert not index.lost


def test_only_changed_namespaces_are_written_and_old_files_go(saved: Path, unit_vectors: Make) -> None:
    index, kept, old = open_index(saved), file_of(saved, "a"), file_of(saved, "b")
    index.apply("b", remove=[10], rows=[], vectors=unit_vectors(0, DIMENSION), sequence=16)
    index.save()
    assert file_of(saved, "a") == kept
    assert file_of(saved, "b") != old
    assert not old.exists()
    assert open_index(saved).rows("b") == frozenset(range(11, 15))


def _flip(path: Path, place: float) -> None:
    data = bytearray(path.read_bytes())
    data[int(len(data) * place)] ^= 0x10
    path.write_bytes(bytes(data))


DAMAGES: dict[str, Callable[[Path], None]] = {
    "torn": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "empty": lambda path: path.write_bytes(b""),
    "deleted": lambda path: path.unlink(),
    "bit flipped in a vector": lambda path: _flip(path, 0.5),
    "bit flipped at the end": lambda path: _flip(path, 0.999),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"x"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_costs_its_namespace_only(saved: Path, damage: str) -> None:
    DAMAGES[damage](file_of(saved, "a"))
    index = open_index(saved)
    assert index.damaged == {"a"}
    assert index.rows("a") == frozenset()
    assert index.rows("b") == frozenset(range(10, 15))
    index.save()
    assert open_index(saved).damaged == {"a"}, "a later save must not make it look whole"


def test_an_older_file_under_the_newer_name_is_noticed(saved: Path, unit_vectors: Make) -> None:
    old = file_of(saved, "a").read_bytes()
    index = open_index(saved)
    index.apply("a", remove=[3], rows=[], vectors=unit_vectors(0, DIMENSION), sequence=16)
    index.save()
    file_of(saved, "a").write_bytes(old)
    assert open_index(saved).damaged == {"a"}


def test_another_namespaces_file_is_noticed(saved: Path) -> None:
    shutil.copy(file_of(saved, "b"), file_of(saved, "a"))
    assert open_index(saved).damaged == {"a"}


@pytest.mark.parametrize("damage", ["torn", "empty", "bit flipped in a vector", "longer"])
def test_a_damaged_manifest_costs_everything(saved: Path, damage: str) -> None:
    DAMAGES[damage](saved / "manifest.json")
    index = open_index(saved)
    assert index.lost
    assert index.namespaces() == frozenset()
    assert index.applied_sequence() == 0


@pytest.mark.parametrize(
    "change",
    [
        lambda body: body | {"sequence": 99},
        lambda body: body | {"format": 2},
        lambda body: {key: value for key, value in body.items() if key != "namespaces"},
        lambda body: [],
        lambda body: None,
    ],
)
def test_an_edited_manifest_is_not_believed(saved: Path, change: Callable[[object], object]) -> None:
    path = saved / "manifest.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    assert open_index(saved).lost


def test_vectors_of_another_embedder_are_not_used(saved: Path) -> None:
    assert open_index(saved, embedder="other").lost


def test_a_file_that_cannot_be_written_leaves_the_saved_state(saved: Path, unit_vectors: Make) -> None:
    index = open_index(saved)
    index.apply("a", remove=[1], rows=[], vectors=unit_vectors(0, DIMENSION), sequence=16)
    away = saved.rename(saved.with_name("away"))
    with pytest.raises((OSError, RuntimeError)):
        index.save()
    away.rename(saved)
    assert open_index(saved).rows("a") == frozenset(range(10))
    index.save()
    assert open_index(saved).rows("a") == frozenset(range(10)) - {1}


_CHANGE_AND_SAVE = """
import sys
from pathlib import Path
import numpy as np
from kb_store.index import FaissIndex
index = FaissIndex(Path(sys.argv[1]), dimension=16, embedder="e")
index.apply("a", remove=[3], rows=[], vectors=np.empty((0, 16), np.float32), sequence=16)
index.save()
"""


@pytest.mark.parametrize("name", [name for name in failpoints.registered() if name.startswith("index.")])
def test_killed_while_saving_the_old_or_the_new_state_loads(saved: Path, name: str) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", _CHANGE_AND_SAVE, str(saved)],
        env=os.environ | {failpoints.VARIABLE: name},
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    index = open_index(saved)
    assert not index.lost
    assert not index.damaged
    old, new = frozenset(range(10)), frozenset(range(10)) - {3}
    assert (index.applied_sequence(), index.rows("a")) in ((15, old), (16, new))
    index.save()
    assert not list(saved.glob("*.tmp"))
