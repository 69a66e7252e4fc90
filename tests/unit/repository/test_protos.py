"""The protos are the only source of the API: stubs agree with them, style and compatibility are checked by buf."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.gen_protos import RELEASED, STUBS, buf, generate, make_workspace, stale_stubs


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return make_workspace(tmp_path / "protos")


def test_committed_stubs_are_what_the_protos_give(tmp_path: Path) -> None:
    made = generate(tmp_path)
    assert {path.name for path in made.iterdir()} >= {"facts_pb2.py", "facts_pb2.pyi", "facts_pb2_grpc.py"}
    assert stale_stubs(made) == []


def test_a_stale_stub_is_noticed(tmp_path: Path) -> None:
    made = generate(tmp_path)
    (made / "facts_pb2.pyi").write_text("", encoding="utf-8")
    (made / "inference_pb2.py").unlink()
    (made / "unknown_pb2.py").touch()
    assert stale_stubs(made) == ["facts_pb2.pyi", "inference_pb2.py", "unknown_pb2.py"]
    assert (STUBS / "inference_pb2.py").exists()


def test_the_style_is_right(workspace: Path) -> None:
    done = buf("lint", workspace=workspace)
    assert done.returncode == 0, done.stdout + done.stderr


def test_released_clients_still_work(workspace: Path) -> None:
    done = buf("breaking", "--against", RELEASED, workspace=workspace)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_breaking_change_is_noticed(workspace: Path) -> None:
    path = workspace / "interleaf" / "v1" / "facts.proto"
    text = path.read_text(encoding="utf-8")
    changed = text.replace("int32 page_size = 2;", "int64 page_size = 2;")
    assert changed != text
    path.write_text(changed, encoding="utf-8")
    done = buf("breaking", "--against", RELEASED, workspace=workspace)
    assert done.returncode != 0
    assert "page_size" in done.stdout
