"""Names of the places in a model where something passes, the same for every family."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from torch import nn

from circuits.errors import InvalidIntervention
from engines.architectures import ModelSpec


class Part(enum.Enum):
    """What passes there, of a layer. B rows, T positions."""

    RESIDUAL = (
        "residual"  # what the layer reads [B, T, hidden]; layer = layer count: what the final norm reads
    )
    HEADS = "heads"  # what each head read, before the output projection [B, T, heads, head dim]
    ATTENTION = (
        "attention"  # what attention adds to the residual stream [B, T, hidden], its bias and norm included
    )
    MLP = "mlp"  # what the MLP adds to the residual stream [B, T, hidden], its bias and norm included


@dataclass(frozen=True, slots=True)
class Site:
    """A place in a model."""

    part: Part
    layer: int

    def __str__(self) -> str:
        return f"{self.part.value}{self.layer}"


@dataclass(frozen=True, slots=True, order=True)
class Head:
    """One attention (query) head."""

    layer: int
    head: int

    def __str__(self) -> str:
        return f"L{self.layer}H{self.head}"


Node = Head | Site


def module_at(spec: ModelSpec, site: Site) -> tuple[nn.Module, bool]:
    """The module, and whether the site is what it reads (else: what it writes)."""
    architecture, layer = spec.architecture, site.layer
    count = len(spec.layers)
    last = count if site.part is Part.RESIDUAL else count - 1
    if not 0 <= layer <= last:
        raise InvalidIntervention(f"{site}: the model has layers 0 to {count - 1}")
    if site.part is Part.RESIDUAL:
        return (spec.final_norm if layer == count else spec.layers[layer]), True
    if site.part is Part.HEADS:
        return spec.output(layer), True
    if site.part is Part.ATTENTION:
        norm, own = architecture.attention_out_norm, spec.attention(layer)
    else:
        norm, own = architecture.mlp_out_norm, spec.mlp(layer)
    return (spec.layers[layer].get_submodule(norm) if norm else own), False
