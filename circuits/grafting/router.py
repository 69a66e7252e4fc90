"""Parts of one model in another's place, at some positions of a forward.

Every grafted part works on each position by itself, so choosing its output by position is the same as running the
text token by token with one or the other's weights and a shared key/value cache: what attention reads of an earlier
position was made there, with that position's weights. Both models stay as they are, and nothing is copied.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from circuits.errors import InvalidIntervention
from engines.architectures import ModelSpec


class Component(enum.Enum):
    """Parts with weights. Together they are the whole model."""

    ATTENTION = "attention"  # query, key, value, and norms on them
    OUTPUT = "output"  # attention's output projection
    FFN = "ffn"  # the MLP
    NORMS = "norms"  # of the layers
    EMBEDDING = "embedding"  # of tokens, and of positions where they are learned
    HEAD = "head"  # the final norm and the language model's head


BY_LAYER = (Component.ATTENTION, Component.OUTPUT, Component.FFN, Component.NORMS)


@dataclass(frozen=True)
class Graft:
    """Components of a donor, at positions [B, T]; `layers`: of these layers only (None: all)."""

    donor: ModelSpec
    where: Tensor
    components: Collection[Component] = tuple(Component)
    layers: Collection[int] | None = None


@contextmanager
def grafted(spec: ModelSpec, grafts: Sequence[Graft]) -> Iterator[None]:
    """Within, these parts are the donors'. Where grafts meet, the last one holds. InvalidIntervention when a donor is
    not of the same shape."""
    with ExitStack() as stack:
        for graft in grafts:
            _check(spec, graft.donor)
            for component in graft.components:
                for own, other in zip(
                    _modules(spec, component, graft.layers),
                    _modules(graft.donor, component, graft.layers),
                    strict=True,
                ):
                    handle = own.register_forward_hook(_choosing(other, graft.where), with_kwargs=True)
                    stack.callback(handle.remove)
        yield


def _choosing(other: nn.Module, where: Tensor) -> Any:
    def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Tensor) -> Tensor:
        instead: Tensor = other(*args, **kwargs)
        there = where.to(output.device)
        at = _positions_in(args[0] if args else kwargs["hidden_states"], output, there.shape[1])
        shape = [1] * output.dim()
        shape[0], shape[at] = there.shape
        return torch.where(there.reshape(shape), instead, output)

    return hook


def _positions_in(read: Tensor, output: Tensor, length: int) -> int:
    """The dimension of the positions: the first, but in norms that some families apply to heads first."""
    found = [at for at in range(1, max(2, output.dim() - 1)) if output.shape[at] == length]
    if not found:
        raise InvalidIntervention(f"{length} positions chosen, the forward has {tuple(output.shape)}")
    # As many heads as positions: heads were cut out of each position's features, so they lie closer together.
    return max(found, key=read.stride)


def _modules(spec: ModelSpec, component: Component, layers: Collection[int] | None) -> list[nn.Module]:
    architecture = spec.architecture
    if component is Component.EMBEDDING:
        positions = architecture.positions
        return [spec.embedding, *([spec.model.get_submodule(positions)] if positions else [])]
    if component is Component.HEAD:
        return [spec.final_norm, spec.lm_head]
    found: list[nn.Module] = []
    for layer in range(len(spec.layers)) if layers is None else sorted(layers):
        attention, mlp, output = spec.attention(layer), spec.mlp(layer), spec.output(layer)
        if component is Component.OUTPUT:
            found.append(output)
        elif component is Component.FFN:
            found.append(mlp)
        elif component is Component.ATTENTION:
            found += [each for each in attention.children() if each is not output and _has_weights(each)]
        else:
            own = (attention, mlp)
            found += [
                each for each in spec.layers[layer].children() if each not in own and _has_weights(each)
            ]
    return found


def _has_weights(module: nn.Module) -> bool:
    return next(module.parameters(), None) is not None


def _check(spec: ModelSpec, donor: ModelSpec) -> None:
    if spec.model is donor.model:
        raise InvalidIntervention("a model has nothing to graft onto itself")
    shapes = [
        {name: tuple(each.shape) for name, each in model.named_parameters()}
        for model in (spec.model, donor.model)
    ]
    if spec.architecture != donor.architecture or shapes[0] != shapes[1]:
        raise InvalidIntervention("weights can be grafted between models of the same shape only")
