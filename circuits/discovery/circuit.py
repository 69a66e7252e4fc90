"""A choice of edges: what lies on no way from the input to the output is pruned; counted, and written as data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from circuits.discovery.graph import Graph


@dataclass(frozen=True)
class Circuit:
    """Edges of a graph, and what each is worth. kept, scores: [sources, ports]."""

    graph: Graph
    kept: Tensor
    scores: Tensor
    facts: Mapping[str, Any] = field(default_factory=dict)  # how it was found, for whoever reads the data

    @cached_property
    def nodes(self) -> Tensor:
        """[nodes]: those that say something to a kept edge, and the output if one ends there."""
        return torch.cat([self.kept.any(1), self.kept[:, self.graph.output_port].any()[None]])

    @property
    def node_count(self) -> int:
        """With input and output."""
        return int(self.nodes.sum())

    @property
    def edge_count(self) -> int:
        """Edges to a port that heads share count once."""
        return int(self.kept.sum())

    @property
    def nodes_share(self) -> float:
        """Of the graph's."""
        return self.node_count / self.graph.nodes

    @property
    def edges_share(self) -> float:
        """Of the graph's."""
        return self.edge_count / int(self.graph.possible.sum())

    @property
    def carries(self) -> Tensor:
        """For `running`."""
        return self.kept.float()

    @property
    def rest(self) -> Tensor:
        """The model without it, for `running`."""
        return (self.graph.possible & ~self.kept).float()

    def edges(self) -> Iterator[tuple[int, int, float]]:
        """Source, port and score, the strongest first."""
        found = [(int(s), int(p), float(self.scores[s, p])) for s, p in self.kept.nonzero()]
        yield from sorted(found, key=lambda edge: -abs(edge[2]))

    def as_json(self) -> dict[str, Any]:
        """Names of nodes and ports, scores, counts."""
        graph = self.graph
        return {
            **self.facts,
            "layers": graph.layers,
            "heads": graph.heads,
            "kv_heads": graph.kv_heads,
            "nodes_share": self.nodes_share,
            "edges_share": self.edges_share,
            "nodes": [graph.node_name(int(at)) for at in self.nodes.nonzero()],
            "edges": [
                {"from": graph.node_name(source), "to": graph.port_name(port), "score": score}
                for source, port, score in self.edges()
            ],
        }

    def as_dot(self) -> str:
        """Graphviz; heads that share a port have an edge each."""
        lines = ["digraph circuit {", "  rankdir=BT;"]
        lines += [f'  "{self.graph.node_name(int(at))}";' for at in self.nodes.nonzero()]
        for source, port, score in self.edges():
            for reader in self.readers(port):
                names = f'"{self.graph.node_name(source)}" -> "{self.graph.node_name(reader)}"'
                lines.append(f'  {names} [label="{self.graph.port_name(port)}", weight={score:.4g}];')
        return "\n".join([*lines, "}"]) + "\n"

    def readers(self, port: int) -> list[int]:
        """The circuit's nodes that read there."""
        return [int(at) for at in (self.graph.readers[port] & self.nodes).nonzero()]


def pruned(graph: Graph, kept: Tensor) -> Tensor:
    """Without edges that lie on no way from the input to the output."""
    kept = kept & graph.possible
    while True:
        alive = _spoken(graph, kept) & _heard(graph, kept)
        found = kept & alive[:-1, None] & (graph.readers & alive).any(1)
        if torch.equal(found, kept):
            return kept
        kept = found


def among(graph: Graph, nodes: Tensor) -> Tensor:
    """All edges between nodes [nodes]; input and output are always there."""
    chosen = nodes.clone()
    chosen[0] = chosen[-1] = True
    return pruned(graph, graph.possible & chosen[:-1, None] & (graph.readers & chosen).any(1))


def strongest(graph: Graph, scores: Tensor, count: int) -> Tensor:
    """The so many edges with the largest scores by size, pruned."""
    size = scores.abs().masked_fill(~graph.possible, -1).flatten()
    kept = torch.zeros_like(graph.possible).flatten()
    kept[size.topk(min(count, int(graph.possible.sum()))).indices] = True
    return pruned(graph, kept.view_as(graph.possible))


def above(graph: Graph, scores: Tensor, threshold: float) -> Tensor:
    """Edges worth at least so much, pruned."""
    return pruned(graph, graph.possible & (scores >= threshold))


def _spoken(graph: Graph, kept: Tensor) -> Tensor:
    """[nodes]: what the input reaches."""
    found = torch.zeros(graph.nodes, dtype=torch.bool)
    found[0] = True
    while True:
        ports = (kept & found[:-1, None]).any(0)
        more = found | (graph.readers & ports[:, None]).any(0)
        if torch.equal(more, found):
            return found
        found = more


def _heard(graph: Graph, kept: Tensor) -> Tensor:
    """[nodes]: what reaches the output."""
    found = torch.zeros(graph.nodes, dtype=torch.bool)
    found[-1] = True
    while True:
        ports = (graph.readers & found).any(1)
        more = found.clone()
        more[:-1] |= (kept & ports).any(1)
        if torch.equal(more, found):
            return found
        found = more
