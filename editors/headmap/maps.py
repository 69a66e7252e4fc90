"""Side maps: some columns of what a layer's attention heads write go through r dimensions and are added again.

With the columns of located heads this is HeadMap's enhancement; with all columns it is LoRA on the attention's output
projection, with which it is compared at the same number of parameters. There is no non-linearity; the second map
begins at zero, so that an untrained one changes nothing.
"""

from __future__ import annotations

import enum
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from editors.weights.hooks import hidden_of
from engines.architectures import ModelSpec


class Where(enum.Enum):
    """What the maps' output is added to."""

    ATTENTION = "attention"  # the attention's output
    LAYER = "layer"  # the layer's output, behind the MLP


@dataclass(frozen=True, slots=True)
class MapsConfig:
    """`columns` by layer: which of the output projection's inputs are read. `bias`: HeadMap has one, LoRA none."""

    columns: Mapping[int, tuple[int, ...]]
    rank: int
    hidden: int
    scaling: float = 1.0
    where: Where = Where.ATTENTION
    bias: bool = True

    def to_json(self) -> dict[str, Any]:
        """Plain types."""
        plain = asdict(self)
        plain["columns"] = {str(layer): list(columns) for layer, columns in self.columns.items()}
        return {**plain, "where": self.where.value}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> MapsConfig:
        """Inverse of `to_json`."""
        columns = {int(layer): tuple(chosen) for layer, chosen in data["columns"].items()}
        return cls(**{**data, "columns": columns, "where": Where(data["where"])})


class SideMaps(nn.Module):
    """The trainable part. The model stays frozen."""

    def __init__(self, config: MapsConfig) -> None:
        super().__init__()
        self.config = config
        self._silent = threading.local()
        self.down = nn.ModuleDict()
        self.up = nn.ModuleDict()
        for layer, columns in sorted(config.columns.items()):
            self.down[str(layer)] = nn.Linear(len(columns), config.rank, bias=config.bias)
            up = nn.Linear(config.rank, config.hidden, bias=config.bias)
            nn.init.zeros_(up.weight)
            if config.bias:
                nn.init.zeros_(up.bias)
            self.up[str(layer)] = up
            self.register_buffer(f"columns_{layer}", torch.tensor(columns), persistent=False)

    @property
    def parameters_count(self) -> int:
        """How many numbers are trained."""
        return sum(parameter.numel() for parameter in self.parameters())

    def added(self, layer: int, heads: Tensor) -> Tensor:
        """For what the layer's heads wrote, concatenated: [.., heads * head dim] to [.., hidden]."""
        columns = self.get_buffer(f"columns_{layer}")
        # Trained in float32, whatever the model computes in.
        added: Tensor = self.up[str(layer)](self.down[str(layer)](heads[..., columns].float()))
        return self.config.scaling * added

    @property
    def are_silent(self) -> bool:
        """For this thread's forwards."""
        return bool(getattr(self._silent, "now", False))

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Within, this thread's forwards are as if the maps were not attached."""
        before = self.are_silent
        self._silent.now = True
        try:
            yield
        finally:
            self._silent.now = before


@contextmanager
def attached(spec: ModelSpec, maps: SideMaps) -> Iterator[None]:
    """Within, forwards have the maps in them; facts that are injected go through them too. Nothing is left behind."""
    with attach(spec, maps):
        yield


def attach(spec: ModelSpec, maps: SideMaps) -> ExitStack:
    """The same until the stack is closed."""
    # Modules that share these weights in another thread have copies of the hooks.
    waiting: dict[tuple[int, int], Tensor] = {}

    def on_output(layer: int) -> Any:
        def hook(module: nn.Module, args: Any, output: Tensor) -> Tensor | None:
            if maps.are_silent:
                return None
            added = maps.added(layer, args[0])
            if maps.config.where is Where.LAYER:
                waiting[layer, threading.get_ident()] = added
                return None
            return output + added.to(output)

        return hook

    def before_layer(layer: int) -> Any:
        # A forward that broke off between the two left behind what this one must not add.
        def hook(module: nn.Module, args: Any) -> None:
            waiting.pop((layer, threading.get_ident()), None)

        return hook

    def on_layer(layer: int) -> Any:
        def hook(module: nn.Module, args: Any, output: Any) -> Any:
            added = waiting.pop((layer, threading.get_ident()), None)
            # Silent, or a layer that is passed by: its hooks are called, its attention is not.
            if added is None:
                return None
            hidden = hidden_of(output)
            moved = hidden + added.to(hidden)
            return (moved, *output[1:]) if isinstance(output, tuple) else moved

        return hook

    with ExitStack() as undo:
        for layer in maps.config.columns:
            undo.callback(spec.output(layer).register_forward_hook(on_output(layer)).remove)
            if maps.config.where is Where.LAYER:
                undo.callback(spec.layers[layer].register_forward_pre_hook(before_layer(layer)).remove)
                undo.callback(spec.layers[layer].register_forward_hook(on_layer(layer)).remove)
        return undo.pop_all()


def headmap(
    spec: ModelSpec,
    located: Mapping[int, Sequence[int]],
    rank: int,
    *,
    scaling: float = 1.0,
    where: Where = Where.ATTENTION,
) -> SideMaps:
    """Maps over located heads, by layer. ValueError for a layer or head that the model does not have."""
    columns: dict[int, tuple[int, ...]] = {}
    for layer, heads in located.items():
        if not 0 <= layer < len(spec.layers) or not all(0 <= head < spec.heads for head in heads):
            raise ValueError(f"layer {layer} with heads {list(heads)} is not within the model")
        if heads:
            columns[layer] = tuple(
                head * spec.head_dim + at for head in sorted(set(heads)) for at in range(spec.head_dim)
            )
    return SideMaps(MapsConfig(columns, rank, spec.hidden, scaling, where))


def lora_beside(spec: ModelSpec, maps: SideMaps) -> SideMaps:
    """LoRA on the output projections of the same layers, with as many parameters as fit in those of `maps`."""
    width = spec.heads * spec.head_dim
    layers = list(maps.config.columns)
    rank = max(1, maps.parameters_count // (len(layers) * (width + spec.hidden)))
    columns = {layer: tuple(range(width)) for layer in layers}
    return SideMaps(MapsConfig(columns, rank, spec.hidden, maps.config.scaling, Where.ATTENTION, bias=False))
