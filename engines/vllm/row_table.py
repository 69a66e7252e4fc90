"""The tokens of facts in a worker's memory, by slot. Which slots belong to which fact is the ledger's business."""

from __future__ import annotations

import torch
from torch import Tensor

_FIRST = 1024  # slots to begin with; doubled as they are needed


class RowTable:
    """One slot holds one token of every adapter layer: key and value per KV head of this worker.

    A fact takes as many neighbouring slots as it has tokens.
    """

    def __init__(
        self, layers: int, kv_heads: int, head_dim: int, device: torch.device, dtype: torch.dtype
    ) -> None:
        self.keys = torch.zeros(layers, kv_heads, 0, head_dim, device=device, dtype=dtype)
        self.values = torch.zeros_like(self.keys)

    def put(self, first: int, keys: Tensor, values: Tensor) -> None:
        """Fills slots from `first` on with [layers, tokens, kv heads, head dim]."""
        self._reach(first + keys.shape[1])
        span = slice(first, first + keys.shape[1])
        self.keys[:, :, span] = keys.transpose(1, 2).to(self.keys)
        self.values[:, :, span] = values.transpose(1, 2).to(self.values)

    def gather(self, slots: Tensor) -> tuple[Tensor, Tensor]:
        """Of slots [requests, tokens], float32: keys [layers, kv heads * requests, head dim, tokens], as products with
        them are quickest, and values [layers, kv heads * requests, tokens, head dim]."""
        shape = (self.keys.shape[0], -1, slots.shape[1], self.keys.shape[3])
        keys, values = (
            held.index_select(2, slots.flatten()).view(shape) for held in (self.keys, self.values)
        )
        return keys.transpose(2, 3).float().contiguous(), values.float()

    def _reach(self, slots: int) -> None:
        held = self.keys.shape[2]
        if slots <= held:
            return
        size = max(_FIRST, held)
        while size < slots:
            size *= 2
        for name in ("keys", "values"):
            old: Tensor = getattr(self, name)
            new = old.new_zeros(*old.shape[:2], size, old.shape[3])
            new[:, :, :held] = old
            setattr(self, name, new)
