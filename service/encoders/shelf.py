"""Where encoders are: those that come with Interleaf, and those that were trained, below the data folder.

An encoder that is shipped is called by its model's name; its folder is never written to, so its calibration is
kept under its name in the data folder.
"""

from __future__ import annotations

import enum
import fcntl
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from editors.kv.calibration import Calibration, read_calibration
from editors.kv.storage import write_text
from editors.kv.trained import SHIPPED
from kb_store.errors import NotFound, WrongState
from kb_store.validation import check_id, is_id
from service.encoders.excluded import EXCLUDED, check_same_pairs, kept_pairs
from service.encoders.recipe_file import differences

FOLDER = "encoders"
MANIFEST, BEGUN, SITTINGS = "manifest.json", Path("run") / "begun.json", Path("run") / "sittings.json"


class EncoderState(enum.Enum):
    """What is there of an encoder."""

    TRAINED = "trained"
    UNFINISHED = "unfinished"
    DAMAGED = "damaged"


@dataclass(frozen=True, slots=True)
class Shelved:
    """An encoder as its files describe it. `manifest` is empty unless it is TRAINED."""

    encoder_id: str
    folder: Path
    calibration_folder: Path
    shipped: bool
    state: EncoderState
    manifest: Mapping[str, Any] = field(default_factory=dict)
    calibration: Calibration | None = None
    recipe: Mapping[str, Any] = field(default_factory=dict)  # as it was asked for

    @property
    def size_bytes(self) -> int:
        """Of its files, checkpoints included."""
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())

    @property
    def model(self) -> str:
        """The model as the recipe names it: what loads it again."""
        return str(self.recipe.get("model", "default"))

    def checked(self) -> Shelved:
        """Itself; WrongState unless its weights are there."""
        if self.state is not EncoderState.TRAINED:
            raise WrongState(
                f"encoder {self.encoder_id!r} is {self.state.value}: train it to its end first",
                kind="encoder",
                name=f"encoders/{self.encoder_id}",
            )
        return self


class Shelf:
    """Reads folders anew at every call: trainings write them meanwhile. Blocks."""

    def __init__(self, data_dir: Path, shipped: Path = SHIPPED) -> None:
        self._own = data_dir / FOLDER
        self._shipped = {encoder_id_of(path.name): path for path in _folders(shipped)}

    def list(self) -> list[Shelved]:
        """All, in the order of their ids."""
        own = {path.name for path in _folders(self._own) if is_id(path.name) and _is_encoder(path)}
        return [self.get(encoder_id) for encoder_id in sorted(own | self._shipped.keys())]

    def get(self, encoder_id: str) -> Shelved:
        """One; NotFound when there is none."""
        own = self._own / encoder_id
        shipped = self._shipped.get(encoder_id)
        if shipped is not None:
            return _read(encoder_id, shipped, own, shipped=True)
        if not is_id(encoder_id) or not _is_encoder(own):
            raise NotFound("encoder", f"encoders/{encoder_id}")
        return _read(encoder_id, own, own, shipped=False)

    def trained(self, encoder_id: str) -> Shelved:
        """One whose weights are there; NotFound, or WrongState."""
        return self.get(encoder_id).checked()

    def place(self, encoder_id: str, recipe: Mapping[str, Any], excluded: str = "") -> Path:
        """The folder to train in. InvalidInput for what is no id: nobody would find it there again. WrongState for a
        shipped encoder, for one that has these steps already, and for one that was begun with another recipe or
        another list of pairs to exclude: only more steps may be asked for."""
        check_id("encoder_id", encoder_id)
        folder, name = self._own / encoder_id, f"encoders/{encoder_id}"
        if encoder_id in self._shipped:
            raise WrongState(f"{name} is shipped: train under another name", kind="encoder", name=name)
        check_goes_on(folder, recipe, excluded)
        return folder

    def named(self, name: str, model_name: str) -> Shelved:
        """By what people write: `default` (shipped for the model), an id, or a folder."""
        if name == "default":
            shipped = encoder_id_of(model_name)
            if shipped not in self._shipped:
                raise NotFound("shipped encoder", f"encoders/{shipped}")
            return self.get(shipped)
        folder = Path(name)
        if folder.is_dir() and _is_encoder(folder):
            return _read(folder.name, folder, folder, shipped=False)
        return self.get(name)


