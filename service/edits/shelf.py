"""Edits on disk, a folder each: what was asked for, the delta, the receipt. And the list of those that are applied.

A folder appears under its name only when it is whole; `applied.json` is replaced atomically.
"""

from __future__ import annotations

import contextlib
import enum
import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from editors.kv.storage import write_text
from editors.metrics.counterfact import EditCase
from editors.weights.delta_files import MANIFEST
from editors.weights.errors import InvalidEdit
from editors.weights.request import EditRequest
from kb_store.errors import NotFound
from kb_store.validation import is_id
from service.datadir import KEY_STATISTICS_FOLDER

FOLDER = "edits"
_ASKED, _RECEIPT, _APPLIED = "edit.json", "receipt.json", "applied.json"
_PARTIAL = ".partial-"


class EditState(enum.Enum):
    """Where an edit stands."""

    COMPUTED = "computed"
    APPLIED = "applied"
    NOT_RESTORED = "not restored"
    DAMAGED = "damaged"


@dataclass(frozen=True, slots=True)
class AskedEdit:
    """What was asked for. `cases` as `case_values` gives them."""

    namespace: str
    method: str
    settings: Mapping[str, Any]
    cases: Sequence[Mapping[str, Any]]
    created: str = ""  # ISO time
    seconds: float = 0.0  # of computing


@dataclass(frozen=True, slots=True)
class StoredEdit:
    """An edit as it lies on disk; without a manifest it is damaged."""

    edit_id: str
    folder: Path
    asked: AskedEdit | None = None
    manifest: Mapping[str, Any] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class AppliedEdit:
    """An entry of the list. `live`: what was seen when it was applied, one entry a fact."""

    edit_id: str
    digest: str
    time: str  # ISO
    combine: bool = False
    live: Sequence[Mapping[str, Any]] = ()


class EditShelf:
    """Reads folders anew at every call. Blocks."""

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir / FOLDER
        # Not in the cache of models: that may be another's, and read-only, as in the image.
        self.key_statistics = data_dir / KEY_STATISTICS_FOLDER

    def list(self) -> list[StoredEdit]:
        """All, in the order of their ids."""
        if not self._folder.is_dir():
            return []
        names = sorted(path.name for path in self._folder.iterdir() if path.is_dir() and is_id(path.name))
        found = []
        for name in names:
            with contextlib.suppress(NotFound):  # deleted since
                found.append(self.get(name))
        return found

    def folder_of(self, edit_id: str) -> Path:
        """Where its files are, or would be."""
        return self._folder / edit_id

    def get(self, edit_id: str) -> StoredEdit:
        """One; NotFound."""
        folder = self.folder_of(edit_id)
        if not is_id(edit_id) or not folder.is_dir():
            raise NotFound("edit", f"edits/{edit_id}")
        try:
            asked = AskedEdit(**_object(folder / _ASKED))
            manifest, receipt = _object(folder / MANIFEST), _object(folder / _RECEIPT)
            problems = tuple(str(text) for text in receipt["problems"])
            manifest["digest"], manifest["tensors"]
            size = sum(path.stat().st_size for path in folder.iterdir())
        except (OSError, ValueError, KeyError, TypeError):
            if not folder.is_dir():  # deleted while it was read
                raise NotFound("edit", f"edits/{edit_id}") from None
            return StoredEdit(edit_id, folder)
        return StoredEdit(edit_id, folder, asked, manifest, problems, size)

    def exists(self, edit_id: str) -> bool:
        """Whether the id is taken."""
        return self.folder_of(edit_id).is_dir()

    def receipt(self, edit_id: str) -> dict[str, Any]:
        """`editors.metrics.receipt.Receipt.plain`; NotFound."""
        found = self.get(edit_id)
        if found.asked is None:
            raise NotFound("receipt", f"edits/{edit_id}")
        return _object(found.folder / _RECEIPT)

    def delete(self, edit_id: str) -> None:
        """Forgets it; NotFound."""
        folder = self.get(edit_id).folder
        # Not where an edit of this id is computed: that may begin before all files are gone. No id begins with "-".
        aside = Path(tempfile.mkdtemp(prefix=f"{_PARTIAL}-", dir=self._folder))
        folder.rename(aside / edit_id)
        shutil.rmtree(aside)

    def begun(self, edit_id: str) -> Path:
        """An empty folder to compute into; `kept` makes it the edit."""
        folder = self._folder / f"{_PARTIAL}{edit_id}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def drop(self, edit_id: str) -> None:
        """What was begun is no longer wanted."""
        shutil.rmtree(self._folder / f"{_PARTIAL}{edit_id}", ignore_errors=True)

    def tidy(self) -> None:
        """At start: what a server did not live to finish is no longer wanted."""
        if self._folder.is_dir():
            for path in self._folder.iterdir():
                if path.name.startswith(_PARTIAL):
                    shutil.rmtree(path, ignore_errors=True)

    def kept(self, edit_id: str) -> StoredEdit:
        """What was begun is whole."""
        (self._folder / f"{_PARTIAL}{edit_id}").rename(self.folder_of(edit_id))
        return self.get(edit_id)

    def applied(self) -> tuple[AppliedEdit, ...]:
        """In the order in which they were applied."""
        path = self._folder / _APPLIED
        if not path.is_file():
            return ()
        return tuple(AppliedEdit(**entry) for entry in json.loads(path.read_text(encoding="utf-8")))

    def write_applied(self, entries: Sequence[AppliedEdit]) -> None:
        """Replaces the list."""
        self._folder.mkdir(parents=True, exist_ok=True)
        write_text(self._folder / _APPLIED, json.dumps([asdict(entry) for entry in entries], indent=1) + "\n")


def write_asked(folder: Path, asked: AskedEdit, seconds: float, receipt: Mapping[str, Any]) -> None:
    """What stands beside the delta."""
    values = {**asdict(asked), "created": datetime.now(UTC).isoformat(), "seconds": seconds}
    write_text(folder / _ASKED, json.dumps(values, indent=1) + "\n")
    write_text(folder / _RECEIPT, json.dumps(receipt, indent=1) + "\n")


def case_values(case: EditCase) -> dict[str, Any]:
    """A case as JSON can hold it."""
    return asdict(case)


def case_of(values: Mapping[str, Any], field_name: str = "case") -> EditCase:
    """The inverse; InvalidEdit names what is wrong."""
    try:
        request = EditRequest(**values["request"])
    except InvalidEdit as error:
        raise InvalidEdit(f"{field_name}.{error.field}", str(error).partition(": ")[2]) from None
    return EditCase(request, values["true"], tuple(values["paraphrases"]), tuple(values["neighbours"]))


def _object(path: Path) -> dict[str, Any]:
    found = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(found, dict):
        raise ValueError(f"{path} does not hold an object")
    return found
