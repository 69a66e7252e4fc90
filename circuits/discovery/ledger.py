"""What sources say beyond their stand-ins, in one table, and sums over it.

Where every port that reads at all reads the same sources in the same shares, one running sum serves all of them. In
general, every port reads a sum of its own over nearly all sources before it. Left to autograd, each of these hundreds
of sums would gather a gradient for every source. So gradients are gathered in a table too, in place: a sum adds to it
on the way back, and a source takes its rows when no sum is left that could. The order is kept by a token that goes
from source to source and into every sum.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass
class _Tables:
    """What goes back as well as what goes forth. Apart from the ledger, since the graph of a pass holds it: the ledger
    holds the graph, and what holds itself is never freed."""

    said: Tensor  # [sources, B * T * hidden]
    slopes: Tensor | None = None

    def gathered(self) -> Tensor:
        """Of the same shape."""
        if self.slopes is None:
            self.slopes = torch.zeros_like(self.said)
        return self.slopes


class Ledger:
    """Rows are sources, in order. For one forward, and at most one backward.

    shares: [sources], what of each goes into the running sum beside the plain one.
    """

    def __init__(self, sources: int, shares: Tensor) -> None:
        self._sources, self._weights = sources, shares
        self._shape: tuple[int, ...] = ()  # of what one source says: [B, T, hidden]
        self._tables, self._token = _Tables(torch.empty(0)), torch.empty(0)
        self._sums: dict[int, tuple[Tensor, Tensor]] = {}  # by how many sources; plain, and by shares
        self.heard = 0

    @property
    def table(self) -> Tensor:
        """What has been heard: [sources, B, T, hidden], without gradients."""
        return self._tables.said[: self.heard].view(-1, *self._shape)

    def hear(self, differences: Tensor) -> None:
        """The next sources, [sources, B, T, hidden]."""
        if not self._shape:
            self._shape = tuple(differences.shape[1:])
            self._tables = _Tables(differences.new_empty(self._sources, math.prod(self._shape)))
            self._token = differences.new_zeros(1)
        own = self._weights[self.heard : self.heard + len(differences)].to(differences)
        sums = differences.sum(0), torch.tensordot(own, differences, 1)
        before = self._sums.get(self.heard)
        self._token = _Hear.apply(self._tables, self.heard, differences, self._token)  # type: ignore[no-untyped-call]
        self.heard += len(differences)
        self._sums[self.heard] = sums if before is None else (before[0] + sums[0], before[1] + sums[1])

    def sums(self, count: int) -> tuple[Tensor, Tensor]:
        """Of the first so many sources, where those that came together end: plain, and by shares; [B, T, hidden]."""
        return self._sums[count]

    def mixed(self, shares: Tensor, rows: Tensor) -> Tensor:
        """Sums [ports, B, T, hidden] over rows, weighed by shares [sources before the ports, ports]."""
        # A table read whole is faster than one picked apart.
        picked = None if 2 * len(rows) > len(shares) else rows
        own = shares if picked is None else shares[rows]
        mixed: Tensor = _Mix.apply(self._tables, own, picked, self._token)  # type: ignore[no-untyped-call]
        return mixed.view(-1, *self._shape)


class _Hear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tables: _Tables, start: int, differences: Tensor, token: Tensor) -> Tensor:
        tables.said[start : start + len(differences)] = differences.flatten(1)
        ctx.tables, ctx.start, ctx.shape = tables, start, differences.shape
        return token.clone()

    @staticmethod
    def backward(ctx: Any, token: Tensor) -> tuple[None, None, Tensor, Tensor]:
        rows = ctx.tables.gathered()[ctx.start : ctx.start + ctx.shape[0]]
        return None, None, rows.view(ctx.shape), token


class _Mix(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tables: _Tables, shares: Tensor, rows: Tensor | None, token: Tensor) -> Tensor:
        ctx.tables, ctx.shares, ctx.rows = tables, shares, rows
        return shares.T @ (tables.said[: len(shares)] if rows is None else tables.said[rows])

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[None, None, None, Tensor]:
        gathered = ctx.tables.gathered()
        if ctx.rows is None:
            gathered[: len(ctx.shares)].addmm_(ctx.shares, slope)
        else:
            gathered.index_add_(0, ctx.rows, ctx.shares @ slope)
        return None, None, None, slope.new_zeros(1)
