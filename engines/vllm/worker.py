"""What the engine's process asks of vLLM's workers (`worker_extension_cls`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor

from engines.vllm.model import FACTS

if TYPE_CHECKING:
    from engines.vllm.model_facts import ModelFacts
    from engines.vllm.plan import Attention


class FactsExtension:
    """Mixed into vLLM's worker; methods are called by name on every worker."""

    model_runner: Any

    def interleaf_put(self, first: int, keys: Tensor, values: Tensor) -> None:
        """A row of all KV heads; this worker keeps its own."""
        facts = self._facts()
        heads = facts.kv_heads_of(keys.shape[2])
        facts.put(first, keys[:, :, heads], values[:, :, heads])

    def interleaf_attention(self) -> list[Attention]:
        """What facts drew since the last call, of this worker's heads."""
        return self._facts().take_attention()

    def interleaf_forget(self, names: list[str]) -> None:
        """Requests that have ended."""
        self._facts().forget(names)

    def _facts(self) -> ModelFacts:
        facts: ModelFacts = self.model_runner.get_model().__dict__[FACTS]
        return facts
