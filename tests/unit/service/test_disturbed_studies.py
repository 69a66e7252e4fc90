"""A study whose weights change under its hands is not handed out, though they may be as before when it ends."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from circuits.lab import Lab, Passes
from editors.weights.delta_files import save_delta
from editors.weights.model import EditableModel
from engines.transformers_engine import TransformersEngine
from service.edits.live import LiveEdits
from service.edits.shelf import AppliedEdit, AskedEdit, EditShelf, write_asked
from service.errors import StudyDisturbed
from service.studies.study import Study
from tests.unit.engines.tiny_models import byte_tokenizer, tiny_model
from tests.unit.weights.test_deltas import random_delta

EDIT = "one"


class Stand:
    """A served model, an edit of it, and its studies."""

    def __init__(self, data_dir: Path) -> None:
        model, tokenizer = tiny_model("llama"), byte_tokenizer()
        self.engine = TransformersEngine(model, tokenizer)
        self.shelf, editable = EditShelf(data_dir), EditableModel(model, tokenizer, self.engine.model_digest)
        self.live = LiveEdits(self.engine, editable, self.shelf)
        self.study = Study(self.engine, None, self.engine.model_digest, lambda: self.live.writes, 4)
        folder = self.shelf.begun(EDIT)
        save_delta(random_delta(editable, 0, (0,)), folder)
        write_asked(folder, AskedEdit("default", "rome", {}, []), 0.0, {"problems": []})
        self.shelf.kept(EDIT)

    def studied(self, meanwhile: Callable[[], object]) -> float:
        def work(lab: Lab) -> float:
            meanwhile()
            return lab.run([[1, 2, 3]])[0, -1, 5].item()

        return asyncio.run(self.study.run(work, Passes(1)))


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    made = Stand(tmp_path)
    yield made
    made.study.close()
    made.engine.close()


def test_one_beside_an_edit_that_is_applied_and_taken_back_is_disturbed(stand: Stand) -> None:
    plain = stand.studied(lambda: None)

    def for_a_moment() -> None:
        stand.live.apply(EDIT)
        stand.live.revert(EDIT)

    with pytest.raises(StudyDisturbed):
        stand.studied(for_a_moment)
    assert stand.studied(lambda: None) == plain
    stand.live.apply(EDIT)
    assert stand.studied(lambda: stand.live.apply(EDIT)) != plain  # applied before: nothing changed


def test_one_that_ends_before_the_edit_is_on_the_list_is_disturbed(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    written, ended = threading.Event(), threading.Event()

    def listed_late(entries: list[AppliedEdit]) -> None:
        written.set()
        assert ended.wait(60)

    monkeypatch.setattr(stand.shelf, "write_applied", listed_late)
    applying = threading.Thread(target=stand.live.apply, args=(EDIT,))

    def written_meanwhile() -> None:
        applying.start()
        assert written.wait(60)

    try:
        with pytest.raises(StudyDisturbed):
            stand.studied(written_meanwhile)
    finally:
        ended.set()
        applying.join(60)
    assert set(stand.live.applied) == {EDIT}
