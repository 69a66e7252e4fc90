"""What a model looks like before and after it was studied: hooks, replaced methods, settings, weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


def traces(model: Any) -> list[str]:
    """Everything on the model that an intervention may have left."""
    found = [f"attention implementation {model.config._attn_implementation}"]
    for name, module in model.named_modules():
        for kind in ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks"):
            found += [f"{name}: {kind}"] * len(getattr(module, kind))
        found += [
            f"{name}: {key}"
            for key in module.__dict__
            if key.startswith("_interleaf") or key in ("_attn", "forward")
        ]
    return found


@contextmanager
def stays_as_it_is(model: Any) -> Iterator[None]:
    """Within, whatever happens to the model is gone at the end, and its weights are the same bytes."""
    before, weights = traces(model), {name: each.clone() for name, each in model.state_dict().items()}
    try:
        yield
    finally:
        assert traces(model) == before
        after = model.state_dict()
        assert all(torch.equal(weights[name], after[name]) for name in weights)
        assert all(each.grad is None and not each.requires_grad for each in model.parameters())
