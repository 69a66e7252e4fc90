"""Layers and heads that do not read injected facts."""

from __future__ import annotations

from collections.abc import Collection

from torch import Tensor

from circuits.interventions.sites import Head
from engines.contract import KVAdapter


def muted(adapter: KVAdapter, heads: Collection[Head]) -> KVAdapter:
    """The adapter, with these heads blind to facts: to be injected with instead.

    Their attention to the context is what it would be without facts.
    """
    return _Muted(adapter, frozenset(heads))


class _Muted:
    def __init__(self, adapter: KVAdapter, heads: frozenset[Head]) -> None:
        self._adapter, self._heads = adapter, heads

    @property
    def layers(self) -> tuple[int, ...]:
        """The adapter's."""
        return self._adapter.layers

    @property
    def digest(self) -> str:
        """The adapter's: the tokens are the same."""
        return self._adapter.digest

    def query(self, layer: int, residual: Tensor) -> Tensor:
        """The adapter's."""
        return self._adapter.query(layer, residual)

    def head_bias(self, layer: int) -> Tensor:
        """The adapter's; lowest for the muted."""
        bias = self._adapter.head_bias(layer)
        chosen = [each.head for each in self._heads if each.layer == layer]
        if not chosen:
            return bias
        muted_bias = bias.clone()
        muted_bias[chosen] = float("-inf")
        return muted_bias
