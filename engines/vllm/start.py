"""How vLLM is started with facts."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engines.vllm.adapter_file import QueryMaps
from engines.vllm.core_requests import Refused
from engines.vllm.model import CONFIG, PREFIX, SUPPORTED, class_for


@dataclass(frozen=True)
class CoreSettings:
    """How vLLM is started. `options` are further arguments of vLLM's engine."""

    model: str
    adapter: str | None = None  # file of `adapter_file.write`
    dtype: str = "float32"
    max_context: int = 2048
    max_batch: int = 32
    cache_bytes: int = 2**30
    row_slots: int = 262_144  # fact tokens held at a time
    request_slots: int = 16_384  # fact tokens that one request may see
    eager: bool = True
    seed: int = 0
    options: dict[str, Any] = field(default_factory=dict)


def start(settings: CoreSettings) -> Any:
    """vLLM's engine, its scheduler in this process."""
    from vllm import EngineArgs, ModelRegistry
    from vllm.platforms import current_platform
    from vllm.v1.engine.llm_engine import LLMEngine

    from engines.vllm.plugin import register

    register()
    on_cpu = current_platform.is_cpu()
    chosen: dict[str, Any] = {
        "model": settings.model,
        "dtype": settings.dtype,
        "max_model_len": settings.max_context,
        "max_num_seqs": settings.max_batch,
        "enforce_eager": settings.eager,
        "kv_cache_memory_bytes": settings.cache_bytes,
        "seed": settings.seed,
        "skip_tokenizer_init": True,
        "enable_prefix_caching": True,
        "async_scheduling": False,  # what an answer has said must be known before its next token
        "disable_log_stats": True,
        **({"block_size": 32} if on_cpu else {}),  # the smallest that its kernel takes
        **settings.options,
    }
    if on_cpu:
        _share_processors(chosen)
    else:
        # A graph of a whole step would replay the facts of the step that was recorded: attention stays outside.
        graphs = chosen.get("compilation_config") or {}
        chosen["compilation_config"] = {"cudagraph_mode": "PIECEWISE", **graphs}
    if settings.adapter is not None:
        architecture = _architecture(settings.model)
        # The class itself: for a name, vLLM starts a process that imports it to see what it can do.
        ModelRegistry.register_model(PREFIX + architecture, class_for(architecture))
        chosen |= {
            "hf_overrides": {"architectures": [PREFIX + architecture]},
            "logits_processors": ["engines.vllm.leanings:Leanings"],
            "worker_extension_cls": "engines.vllm.worker.FactsExtension",
            "additional_config": {CONFIG: {"adapter": settings.adapter}},
        }
    return LLMEngine.from_engine_args(EngineArgs(**chosen))


def _share_processors(chosen: dict[str, Any]) -> None:
    """Several workers on a machine with fewer memory nodes: by itself vLLM would refuse to start."""
    from vllm.utils import cpu_resource_utils

    workers = chosen.get("tensor_parallel_size", 1) * chosen.get("pipeline_parallel_size", 1)
    if workers <= max(1, len(cpu_resource_utils.get_visible_memory_node())):
        return
    os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", shares(sorted(os.sched_getaffinity(0)), workers))


def shares(processors: Sequence[int], workers: int) -> str:
    """As vLLM wants to be told: "0,2|1,3"; "nobind" where there are not enough for all."""
    if len(processors) < workers:
        return "nobind"
    return "|".join(",".join(map(str, processors[worker::workers])) for worker in range(workers))


def row_shape(settings: CoreSettings) -> tuple[int, int, int]:
    """Layers, KV heads, head dimension of this engine's rows."""
    if settings.adapter is None:
        return (0, 0, 0)
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(settings.model, local_files_only=True)
    heads = config.num_attention_heads
    kv_heads = getattr(config, "num_key_value_heads", None) or heads
    size = getattr(config, "head_dim", None) or config.hidden_size // heads
    return len(QueryMaps.read(Path(settings.adapter)).layers), kv_heads, size


def _architecture(model: str) -> str:
    from transformers import AutoConfig

    named = AutoConfig.from_pretrained(model, local_files_only=True).architectures or []
    found: str | None = next((name for name in named if name in SUPPORTED), None)
    if found is None:
        known = ", ".join(sorted(SUPPORTED))
        raise Refused("model", f"{', '.join(named) or 'no architecture'}: facts go into {known}")
    return found
