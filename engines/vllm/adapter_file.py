"""The part of an encoder that runs inside attention, as a file: how it crosses into vLLM's processes.

vLLM's environment need not have the encoder's code. What its workers need is one linear map per layer over the
normalised residual stream, and a bias per head.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from engines.contract import KVAdapter
from engines.errors import UnsupportedModel
from engines.words import Words

_TOLERANCE = 1e-4
_WORDS = "words"


@runtime_checkable
class LinearQueries(Protocol):
    """An adapter whose query is a linear map of the layer-normalised residual stream."""

    def linear_query(self, layer: int) -> tuple[Tensor, Tensor]:
        """Weight [heads * head dim, hidden] and bias [heads * head dim]."""
        ...


@dataclass(frozen=True)
class QueryMaps:
    """What `write` wrote, or one tensor-parallel rank's share of it."""

    digest: str
    layers: tuple[int, ...]
    weights: dict[int, Tensor]
    biases: dict[int, Tensor]
    head_biases: dict[int, Tensor]

    @classmethod
    def read(cls, path: Path) -> QueryMaps:
        """All heads, float32."""
        with safe_open(path, framework="pt") as file:
            stated = file.metadata()
            layers = tuple(int(layer) for layer in stated["layers"].split(","))

            def each(name: str) -> dict[int, Tensor]:
                return {layer: file.get_tensor(f"{name}.{layer}") for layer in layers}

            return cls(stated["digest"], layers, each("weight"), each("bias"), each("head_bias"))

    def heads(self, first: int, count: int, head_dim: int) -> QueryMaps:
        """Some query heads only."""
        rows = slice(first * head_dim, (first + count) * head_dim)

        def cut(parts: dict[int, Tensor], span: slice) -> dict[int, Tensor]:
            return {layer: part[span].contiguous() for layer, part in parts.items()}

        own = slice(first, first + count)
        return QueryMaps(
            self.digest,
            self.layers,
            cut(self.weights, rows),
            cut(self.biases, rows),
            cut(self.head_biases, own),
        )

    def to(self, device: torch.device) -> QueryMaps:
        """The same elsewhere."""

        def moved(parts: dict[int, Tensor]) -> dict[int, Tensor]:
            return {layer: part.to(device) for layer, part in parts.items()}

        return QueryMaps(
            self.digest, self.layers, moved(self.weights), moved(self.biases), moved(self.head_biases)
        )

    def query(self, layer: int, residual: Tensor) -> Tensor:
        """[positions, heads * head dim] from [positions, hidden]; float32, not rotated."""
        states = F.layer_norm(residual.float(), residual.shape[-1:])
        return F.linear(states, self.weights[layer], self.biases[layer])


def read_words(path: Path) -> Words:
    """Of the tokenizer that it was written with."""
    with safe_open(path, framework="pt") as file:
        return Words(file.get_tensor(_WORDS))


def write(adapter: KVAdapter, words: Words, path: Path) -> None:
    """UnsupportedModel when the adapter's query is no linear map, or is another than it says."""
    if not isinstance(adapter, LinearQueries):
        raise UnsupportedModel(f"{type(adapter).__name__} cannot run inside vLLM: its query is no linear map")
    tensors: dict[str, Tensor] = {_WORDS: words.table}
    for layer in adapter.layers:
        weight, bias = adapter.linear_query(layer)
        tensors[f"weight.{layer}"], tensors[f"bias.{layer}"] = _stored(weight), _stored(bias)
        tensors[f"head_bias.{layer}"] = _stored(adapter.head_bias(layer))
    metadata = {"digest": adapter.digest, "layers": ",".join(map(str, adapter.layers))}
    save_file(tensors, path, metadata)
    _check(adapter, QueryMaps.read(path))


def _stored(tensor: Tensor) -> Tensor:
    return tensor.detach().float().cpu().contiguous()


@torch.no_grad()
def _check(adapter: KVAdapter, maps: QueryMaps) -> None:
    """The adapter's own query and the file's must be the same function."""
    generator = torch.Generator().manual_seed(0)
    for layer in maps.layers:
        residual = torch.randn(1, 3, maps.weights[layer].shape[1], generator=generator) * 3
        own = adapter.query(layer, residual).float().cpu()[0].transpose(0, 1).flatten(1)
        if not torch.allclose(own, maps.query(layer, residual[0]), atol=_TOLERANCE, rtol=_TOLERANCE):
            raise UnsupportedModel(
                f"{type(adapter).__name__}: its query in layer {layer} is not the linear map"
            )
