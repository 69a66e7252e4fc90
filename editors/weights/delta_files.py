"""Deltas on disk: `delta.safetensors` and `manifest.json` in a folder. Never pickle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from editors.kv.storage import write_tensors, write_text
from editors.weights.delta import Delta, Dense, LowRank, TensorChange
from editors.weights.errors import DeltaDamaged
from editors.weights.request import EditRequest

MANIFEST = "manifest.json"
_TENSORS = "delta.safetensors"
_FORMAT = 1
_KINDS: dict[str, type[LowRank] | type[Dense]] = {"LowRank": LowRank, "Dense": Dense}


def save_delta(delta: Delta, folder: Path) -> None:
    """Writes both files, each atomically; the manifest last, so that a folder with one is whole."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {
        f"{at}.{name}": tensor
        for at, change in enumerate(delta.changes)
        for name, tensor in change.change.tensors().items()
    }
    write_tensors(tensors, folder / _TENSORS)
    manifest = {"format": _FORMAT, "digest": delta.digest, **delta.described()}
    write_text(folder / MANIFEST, json.dumps(manifest, indent=2, sort_keys=True) + "\n")


def load_delta(folder: Path) -> Delta:
    """The delta; DeltaDamaged when anything is missing or is not what the manifest's digest names."""
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if manifest["format"] != _FORMAT:
            raise DeltaDamaged(f"{folder}: format {manifest['format']} is not known here")
        delta = _assembled(manifest, load_file(folder / _TENSORS))
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise DeltaDamaged(f"{folder}: cannot be read as a delta: {error}") from error
    if delta.digest != manifest["digest"]:
        raise DeltaDamaged(f"{folder}: the contents do not match the manifest's digest")
    return delta


def _assembled(manifest: dict[str, Any], tensors: dict[str, Tensor]) -> Delta:
    changes = []
    for at, entry in enumerate(manifest["tensors"]):
        kind = _KINDS[entry["kind"]]
        named = {name: tensors[f"{at}.{name}"] for name in kind.__dataclass_fields__}
        changes.append(TensorChange(entry["name"], kind(**named), entry["before"], entry["after"]))
    return Delta(
        method=manifest["method"],
        config=manifest["config"],
        model_digest=manifest["model_digest"],
        requests=tuple(EditRequest(**request) for request in manifest["requests"]),
        changes=tuple(changes),
        figures=manifest["figures"],
    )
