"""Edits that are applied: nobody deletes one under the hands of who applies it, and each can be taken back."""

from __future__ import annotations

import asyncio
import json
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from editors.weights.delta_files import save_delta
from editors.weights.errors import DeltaInUse
from editors.weights.model import EditableModel
from engines.transformers_engine import TransformersEngine
from kb_store.errors import NotFound
from service.commands.editing import Editing
from service.config import EditSettings
from service.edits import shelf
from service.edits.jobs import LabModel
from service.edits.live import LiveEdits
from service.edits.shelf import AskedEdit, EditShelf, EditState, write_asked
from service.workers import Workers
from tests.unit.engines.tiny_models import byte_tokenizer, tiny_model
from tests.unit.weights.test_deltas import random_delta


class Engine:
    """Work that wants the model alone begins when `idle` is set."""

    def __init__(self) -> None:
        self.asked, self.idle = threading.Event(), threading.Event()
        self.idle.set()

    def call(self, function: Callable[[Any, Any], Any], *, alone: bool) -> Future[Any]:
        self.asked.set()
        assert self.idle.wait(60)
        done: Future[Any] = Future()
        done.set_result(function(None, None))
        return done


class Stand:
    """A tiny model and the edits on disk, as a server has them after its start."""

    def __init__(self, data_dir: Path, workers: Workers) -> None:
        self.folder = data_dir / "edits"
        self.shelf, self.engine = EditShelf(data_dir), Engine()
        self.editable = EditableModel(tiny_model("llama"), byte_tokenizer())
        self.live = LiveEdits(cast(TransformersEngine, self.engine), self.editable, self.shelf)
        self.live.restore()
        nobody_else = cast(Any, SimpleNamespace(list_namespaces=lambda limit: []))
        unused = cast(Any, None)
        self.editing = Editing(
            self.live,
            LabModel("tiny", "d", "float32", 4),
            self.shelf,
            EditSettings(work=True),
            nobody_else,
            unused,
            workers,
            unused,
        )

    async def apply(self, edit_id: str) -> None:
        await self.editing.apply(edit_id, all_namespaces=False, combine=False, validate_only=False)

    def weights(self) -> list[torch.Tensor]:
        return [value.clone() for value in self.editable.model.state_dict().values()]

    def listed(self) -> list[str]:
        return [entry["edit_id"] for entry in json.loads((self.folder / "applied.json").read_text())]


@pytest.fixture
def workers() -> Iterator[Workers]:
    made = Workers(1)
    yield made
    made.close()


@pytest.fixture
def stand(tmp_path: Path, workers: Workers) -> Stand:
    """With two computed edits, of a layer each."""
    made = Stand(tmp_path, workers)
    for layer, name in enumerate(("one", "two")):
        folder = made.shelf.begun(name)
        save_delta(random_delta(made.editable, layer, (layer,)), folder)
        write_asked(folder, AskedEdit("default", "rome", {}, []), 0.0, {"problems": []})
        made.shelf.kept(name)
    return made


def same(first: list[torch.Tensor], second: list[torch.Tensor]) -> bool:
    return all(map(torch.equal, first, second))


def test_an_edit_is_not_deleted_while_it_is_being_applied(stand: Stand) -> None:
    """Answers under way hold the model; the edit waits for them to end, and the call to delete it comes meanwhile."""
    before = stand.weights()

    async def both() -> None:
        stand.engine.idle.clear()
        applying = asyncio.create_task(stand.apply("one"))
        try:
            assert await asyncio.to_thread(stand.engine.asked.wait, 60)
            deleting = asyncio.create_task(stand.editing.delete("one"))
            await asyncio.sleep(0.1)
        finally:
            stand.engine.idle.set()
        await applying
        with pytest.raises(DeltaInUse, match="revert it first"):
            await deleting
        assert stand.listed() == ["one"]
        assert not same(stand.weights(), before)
        await stand.editing.revert("one")
        await stand.editing.delete("one")

    asyncio.run(both())
    assert same(stand.weights(), before)
    assert [item.edit_id for item in stand.shelf.list()] == ["two"]


def test_one_that_is_deleted_first_is_not_applied(stand: Stand) -> None:
    before = stand.weights()
    asyncio.run(stand.editing.delete("one"))
    for refused in (stand.live.apply, stand.live.revert, stand.live.forget):
        with pytest.raises(NotFound):
            refused("one")
    assert same(stand.weights(), before)


