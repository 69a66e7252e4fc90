"""Layers that are not run: a forward that begins late, or ends early."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn

from engines.architectures import ModelSpec


@contextmanager
def bypassed(spec: ModelSpec, layers: Iterable[int]) -> Iterator[None]:
    """Within, these layers hand on what they read. `replaced` and `captured` work at the residual stream that they
    read; what else was hooked to them or is inside of them does not happen."""
    with ExitStack() as stack:
        for layer in layers:
            stack.callback(_pass_by(spec.layers[layer], spec.architecture.in_tuple))
        yield


def _pass_by(module: nn.Module, in_tuple: bool) -> Callable[[], None]:
    """What takes it back."""

    def hand_on(hidden_states: Tensor, *args: Any, **kwargs: Any) -> Any:
        return (hidden_states,) if in_tuple else hidden_states

    # Hooks come before and after a forward, which alone can be left out.
    before = module.__dict__.get("forward")
    module.forward = hand_on

    def restore() -> None:
        if before is None:
            del module.forward
        else:
            module.forward = before

    return restore
