"""Running only what a shift can reach gives the logits of running everything."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from editors.weights.hooks import shifted
from editors.weights.model import EditableModel
from editors.weights.request import EditRequest
from editors.weights.settled import settle
from editors.weights.texts import bare_subject, batch, taught
from engines.architectures import ARCHITECTURES

MIDDLE = EditRequest("Many people know that Tom Berg is from", "Tom Berg", "Oslo")
FIRST = EditRequest("U is in", "U", "Peru")  # a single token, with nothing before it


@pytest.mark.parametrize("kind", sorted(ARCHITECTURES))
@pytest.mark.parametrize(
    ("layer", "request_", "prefixes"), [(2, MIDDLE, ("Well", "")), (0, FIRST, ("",))], ids=["middle", "first"]
)
def test_logits_and_gradients(
    tiny: Callable[..., EditableModel],
    kind: str,
    layer: int,
    request_: EditRequest,
    prefixes: tuple[str, ...],
) -> None:
    editable = tiny(kind)
    texts = [taught(editable, request_, prefix) for prefix in prefixes]
    rows = batch([*texts, bare_subject(editable, request_)], editable.device)
    settled = settle(editable.model, rows, layer)
    assert (settled.start > 6) == (request_ is MIDDLE)
    assert (settled.start == 0) == (request_ is FIRST)
    for module in (editable.spec.mlp_down(layer), editable.spec.layers[layer]):
        results = []
        for short in (True, False):
            shift = torch.linspace(-1, 1, len(rows) * 40).view(len(rows), 40).requires_grad_(True)
            columns = rows.columns - settled.start if short else rows.columns
            with torch.enable_grad(), shifted(module, rows.rows, columns, shift):
                logits = (
                    settled.run(editable.model, 3)
                    if short
                    else editable.model(**rows.inputs, use_cache=False).logits[:, -3:]
                )
            (gradient,) = torch.autograd.grad(logits.square().sum(), [shift])
            results.append((logits.detach(), gradient))
        (logits, gradient), (whole_logits, whole_gradient) = results
        assert torch.allclose(logits, whole_logits, atol=2e-4)
        assert torch.allclose(gradient, whole_gradient, atol=1e-3, rtol=1e-3)
        assert gradient.abs().sum() > 0
