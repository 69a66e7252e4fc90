"""The model run edge by edge: every port reads the sum of what its sources say, or of what stands in for them.

A port's input is the residual stream less, for each edge that does not carry, the difference between what the
source says and its stand-in. So an untouched graph is the model itself, biases of output projections belong to no
node, and a source that is cut off from a port still says what it says to the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from circuits.discovery.graph import Graph, chunks
from circuits.discovery.ledger import Ledger
from circuits.interventions import Change, Part, Site, captured, replaced
from engines.architectures import ModelSpec

_FEW = 8  # edges' sources that are better summed one by one


@dataclass
class Wiring:
    """One forward's sources and ports. B rows, T positions; sources and ports come first, so that sums over sources
    are plain products of matrices."""

    spec: ModelSpec
    graph: Graph
    carries: Tensor | None  # [sources, ports], 0..1; None: every edge does
    stand_ins: Tensor | None  # [sources, .., hidden], broadcast to [sources, B, T, hidden]; None: nothing
    ports: dict[int, Tensor] = field(default_factory=dict)  # first port -> what it and its neighbours read
    _seen: dict[Site, Tensor] = field(default_factory=dict)
    _said: list[Tensor] = field(default_factory=list)  # by layer; and the embedding first

    @cached_property
    def _ledger(self) -> Ledger:
        return Ledger(self.graph.sources, self._shares)

    @cached_property
    def _shares(self) -> Tensor:
        """[sources]: the most of each that any port reads."""
        return torch.ones(self.graph.sources) if self.carries is None else self.carries.amax(1)

    def said(self) -> Tensor:
        """What the sources said: [sources, B, T, hidden]."""
        self._listen(self.graph.sources)
        return torch.cat(self._said)

    def differences(self) -> Tensor:
        """The same, less what stands in for it; without gradients."""
        self._listen(self.graph.sources)
        return self._ledger.table

    def read(self, ports: slice, residual: Tensor, before: int) -> Tensor | None:
        """What ports read, [ports, B, T, hidden], the first `before` sources being there; None where it is the
        residual stream and nobody asks for more."""
        carries = None if self.carries is None else self.carries[:before, ports].to(residual)
        is_cut = carries is not None and bool((carries != 1).any())
        if not is_cut and not torch.is_grad_enabled():
            return None
        found = residual.expand(ports.stop - ports.start, -1, -1, -1)
        if is_cut and carries is not None:
            self._listen(before)
            found = found + self._changes(carries)
        self.ports[ports.start] = found
        return found

    def _changes(self, carries: Tensor) -> Tensor:
        """To what ports read when every edge carries all, [ports, B, T, hidden]; carries [sources before, ports]."""
        cut, ledger, before = 1 - carries, self._ledger, len(carries)
        away, stays = cut.any(1).nonzero()[:, 0], carries.any(1).nonzero()[:, 0]
        if len(away) <= _FEW:
            return -ledger.mixed(cut, away)
        # What is carried is brought to what is there when nothing is.
        everything, shared = ledger.sums(before)
        reads = carries.any(0)
        if bool((carries[:, reads] == self._shares[:before, None].to(carries)).all()):
            return reads.to(shared)[:, None, None, None] * shared - everything
        if len(away) <= len(stays):
            return -ledger.mixed(cut, away)
        return ledger.mixed(carries, stays) - everything

    def _listen(self, count: int) -> None:
        """Until the first so many sources have been heard."""
        ledger = self._ledger
        while ledger.heard < count:
            said = self._next()
            own = slice(ledger.heard, ledger.heard + len(said))
            self._said.append(said)
            ledger.hear(said if self.stand_ins is None else said - self.stand_ins[own].to(said))

    def _next(self) -> Tensor:
        if not self._said:
            return self._seen[Site(Part.RESIDUAL, 0)][None]
        layer, is_mlp = divmod(len(self._said) - 1, 2)
        if is_mlp:
            return self._seen[Site(Part.MLP, layer)][None]
        return self._heads(layer)

    def _heads(self, layer: int) -> Tensor:
        wrote = by_head(self.spec, layer, self._seen[Site(Part.HEADS, layer)])
        scale = norm_scale(self.spec, layer, wrote, self._seen[Site(Part.ATTENTION, layer)])
        return wrote if scale is None else wrote * scale


def by_head(spec: ModelSpec, layer: int, read: Tensor) -> Tensor:
    """What each head writes, [heads, B, T, hidden], from what was read there; before a norm that may follow."""
    weight = spec.output_projection(layer).to(read)
    return torch.einsum("bthk,dhk->hbtd", read, weight.view(weight.shape[0], spec.heads, spec.head_dim))


def norm_scale(spec: ModelSpec, layer: int, wrote: Tensor, out: Tensor) -> Tensor | None:
    """Where a norm follows attention: what it multiplies by, [B, T, hidden], held as it was: linear, so that heads add
    up. out: what attention adds to the residual stream. wrote: [heads, B, T, hidden]."""
    name = spec.architecture.attention_out_norm
    if name is None:
        return None
    own: Tensor = spec.layers[layer].get_submodule(name).weight  # type: ignore[assignment]
    bias: Any = getattr(spec.output(layer), "bias", None)
    raw = wrote.sum(0) if bias is None else wrote.sum(0) + bias
    gain = own + spec.architecture.norm_offset
    whole = raw * gain
    # Nothing is scaled to nothing.
    size = (whole * whole).sum(-1, keepdim=True).clamp(min=torch.finfo(whole.dtype).tiny)
    return gain * (out * whole).sum(-1, keepdim=True) / size


@contextmanager
def wired(
    spec: ModelSpec,
    graph: Graph,
    carries: Tensor | None = None,
    stand_ins: Tensor | None = None,
    start: Callable[[Tensor], Tensor] | None = None,
) -> Iterator[Wiring]:
    """Within, a forward runs over these edges, and the wiring holds what passed. `start` changes the embedding.

    With gradients on, ports are part of the graph. One forward for each context.
    """
    wiring = Wiring(spec, graph, carries, stand_ins)
    sites = [Site(Part.RESIDUAL, layer) for layer in range(graph.layers)]
    for layer in range(graph.layers):
        sites += [Site(part, layer) for part in (Part.HEADS, Part.ATTENTION, Part.MLP)]

    def begin(passing: Tensor) -> Tensor:
        found = passing if start is None else start(passing)
        return found.detach().requires_grad_() if torch.is_grad_enabled() else found

    def end(passing: Tensor) -> Tensor:
        found = wiring.read(graph.output_port, passing, graph.sources)
        return passing if found is None else found[0]

    with ExitStack() as stack:
        stack.enter_context(replaced(spec, [Change(Site(Part.RESIDUAL, 0), begin)]))
        wiring._seen = stack.enter_context(captured(spec, sites))
        for layer in range(graph.layers):
            _wire_attention(wiring, layer, stack)
            _wire_mlp(wiring, layer, stack)
        stack.enter_context(replaced(spec, [Change(Site(Part.RESIDUAL, graph.layers), end)]))
        yield wiring


def _wire_attention(wiring: Wiring, layer: int, stack: ExitStack) -> None:
    spec, graph = wiring.spec, wiring.graph
    norm = spec.input_norm(layer)
    ports = graph.attention_ports(layer)
    # One computation for the layer's modules; the first to be called makes it.
    held: list[Tensor | None] = []

    def made(module: nn.Module, order: list[int], output: Tensor) -> Tensor | None:
        if not held:
            held.append(
                wiring.read(ports, wiring._seen[Site(Part.RESIDUAL, layer)], graph.before_attention(layer))
            )
        found = held[0]
        if found is None:
            return None
        weight = spec.weight_of(module)
        rows = weight.reshape(len(order), -1, weight.shape[1])
        in_one_piece = order == list(range(order[0], order[-1] + 1))
        own = found[order[0] : order[-1] + 1] if in_one_piece else found[order]
        projected = torch.einsum("nbtd,nkd->btnk", _apply(norm, own), rows)
        bias: Any = module.bias
        flat = projected.flatten(2)
        return flat if bias is None else flat + bias

    for module, order in zip(spec.qkv(layer), chunks(spec), strict=True):

        def hook(module: nn.Module, args: Any, output: Tensor, order: list[int] = order) -> Tensor | None:
            return made(module, order, output)

        stack.callback(module.register_forward_hook(hook).remove)


def _wire_mlp(wiring: Wiring, layer: int, stack: ExitStack) -> None:
    spec, graph = wiring.spec, wiring.graph

    def hook(module: nn.Module, args: tuple[Any, ...]) -> Any:
        residual = wiring._seen[Site(Part.RESIDUAL, layer)]
        if not graph.parallel:
            residual = residual + wiring._seen[Site(Part.ATTENTION, layer)]
        found = wiring.read(graph.mlp_port(layer), residual, graph.before_mlp(layer))
        return None if found is None else (_apply(spec.mlp_norm(layer), found[0]), *args[1:])

    stack.callback(spec.mlp(layer).register_forward_pre_hook(hook).remove)


def _apply(norm: nn.Module, passing: Tensor) -> Tensor:
    # Not by calling the module, which would call what is hooked to it.
    found: Tensor = norm.forward(passing)
    return found
