"""Encoders on disk: safetensors and a manifest. Never pickle."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from editors.kv.encoder import EncoderConfig, KVEncoder

_FORMAT = 2  # 1 had a prior that was trained
_WEIGHTS, _EMBEDDER, _CLOSER = "encoder.safetensors", "embedder.safetensors", "closer.safetensors"
_MANIFEST = "manifest.json"


def save_encoder(encoder: KVEncoder, folder: Path, manifest: Mapping[str, Any]) -> str:
    """Writes weights (float16), the changes to the embedder, what looks closer, and the manifest; returns the
    encoder's digest.

    `manifest` says which model it is for, what it was trained on and what was measured.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: value.detach().half().contiguous() for name, value in encoder.state_dict().items()}
    write_tensors(tensors, folder / _WEIGHTS)
    changes = {name: value.half().contiguous() for name, value in encoder.meaning.changes.items()}
    write_tensors(changes, folder / _EMBEDDER)
    closer = dict(encoder.meaning.closer)
    if closer:
        write_tensors(closer, folder / _CLOSER)
    else:
        (folder / _CLOSER).unlink(missing_ok=True)
    digest = _digest(tensors | changes | _named(closer))
    full = {"format": _FORMAT, "digest": digest, "shape": encoder.config.to_json(), **manifest}
    write_text(folder / _MANIFEST, json.dumps(full, indent=2, sort_keys=True) + "\n")
    return digest


def load_weights(folder: Path) -> tuple[KVEncoder, dict[str, Any]]:
    """The encoder and its manifest; ValueError when the weights are not those of the manifest, or of another format."""
    manifest: dict[str, Any] = json.loads((folder / _MANIFEST).read_text())
    if manifest.get("format") != _FORMAT:
        raise ValueError(
            f"{folder}: made by another version of Interleaf; train the encoder again with this one"
        )
    tensors = load_file(folder / _WEIGHTS)
    changes, closer = load_changes(folder), load_closer(folder)
    if _digest(tensors | changes | _named(closer)) != manifest["digest"]:
        raise ValueError(f"{folder}: the weights do not match the manifest's digest")
    encoder = KVEncoder(EncoderConfig.from_json(manifest["shape"]))
    encoder.load_state_dict({name: value.float() for name, value in tensors.items()})
    encoder.digest = manifest["digest"]
    encoder.meaning.changes, encoder.meaning.closer = changes, closer
    return encoder.eval().requires_grad_(False), manifest


def load_changes(folder: Path) -> dict[str, Tensor]:
    """The changes to the text embedder that an encoder was saved with; none where it was not taught."""
    return _read(folder / _EMBEDDER)


def load_closer(folder: Path) -> dict[str, Tensor]:
    """What was taught to look closer; none where nothing was."""
    return _read(folder / _CLOSER)


def _read(path: Path) -> dict[str, Tensor]:
    return load_file(path) if path.is_file() else {}


def _named(closer: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"closer.{name}": value for name, value in closer.items()}


def write_tensors(tensors: dict[str, Tensor], path: Path) -> None:
    """Atomically."""
    partial = path.with_suffix(".partial")
    save_file(tensors, partial)
    os.replace(partial, path)


def write_text(path: Path, text: str) -> None:
    """Atomically."""
    partial = path.with_suffix(".partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)


def _digest(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].reshape(-1).contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]
