"""Side maps on disk: safetensors and a manifest that names the model. Never pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file

from editors.headmap.maps import MapsConfig, SideMaps
from editors.kv.storage import write_tensors, write_text
from editors.weights.delta import tensor_digest
from editors.weights.errors import DeltaDamaged, DeltaMismatch

_TENSORS, _MANIFEST = "maps.safetensors", "manifest.json"
_FORMAT = 1


def save_maps(maps: SideMaps, folder: Path, model_digest: str, notes: Mapping[str, Any]) -> None:
    """`notes`: what they were trained on and measured to do. The manifest is written last."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: value.detach().float().cpu().contiguous() for name, value in maps.state_dict().items()}
    write_tensors(tensors, folder / _TENSORS)
    manifest = {
        "format": _FORMAT,
        "model_digest": model_digest,
        "config": maps.config.to_json(),
        "digests": {name: tensor_digest(value) for name, value in tensors.items()},
        "notes": dict(notes),
    }
    write_text(folder / _MANIFEST, json.dumps(manifest, indent=2, sort_keys=True) + "\n")


def load_maps(folder: Path, model_digest: str) -> SideMaps:
    """DeltaDamaged when the files are not what the manifest says, DeltaMismatch for another model's."""
    try:
        manifest: dict[str, Any] = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
        if manifest["format"] != _FORMAT:
            raise DeltaDamaged(f"{folder}: format {manifest['format']} is not known here")
        maps = SideMaps(MapsConfig.from_json(manifest["config"]))
        tensors = load_file(folder / _TENSORS)
        digests = {name: tensor_digest(value) for name, value in tensors.items()}
        if digests != manifest["digests"]:
            raise DeltaDamaged(f"{folder}: the contents do not match the manifest's digests")
        maps.load_state_dict(tensors)
        made_for = manifest["model_digest"]
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise DeltaDamaged(f"{folder}: cannot be read as maps: {error}") from error
    if made_for != model_digest:
        raise DeltaMismatch(f"made for model {made_for}, this is {model_digest}")
    return maps.eval().requires_grad_(False)
