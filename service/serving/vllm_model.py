"""The served model when vLLM runs it: in a process of its own, with a copy of the model here that compiles facts."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import torch

from engines.contract import KVAdapter
from engines.errors import ModelMissing
from engines.vllm.engine import VllmEngine, VllmSettings, host_words
from service.config import MIB, EngineSettings

_BESIDE = Path(".venv-vllm", "bin", "python")  # where `make setup-vllm` puts it


def vllm_python(configured: Path | None) -> str:
    """The interpreter that has vLLM. ModelMissing, with what to do, when there is none."""
    if configured is not None:
        if not configured.is_file():
            raise ModelMissing(f"engine.vllm_python: there is no {configured}")
        return str(configured)
    if importlib.util.find_spec("vllm") is not None:
        return sys.executable
    if _BESIDE.is_file():
        return str(_BESIDE.absolute())  # not resolved: an environment's interpreter is a link
    raise ModelMissing("vLLM is not installed: run `make setup-vllm`, or set engine.vllm_python")


def start_vllm(
    settings: EngineSettings,
    path: Path,
    model: Any,
    tokenizer: Any,
    adapter: KVAdapter | None,
    *,
    dtype: torch.dtype,
    digest: str,
) -> VllmEngine:
    """The engine, once its process answers. EngineError with its last words when it does not."""
    chosen = VllmSettings(
        host_words(vllm_python(settings.vllm_python)),
        max_batch=settings.max_batch,
        max_queue=settings.max_queue,
        max_context=settings.max_context,
        dtype=dtype,
        cache_bytes=settings.vllm_cache_mib * MIB,
        fact_tokens=settings.vllm_fact_tokens,
        eager=not settings.vllm_compile,
        threads=settings.threads,
    )
    engine = VllmEngine(path, model, tokenizer, adapter, chosen, name=path.name, digest=digest)
    try:
        engine.wait_ready()
    except BaseException:
        engine.close()
        raise
    return engine
