"""Models by name: the default one, a folder, or a repository of the Hugging Face hub, fetched once.

Only safetensors, configuration and tokenizer files are fetched: nothing that runs code when it is loaded.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

from engines.errors import ModelMissing
from engines.models import DEFAULT_MODEL, cache_dir, resolve_model

_HUB_NAME = re.compile(
    r"(?P<owner>[A-Za-z0-9][\w.-]*)/(?P<name>[A-Za-z0-9][\w.-]*)(?:@(?P<revision>[\w.-]+))?", re.ASCII
)
_FILES = [
    *("*.safetensors", "*.safetensors.index.json", "config.json", "generation_config.json"),
    *(
        "tokenizer*",
        "special_tokens_map.json",
        "added_tokens.json",
        "vocab.*",
        "merges.txt",
        "chat_template*",
    ),
]
_MARK = "interleaf-hub.json"  # written last: the folder is whole


def model_folder(name: str) -> Path:
    """The model's folder, fetched when it is a hub name and not here yet; ModelMissing with a sentence."""
    if name in ("default", DEFAULT_MODEL) or Path(name).is_dir():
        return resolve_model(name)
    hub = _HUB_NAME.fullmatch(name)
    if hub is None:
        raise ModelMissing(
            f"no model at {name!r}: give `default`, a folder with config.json and safetensors, or OWNER/NAME of the hub"
        )
    revision = hub["revision"]
    folder = (
        cache_dir() / "models" / hub["owner"] / (hub["name"] if not revision else f"{hub['name']}@{revision}")
    )
    if not (folder / _MARK).is_file():
        _fetch(f"{hub['owner']}/{hub['name']}", revision, folder)
    return resolve_model(str(folder))


def _fetch(repository: str, revision: str | None, folder: Path) -> None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import EntryNotFoundError, HFValidationError

    partial = folder.with_name(f".{folder.name}.partial")  # kept when it breaks off: fetching goes on with it
    try:
        snapshot_download(repository, revision=revision, local_dir=partial, allow_patterns=_FILES)
    except (OSError, EntryNotFoundError, HFValidationError) as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelMissing(
            f"{repository} could not be fetched from the hub: {first}; give a folder that holds the model"
        ) from None
    if not any(partial.glob("*.safetensors")):
        raise ModelMissing(f"{repository} has no safetensors, and nothing else is loaded")
    mark = {"repository": repository, "revision": revision}
    (partial / _MARK).write_text(json.dumps(mark) + "\n", encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(partial, folder)
