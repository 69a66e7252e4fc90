"""The pairs that a training leaves out: kept beside its run, so that all of it goes by the same list.

An empty list that is kept says that nothing was left out; where none is kept, an earlier version began the run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kb_store.errors import WrongState
from kb_store.factbank import parse_pairs, read_pairs
from service.config import ConfigError

EXCLUDED = Path("run") / "excluded.tsv"


def read_excluded(path: Path) -> str:
    """The text of a file of pairs; ConfigError says what is wrong with it."""
    try:
        text = path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {path}: {error}") from None
    try:
        parse_pairs(text)
    except ValueError as error:
        raise ConfigError(f"{path.name}, {error}") from None
    return text


def check_same_pairs(folder: Path, given: str, manifest: Mapping[str, Any]) -> None:
    """WrongState where a training that was begun in the folder left out other pairs than `given`, which may be empty:
    then it goes on with those that are kept. `manifest` is empty unless it has been trained already."""
    kept = kept_pairs(folder)
    if kept is not None:
        same = not given or parse_pairs(given) == kept
    elif manifest and not manifest["recipe"].get("maps_from"):  # otherwise it tells of the maps' training
        known = manifest.get("excluded_pairs")
        same = (known["sha256"] if known else "") == (_digest(given) if given else "")
    else:
        same = True
    if not same:
        raise WrongState(
            f"encoder {folder.name!r} was begun with another list of pairs to exclude: give the same one, or take "
            "another name",
            kind="encoder",
            name=folder.name,
        )


def kept_pairs(folder: Path) -> frozenset[tuple[str, str]] | None:
    """None: no list is kept, or one that nothing can have been trained with."""
    try:
        return read_pairs(folder / EXCLUDED)
    except (FileNotFoundError, ValueError):
        return None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