@pytest.mark.parametrize("part", ["edit.json", "receipt.json"])
def test_one_that_is_deleted_while_all_are_listed_is_not_listed(
    stand: Stand, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = shelf._object

    def deleted_meanwhile(path: Path) -> dict[str, Any]:
        if path == stand.folder / "one" / part:
            shutil.rmtree(path.parent)
        return read(path)

    monkeypatch.setattr(shelf, "_object", deleted_meanwhile)
    assert [item.edit_id for item in stand.shelf.list()] == ["two"]
    with pytest.raises(NotFound, match="edits/one"):
        stand.shelf.get("one")


def test_an_applied_edit_is_taken_back_without_its_files(stand: Stand) -> None:
    before = stand.weights()
    stand.live.apply("one")
    stand.live.apply("two")
    shutil.rmtree(stand.folder / "one")
    found = asyncio.run(stand.editing.revert("one"))
    assert (found.stored.edit_id, found.state) == ("one", EditState.DAMAGED)
    with pytest.raises(NotFound):
        asyncio.run(stand.editing.revert("one"))  # nothing to take back
    stand.live.revert("two")
    assert same(stand.weights(), before)
    assert (stand.listed(), dict(stand.live.applied)) == ([], {})


@pytest.mark.parametrize("how", ["delete", "revert"])
def test_one_that_was_not_restored_is_dropped_alone(
    stand: Stand, tmp_path: Path, workers: Workers, how: str
) -> None:
    for name in ("one", "two"):
        stand.live.apply(name)
        (stand.folder / name / "delta.safetensors").unlink()
    restarted = Stand(tmp_path, workers)
    assert set(restarted.live.not_restored) == {"one", "two"}
    asyncio.run(getattr(restarted.editing, how)("one"))
    assert set(restarted.live.not_restored) == {"two"}
    assert restarted.listed() == ["two"]
    states = {
        item.stored.edit_id: item.state for item in asyncio.run(restarted.editing.page(limit=9, after=""))[0]
    }
    kept = {"one": EditState.COMPUTED} if how == "revert" else {}
    assert states == {**kept, "two": EditState.NOT_RESTORED}


def test_one_that_was_not_restored_stays_listed_when_others_are_applied_and_taken_back(
    stand: Stand, tmp_path: Path, workers: Workers
) -> None:
    stand.live.apply("one")
    files = stand.folder / "one"
    files.rename(stand.folder / "elsewhere")
    restarted = Stand(tmp_path, workers)
    assert set(restarted.live.not_restored) == {"one"}
    restarted.live.apply("two")
    assert restarted.listed() == ["two", "one"]
    restarted.live.revert("two")
    assert restarted.listed() == ["one"]
    (stand.folder / "elsewhere").rename(files)
    restarted.live.apply("one")  # once it can be, there is one entry
    assert (restarted.listed(), dict(restarted.live.not_restored)) == (["one"], {})


def test_one_id_is_deleted_and_begun_at_once(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    remove = shutil.rmtree

    def begun_meanwhile(path: Path, **how: Any) -> None:
        monkeypatch.undo()
        (stand.shelf.begun("one") / "computed").touch()
        remove(path, **how)

    monkeypatch.setattr(shutil, "rmtree", begun_meanwhile)
    stand.shelf.delete("one")
    assert (stand.shelf.kept("one").folder / "computed").exists()


def test_what_a_server_did_not_live_to_delete_goes_at_the_next_start(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", lambda path: None)
        stand.shelf.delete("one")
    assert [item.edit_id for item in stand.shelf.list()] == ["two"]
    stand.shelf.tidy()
    assert [path.name for path in stand.folder.iterdir()] == ["two"]


@pytest.mark.parametrize("how", ["delete", "revert"])
def test_one_whose_files_are_gone_is_tried_at_one_start_only(
    stand: Stand, tmp_path: Path, workers: Workers, how: str
) -> None:
    stand.live.apply("one")
    shutil.rmtree(stand.folder / "one")
    restarted = Stand(tmp_path, workers)
    assert set(restarted.live.not_restored) == {"one"}
    with pytest.raises(NotFound):
        asyncio.run(getattr(restarted.editing, how)("one"))
    assert (restarted.listed(), dict(restarted.live.not_restored)) == ([], {})