def check_goes_on(folder: Path, recipe: Mapping[str, Any], excluded: str = "") -> None:
    """WrongState unless a training of this recipe may begin, or go on, in the folder. `excluded`: the text of a list
    of pairs; empty: the one that was kept, if it goes on."""
    if not _is_encoder(folder):
        return
    known = _read(folder.name, folder, folder, shipped=False)
    details = {"kind": "encoder", "name": folder.name}
    other = [item for item in differences(known.recipe, recipe) if not item.startswith("train.steps:")]
    if known.recipe and other:
        raise WrongState(
            f"encoder {folder.name!r} was begun with another recipe ({'; '.join(other)}): take another name",
            **details,
        )
    if known.state is EncoderState.TRAINED and known.manifest["run"]["steps"] >= recipe["train"]["steps"]:
        raise WrongState(
            f"encoder {folder.name!r} is trained for {known.manifest['run']['steps']} steps already: "
            "ask for more steps, or take another name",
            **details,
        )
    check_same_pairs(folder, excluded, known.manifest)


def begin(folder: Path, recipe: Mapping[str, Any], excluded: str) -> None:
    """Writes down what `check_goes_on` compares with. Of a training that goes on the pairs stay as they are kept;
    where an earlier version kept none, those that are given now are."""
    if not _is_encoder(folder) or (excluded and kept_pairs(folder) is None):
        write_text(folder / EXCLUDED, excluded)
    write_text(folder / BEGUN, json.dumps(recipe, indent=1) + "\n")


def forget_if_empty(folder: Path) -> None:
    """Takes back what `begin` wrote, where the training made nothing before it failed."""
    made = [folder / MANIFEST, *(folder / BEGUN).parent.glob("*.safetensors")]
    if not any(path.is_file() for path in made):
        for path in (folder / BEGUN, folder / EXCLUDED, folder / SITTINGS):
            path.unlink(missing_ok=True)


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """One training at a time in a folder, of all processes; WrongState for the second. The folder is made."""
    (folder / BEGUN).parent.mkdir(parents=True, exist_ok=True)
    handle = os.open((folder / BEGUN).with_name(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise WrongState(
            f"encoder {folder.name!r} is being trained by another process", kind="encoder", name=folder.name
        ) from None
    try:
        yield
    finally:
        os.close(handle)


def encoder_id_of(name: str) -> str:
    """A model's name as an id."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:63].strip("-") or "encoder"


def _folders(parent: Path) -> list[Path]:
    return [path for path in parent.iterdir() if path.is_dir()] if parent.is_dir() else []


def _is_encoder(folder: Path) -> bool:
    return (folder / MANIFEST).is_file() or (folder / BEGUN).is_file()


def _read(encoder_id: str, folder: Path, calibrations: Path, *, shipped: bool) -> Shelved:
    def shelved(state: EncoderState, **more: Any) -> Shelved:
        return Shelved(encoder_id, folder, calibrations, shipped, state, **more)

    try:
        if not (folder / MANIFEST).is_file():
            return shelved(EncoderState.UNFINISHED, recipe=_json(folder / BEGUN))
        manifest = _json(folder / MANIFEST)
        begun = folder / BEGUN
        return shelved(
            EncoderState.TRAINED,
            manifest=manifest,
            calibration=read_calibration(calibrations, str(manifest["digest"])),
            recipe=_json(begun) if begun.is_file() else manifest["recipe"],
        )
    except (OSError, ValueError, KeyError):
        return shelved(EncoderState.DAMAGED)


def _json(path: Path) -> dict[str, Any]:
    found = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(found, dict):
        raise ValueError(f"{path} does not hold an object")
    return found
