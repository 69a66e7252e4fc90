"""A model as a graph: what is said by nodes is read at ports.

Nodes are the input embedding, heads, MLPs and the output. A head reads at three ports (query, key, value); where
heads share keys and values (GQA), they share these ports. An edge joins a node to a port that comes after it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from circuits.interventions import Head, Node, Part, Site
from engines.architectures import ModelSpec, Projections


@dataclass(frozen=True)
class Graph:
    """Numbers of nodes that say something (sources) and of ports.

    Source 0 is the embedding; then each layer's heads and its MLP. Ports of a layer: its queries, keys, values and
    the MLP's; the last port is the output's.
    """

    layers: int
    heads: int
    kv_heads: int
    parallel: bool  # attention and MLP of a layer read the same

    @classmethod
    def of(cls, spec: ModelSpec) -> Graph:
        """The model's."""
        return cls(len(spec.layers), spec.heads, spec.kv_heads, spec.parallel)

    @property
    def sources(self) -> int:
        """How many nodes say something."""
        return 1 + self.layers * (self.heads + 1)

    @property
    def nodes(self) -> int:
        """With the output, which says nothing."""
        return self.sources + 1

    @property
    def of_layer(self) -> int:
        """Ports of one layer."""
        return self.heads + 2 * self.kv_heads + 1

    @property
    def ports(self) -> int:
        """How many places there are to read at."""
        return self.layers * self.of_layer + 1

    def head(self, layer: int, head: int) -> int:
        """Its number as a source."""
        return 1 + layer * (self.heads + 1) + head

    def mlp(self, layer: int) -> int:
        """Its number as a source."""
        return self.head(layer, self.heads)

    def attention_ports(self, layer: int) -> slice:
        """Queries, keys, values."""
        first = layer * self.of_layer
        return slice(first, first + self.of_layer - 1)

    def mlp_port(self, layer: int) -> slice:
        """One port."""
        last = (layer + 1) * self.of_layer
        return slice(last - 1, last)

    @property
    def output_port(self) -> slice:
        """One port."""
        return slice(self.ports - 1, self.ports)

    def before_attention(self, layer: int) -> int:
        """How many sources the layer's attention can read: the first so many."""
        return self.head(layer, 0)

    def before_mlp(self, layer: int) -> int:
        """How many sources the layer's MLP can read."""
        return self.head(layer, 0) if self.parallel else self.mlp(layer)

    @cached_property
    def possible(self) -> Tensor:
        """[sources, ports]: the edges that there are."""
        found = torch.zeros(self.sources, self.ports, dtype=torch.bool)
        for layer in range(self.layers):
            found[: self.before_attention(layer), self.attention_ports(layer)] = True
            found[: self.before_mlp(layer), self.mlp_port(layer)] = True
        found[:, self.output_port] = True
        return found

    @cached_property
    def readers(self) -> Tensor:
        """[ports, nodes]: which nodes read at a port."""
        found = torch.zeros(self.ports, self.nodes, dtype=torch.bool)
        shared = self.heads // self.kv_heads
        for layer in range(self.layers):
            first = layer * self.of_layer
            for head in range(self.heads):
                for port in (head, self.heads + head // shared, self.heads + self.kv_heads + head // shared):
                    found[first + port, self.head(layer, head)] = True
            found[self.mlp_port(layer), self.mlp(layer)] = True
        found[self.output_port, self.nodes - 1] = True
        return found

    def node(self, number: int) -> Node:
        """What a number stands for; the embedding and the output are the first and the last residual."""
        if number == 0 or number == self.sources:
            return Site(Part.RESIDUAL, 0 if number == 0 else self.layers)
        layer, rest = divmod(number - 1, self.heads + 1)
        return Site(Part.MLP, layer) if rest == self.heads else Head(layer, rest)

    def node_name(self, number: int) -> str:
        """`input`, `L3H1`, `MLP3`, `output`."""
        node = self.node(number)
        if isinstance(node, Head):
            return str(node)
        if node.part is Part.MLP:
            return f"MLP{node.layer}"
        return "input" if number == 0 else "output"

    def port_name(self, port: int) -> str:
        """`L3H1.q`, `L3G0.k` for the keys of the first group of heads, `MLP3`, `output`."""
        if port == self.ports - 1:
            return "output"
        layer, rest = divmod(port, self.of_layer)
        if rest == self.of_layer - 1:
            return f"MLP{layer}"
        if rest < self.heads:
            return f"L{layer}H{rest}.q"
        group = rest - self.heads
        letter, group = ("k", group) if group < self.kv_heads else ("v", group - self.kv_heads)
        return f"L{layer}{'H' if self.kv_heads == self.heads else 'G'}{group}.{letter}"


def chunks(spec: ModelSpec) -> list[list[int]]:
    """For each module of query, key and value: the ports, in a layer's order, that its output is made of, head by
    head."""
    queries, groups = list(range(spec.heads)), spec.kv_heads
    keys = [spec.heads + group for group in range(groups)]
    values = [spec.heads + groups + group for group in range(groups)]
    if spec.architecture.projections is Projections.SPLIT:
        return [queries, keys, values]
    if spec.architecture.projections is Projections.BLOCKS:
        return [queries + keys + values]
    return [[port for three in zip(queries, keys, values, strict=True) for port in three]]
