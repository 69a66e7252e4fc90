"""On GPUs: the context's log-sum-exp from FlashAttention itself, in the call that makes its output.

Where this works no key is kept a second time. Written from vLLM's source and not run: attention that it does not know
is left to the sums over kept keys, which know nothing of kernels.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

_VERSIONS = (2, 3)  # the fourth has page rules of its own


class FlashSums:
    """One layer's attention, asked for its logarithm as well."""

    def __init__(self, attention: Any) -> None:
        self._attention = attention

    @classmethod
    def of(cls, attention: Any) -> FlashSums | None:
        """None for an attention whose kernel does not say it, or does more than plain attention."""
        implementation = attention.impl
        plain = (
            type(implementation).__name__ == "FlashAttentionImpl"
            and implementation.vllm_flash_attn_version in _VERSIONS
            and implementation.alibi_slopes is None
            and implementation.sinks is None
            and implementation.dcp_world_size <= 1
        )
        return cls(attention) if plain else None

    def attend(self, query: Tensor, cache: Tensor, metadata: Any, output: Tensor) -> Tensor:
        """Fills the output as vLLM's own call would. Log-sum-exp [heads, tokens], of logits as they were scaled."""
        from vllm.utils.torch_utils import canonicalize_singleton_dim_strides
        from vllm.v1.attention.backends.fa_utils import flash_attn_varlen_func

        implementation, count = self._attention.impl, metadata.num_actual_tokens
        # [blocks, heads, block, 2 * head dim] -> [blocks, block, heads, head dim] twice
        halves = cache.transpose(1, 2).chunk(2, dim=-1)
        keys, values = map(canonicalize_singleton_dim_strides, halves)
        scales = (metadata.query_start_loc.shape[0] - 1, implementation.num_kv_heads)
        _, sums = flash_attn_varlen_func(
            q=query[:count],
            k=keys,
            v=values,
            out=output[:count],
            cu_seqlens_q=metadata.query_start_loc,
            max_seqlen_q=metadata.max_query_len,
            seqused_k=metadata.seq_lens,
            max_seqlen_k=metadata.max_seq_len,
            softmax_scale=implementation.scale,
            causal=True,
            window_size=list(implementation.sliding_window),
            block_table=metadata.block_table,
            softcap=implementation.logits_soft_cap,
            scheduler_metadata=metadata.scheduler_metadata,
            fa_version=implementation.vllm_flash_attn_version,
            k_descale=self._attention._k_scale.expand(scales),
            v_descale=self._attention._v_scale.expand(scales),
            num_splits=metadata.max_num_splits,
            return_softmax_lse=True,
        )
        lse: Tensor = sums
        return lse
