"""Looking into a forward and changing what passes, without touching a weight. Every hook is gone at exit.

Nothing else may run the model meanwhile: hooks belong to the model, not to a thread.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class _Seen(Exception):
    """Ends a forward behind the last module that was wanted."""


@dataclass(frozen=True, slots=True)
class Passed:
    """What one module read and wrote in a forward."""

    read: Tensor
    wrote: Tensor


def forward_until(model: Any, modules: Sequence[nn.Module], **inputs: Tensor) -> list[Passed]:
    """Runs the model until all modules have been passed (later layers are not run); in the modules' order."""
    seen: dict[int, Passed] = {}

    def note(at: int) -> Any:
        def hook(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            seen[at] = Passed(args[0] if args else kwargs["hidden_states"], hidden_of(output))
            if len(seen) == len(modules):
                raise _Seen

        return hook

    with ExitStack() as stack:
        for at, module in enumerate(modules):
            handle = module.register_forward_hook(note(at), with_kwargs=True)
            stack.callback(handle.remove)
        with suppress(_Seen):
            model.base_model(**inputs, use_cache=False)
    return [seen[at] for at in range(len(modules))]


@contextmanager
def shifted(module: nn.Module, rows: Tensor, columns: Tensor, shift: Tensor) -> Iterator[None]:
    """Within, `shift[i]` is added to what the module writes at (rows[i], columns[i]). Differentiable."""

    def hook(module: nn.Module, args: Any, output: Any) -> Any:
        hidden = hidden_of(output)
        moved = hidden.index_put((rows, columns), shift.to(hidden.dtype), accumulate=True)
        return (moved, *output[1:]) if isinstance(output, tuple) else moved

    handle = module.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def reweighted(weights: Mapping[nn.Module, Tensor], rows: Tensor | None = None) -> Iterator[None]:
    """Within, these linear maps compute with other weights [out, in]; their own stay as they are. Differentiable.

    `rows`: a boolean for each row of the batch; the others see the map's own weight, to the bit.
    """

    def replaced(weight: Tensor) -> Any:
        def hook(module: nn.Module, args: Any, output: Tensor) -> Tensor:
            other = F.linear(args[0], weight.to(args[0]), module.bias)  # type: ignore[arg-type]
            if rows is None:
                return other
            chosen = rows.to(output.device).view(-1, *[1] * (output.dim() - 1))
            return torch.where(chosen, other, output)

        return hook

    with ExitStack() as stack:
        for module, weight in weights.items():
            stack.callback(module.register_forward_hook(replaced(weight)).remove)
        yield


def hidden_of(output: Any) -> Tensor:
    """The hidden states in what a module answers: some layers answer with a tuple."""
    hidden: Tensor = output[0] if isinstance(output, tuple) else output
    return hidden
