"""What an edit changes, as data: low-rank factors or whole differences, with digests from before and after.

Adding a change to a tensor gives the same bytes on every machine and with any number of threads: it is made of
element-wise multiplications and additions in float64 only, rounded once at the end.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from editors.weights.request import EditRequest


@dataclass(frozen=True, slots=True, eq=False)
class LowRank:
    """left [rows, rank] times right [rank, columns]."""

    left: Tensor
    right: Tensor

    def added_to(self, weight: Tensor) -> Tensor:
        """A new tensor of the weight's type."""
        total = weight.to(torch.float64, copy=True)
        left, right = self.left.to(total), self.right.to(total)
        for rank in range(left.shape[1]):
            # Two kernels on purpose: a fused multiply-add would round differently on other processors.
            total += torch.outer(left[:, rank], right[rank])
        return total.to(weight.dtype)

    def transposed(self) -> LowRank:
        """For a weight that is stored the other way round."""
        return LowRank(self.right.T, self.left.T)

    def tensors(self) -> dict[str, Tensor]:
        """For saving."""
        return {"left": self.left, "right": self.right}


@dataclass(frozen=True, slots=True, eq=False)
class Dense:
    """A difference for every weight."""

    difference: Tensor

    def added_to(self, weight: Tensor) -> Tensor:
        """A new tensor of the weight's type."""
        total = weight.to(torch.float64, copy=True)
        return (total + self.difference.to(total)).to(weight.dtype)

    def transposed(self) -> Dense:
        """For a weight that is stored the other way round."""
        return Dense(self.difference.T)

    def tensors(self) -> dict[str, Tensor]:
        """For saving."""
        return {"difference": self.difference}


Change = LowRank | Dense


@dataclass(frozen=True, slots=True, eq=False)
class TensorChange:
    """One parameter's change, in the layout in which the model stores it."""

    name: str  # of the parameter in the model
    change: Change
    before: str  # digest of the tensor that the change was computed for
    after: str  # digest of that tensor with the change


@dataclass(frozen=True, eq=False)
class Delta:
    """The result of an editor. Immutable; knows nothing of a model in memory."""

    method: str
    config: Mapping[str, Any]
    model_digest: str  # of the unedited model
    requests: tuple[EditRequest, ...]
    changes: tuple[TensorChange, ...]
    figures: Mapping[str, Any] = field(default_factory=dict)  # what the computation reports of itself

    @cached_property
    def digest(self) -> str:
        """Names the delta: what it was asked for and every byte of what it changes."""
        named = hashlib.sha256(json.dumps(self.described(), sort_keys=True).encode())
        for change in self.changes:
            for name, tensor in sorted(change.change.tensors().items()):
                named.update(f"{change.name}/{name}:{tensor_digest(tensor)}".encode())
        return named.hexdigest()[:32]

    def described(self) -> dict[str, Any]:
        """Everything but the tensors' values, in plain types."""
        return {
            "method": self.method,
            "config": dict(self.config),
            "model_digest": self.model_digest,
            "requests": [asdict(request) for request in self.requests],
            "tensors": [
                {"name": c.name, "kind": type(c.change).__name__, "before": c.before, "after": c.after}
                for c in self.changes
            ],
            "figures": dict(self.figures),
        }


def tensor_digest(tensor: Tensor) -> str:
    """Names type, shape and every byte."""
    data = tensor.detach().cpu().contiguous()
    named = hashlib.sha256(f"{data.dtype}:{tuple(data.shape)}\n".encode())
    named.update(data.reshape(-1).view(torch.uint8).numpy().data)
    return named.hexdigest()


def change_of(name: str, weight: Tensor, change: Change) -> TensorChange:
    """The change with the digests that it has on this weight. Low-rank factors are kept only while they are smaller."""
    if isinstance(change, LowRank):
        rows, columns = weight.shape
        if change.left.shape[1] * (rows + columns) >= rows * columns:
            change = Dense(change.left.double() @ change.right.double())
    stored = _stored(change)
    return TensorChange(name, stored, tensor_digest(weight), tensor_digest(stored.added_to(weight)))


def _stored(change: Change) -> Change:
    """As it is kept: float32, on the CPU, detached."""
    plain = {name: value.detach().float().cpu().contiguous() for name, value in change.tensors().items()}
    return type(change)(**plain)
