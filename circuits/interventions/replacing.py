"""Noting what passes at sites, and putting something else in its place."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from circuits.errors import InvalidIntervention
from circuits.interventions.sites import Part, Site, module_at
from engines.architectures import ModelSpec

_Edit = Callable[[Tensor], Tensor | None]  # None: nothing is changed


@dataclass(frozen=True, slots=True)
class Change:
    """What is to pass at a site instead.

    value: broadcast to what passes there ([B, T, hidden], for heads [B, T, heads, head dim]), or a function of it.
    where: which of it is replaced, a boolean broadcast to [B, T] (heads: to [B, T, heads]); None: all.
    """

    site: Site
    value: Tensor | Callable[[Tensor], Tensor]
    where: Tensor | None = None

    def made_to(self, passing: Tensor) -> Tensor:
        """What passes with the change made."""
        value = self.value(passing) if callable(self.value) else self.value
        value = value.to(passing)
        if self.where is None:
            return value.expand_as(passing)
        return torch.where(self.where.to(passing.device)[..., None], value, passing)


@contextmanager
def captured(spec: ModelSpec, sites: Iterable[Site]) -> Iterator[dict[Site, Tensor]]:
    """What passed at these sites in the last forward, part of its graph when gradients are on.

    Sees what `replaced` contexts entered before have made of it.
    """
    seen: dict[Site, Tensor] = {}

    def note(site: Site) -> _Edit:
        def keep(passing: Tensor) -> Tensor | None:
            seen[site] = passing
            # With gradients on, the model goes on from the very tensor that the caller gets.
            return passing if torch.is_grad_enabled() else None

        return keep

    with ExitStack() as stack:
        for site in dict.fromkeys(sites):
            stack.callback(_hooked(spec, site, note(site)).remove)
        yield seen


@contextmanager
def replaced(spec: ModelSpec, changes: Sequence[Change]) -> Iterator[None]:
    """Within, something else passes at these sites. Changes of one site are made in their order. Differentiable."""
    of_site: dict[Site, list[Change]] = defaultdict(list)
    for change in changes:
        of_site[change.site].append(change)

    def make(mine: Sequence[Change]) -> _Edit:
        def edit(passing: Tensor) -> Tensor:
            for change in mine:
                try:
                    passing = change.made_to(passing)
                except RuntimeError as error:
                    raise InvalidIntervention(f"{change.site}: {error}") from error
            return passing

        return edit

    with ExitStack() as stack:
        for site, mine in of_site.items():
            stack.callback(_hooked(spec, site, make(mine)).remove)
        yield


def _hooked(spec: ModelSpec, site: Site, edit: _Edit) -> RemovableHandle:
    module, is_read = module_at(spec, site)
    shape = (spec.heads, spec.head_dim) if site.part is Part.HEADS else None

    def edited(tensor: Tensor) -> Tensor | None:
        if shape is None:
            return edit(tensor)
        changed = edit(tensor.view(*tensor.shape[:-1], *shape))
        return None if changed is None else changed.reshape(tensor.shape)

    if is_read:
        return module.register_forward_pre_hook(_reading(edited), with_kwargs=True)
    return module.register_forward_hook(_writing(edited))


def _reading(edited: _Edit) -> Callable[..., Any]:
    def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if args:
            changed = edited(args[0])
            return None if changed is None else ((changed, *args[1:]), kwargs)
        changed = edited(kwargs["hidden_states"])
        return None if changed is None else (args, {**kwargs, "hidden_states": changed})

    return hook


def _writing(edited: _Edit) -> Callable[..., Any]:
    def hook(module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        is_tuple = isinstance(output, tuple)
        changed = edited(output[0] if is_tuple else output)
        if changed is None:
            return None
        return (changed, *output[1:]) if is_tuple else changed

    return hook
