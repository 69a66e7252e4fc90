"""What vLLM loads in each of its processes (entry point `vllm.general_plugins`)."""

from __future__ import annotations

import functools
from typing import Any

from engines.vllm.model import FACTS, PREFIX, SUPPORTED
from engines.vllm.operation import OPERATION
from engines.vllm.request_facts import EXTRA

_DONE = "_interleaf"  # on functions that are wrapped already: plugins may be loaded twice


def register() -> None:
    """Makes our model classes known, has the model runner tell them of each step, keys the prefix cache by facts."""
    from vllm import ModelRegistry
    from vllm.config import CompilationConfig
    from vllm.v1.core import kv_cache_utils
    from vllm.v1.worker.gpu_model_runner import GPUModelRunner

    known = ModelRegistry.get_supported_archs()
    for architecture in SUPPORTED:
        if PREFIX + architecture not in known:
            ModelRegistry.register_model(PREFIX + architecture, f"engines.vllm.model:{PREFIX}{architecture}")
    if OPERATION not in CompilationConfig._attention_ops:
        CompilationConfig._attention_ops.append(OPERATION)  # where compiled graphs are cut
    if not hasattr(GPUModelRunner._model_forward, _DONE):
        GPUModelRunner._model_forward = _with_facts(GPUModelRunner._model_forward)
    if not hasattr(kv_cache_utils.generate_block_hash_extra_keys, _DONE):
        kv_cache_utils.generate_block_hash_extra_keys = keyed_by_facts(
            kv_cache_utils.generate_block_hash_extra_keys
        )


def _with_facts(original: Any) -> Any:
    @functools.wraps(original)
    def forward(self: Any, *args: Any, **kwargs: Any) -> Any:
        facts = self.get_model().__dict__.get(FACTS)
        if facts is None:
            return original(self, *args, **kwargs)
        facts.begin(self)
        try:
            return original(self, *args, **kwargs)
        finally:
            facts.end()

    setattr(forward, _DONE, True)
    return forward


def keyed_by_facts(original: Any) -> Any:
    """vLLM's cache of prefixes knows texts only. A text that was read with facts is another text.

    Blocks with tokens that saw facts, which begin with the prompt's last one, are this request's alone: a later
    prompt with the same text sees none in their place. The blocks before depend on no fact, and are the scope's.
    """

    @functools.wraps(original)
    def extra_keys(request: Any, start: int, end: int, start_mm: int) -> Any:
        keys, next_mm = original(request, start, end, start_mm)
        parameters = request.sampling_params
        own = (parameters.extra_args or {}).get(EXTRA) if parameters is not None else None
        if own is None:
            return keys, next_mm
        mine = [("interleaf", own["salt"])] if start == 0 else []
        if end > own["seen_from"]:
            mine.append(("interleaf-answer", own["name"]))
        return (*(keys or ()), *mine) or None, next_mm

    setattr(extra_keys, _DONE, True)
    return extra_keys
