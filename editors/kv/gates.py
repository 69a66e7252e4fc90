"""Which heads have to look at facts? Hard-Concrete gates per layer and head, and encoders without the closed ones.

A gate shifts its head's bias by its own logarithm. An open gate (1) shifts it by nothing, so that the head does
what it did; a closed one (0) by -inf, so that the head's softmax is the one over its context alone. In between, a
fact's share is what it would be if only that part of it were there. In training gates are drawn at random, with
probability mass at exactly 0 and 1 (Louizos et al., 2018), so that the number of open ones has an expectation
with a gradient; at evaluation they are what they are without the noise.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from editors.kv.encoder import KVEncoder

_TEMPERATURE = 2 / 3
_LOW, _HIGH = -0.1, 1.1  # what the concrete distribution is stretched to before it is cut to 0..1
_FULLY_OPEN = 2.5  # a location from which the gate without noise is exactly 1

# Open heads of each layer.
Heads = Mapping[int, Sequence[int]]


class NothingOpen(ValueError):
    """All heads are closed: there is no encoder left."""


class HeadGates(nn.Module):
    """Gates [layers, heads]; all open at first."""

    noise: Tensor

    def __init__(self, layers: int, heads: int) -> None:
        super().__init__()
        self.location = nn.Parameter(torch.full((layers, heads), _FULLY_OPEN))
        self.register_buffer("noise", torch.zeros(layers, heads), persistent=False)

    def draw(self) -> None:
        """New noise, for training; the gates stay the same until the next draw."""
        uniform = torch.rand_like(self.noise).clamp(1e-6, 1 - 1e-6)
        self.noise = torch.logit(uniform)

    def values(self) -> Tensor:
        """0..1; with the noise of the last draw while training, without any at evaluation."""
        return self._cut((self.noise + self.location) / _TEMPERATURE) if self.training else self.settled()

    def settled(self) -> Tensor:
        """0..1, without noise."""
        return self._cut(self.location)

    @staticmethod
    def _cut(logits: Tensor) -> Tensor:
        return (torch.sigmoid(logits) * (_HIGH - _LOW) + _LOW).clamp(0.0, 1.0)

    def expected_open(self) -> Tensor:
        """The probability that a drawn gate is not 0, [layers, heads]; its sum is what is penalised."""
        return torch.sigmoid(self.location - _TEMPERATURE * math.log(-_LOW / _HIGH))


def _logs(gates: Tensor) -> Tensor:
    """What heads' biases are shifted by."""
    # Selected twice: a closed gate has no gradient, rather than 0 times infinity.
    is_open = gates > 0
    return torch.where(is_open, torch.where(is_open, gates, 1.0).log(), float("-inf"))


class GatedEncoder(KVEncoder):
    """An encoder with gates on its heads. It starts as a copy, without gates that the given one has."""

    def __init__(self, base: KVEncoder) -> None:
        super().__init__(base.config)
        own = base.state_dict()
        self.load_state_dict({name: own[name] for name in self.state_dict()})
        self.meaning.taught_as(base.meaning)
        self.digest = base.digest
        self.gates = HeadGates(len(base.config.layers), base.config.heads)
        self._places = {layer: place for place, layer in enumerate(base.config.layers)}

    def head_bias(self, layer: int) -> Tensor:
        """The encoder's own, shifted by the logarithm of the gates."""
        return super().head_bias(layer) + _logs(self.gates.values()[self._places[layer]])

    def settled_bias(self, layer: int) -> Tensor:
        """`head_bias` as it is at evaluation, whatever is being done."""
        return super().head_bias(layer) + _logs(self.gates.settled()[self._places[layer]])

    def open_heads(self) -> dict[int, tuple[int, ...]]:
        """The heads whose gates are not 0 at evaluation; layers without any are left out."""
        with torch.no_grad():
            is_open = (self.gates.settled() > 0).tolist()
        table = {
            layer: tuple(head for head, opened in enumerate(row) if opened)
            for layer, row in zip(self.config.layers, is_open, strict=True)
        }
        return {layer: heads for layer, heads in table.items() if heads}

    @torch.no_grad()
    def keep_only(self, heads: Heads) -> None:
        """Gates become exactly 1 for these heads and 0 for all others; for comparisons and for training on."""
        self.gates.location.fill_(-math.inf)
        for layer, chosen in heads.items():
            self.gates.location[self._places[layer], list(chosen)] = math.inf


@torch.no_grad()
def pruned(gated: GatedEncoder) -> KVEncoder:
    """A plain encoder that does what the gated one does at evaluation, and runs wherever encoders run.

    Closed heads have a bias of -inf. Layers without an open head are gone, and with them their part of every fact's
    tokens. NothingOpen when no head is left.
    """
    kept = tuple(gated.open_heads())
    if not kept:
        raise NothingOpen("every head's gate is closed: train with a smaller penalty")
    encoder = KVEncoder(replace(gated.config, layers=kept))
    own = gated.state_dict()
    encoder.load_state_dict({name: own[name] for name in encoder.state_dict()})
    for layer in kept:
        encoder.bias[str(layer)].copy_(gated.settled_bias(layer))
    encoder.meaning.taught_as(gated.meaning)
    return encoder.eval().requires_grad_(False)
