"""One look inside a forward: how an object comes up from layer to layer, and which parts of the last token say it.

Direct contributions are to the new object's logit over the old one's, with the norms' scales as they are: the
parts of the residual stream then add up to the difference of the logits (but for the norm's own shift).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from editors.weights.hooks import Passed, forward_until
from editors.weights.model import EditableModel
from editors.weights.norms import through
from editors.weights.request import EditRequest
from editors.weights.texts import asked, batch

_TOP = 5


@dataclass(frozen=True, slots=True)
class Inside:
    """Of one prompt. `places`: 0 is the last token, 1 the subject's last."""

    ranks: Tensor  # [layers, places]: of the new object's first token by the logit lens; 1 is the likeliest
    probabilities: Tensor  # [layers, places]
    heads: Tensor  # [layers, heads]: direct contributions at the last token
    mlps: Tensor  # [layers]: of the MLPs, likewise
    parts: (
        Tensor  # [layers, heads, hidden]: what the heads write at the last token, seen through the final norm
    )

    def top_tokens(self, editable: EditableModel, layer: int, head: int) -> tuple[str, ...]:
        """What one head's output says most."""
        logits = self.parts[layer, head] @ editable.spec.weight_of(editable.spec.lm_head).float().T
        return editable.prompts.pieces(logits.topk(_TOP).indices.tolist())

    def says_most(self, editable: EditableModel, token: int) -> Tensor:
        """[layers, heads]: whether the token is among those that a head's output says most."""
        unembedding = editable.spec.weight_of(editable.spec.lm_head).float().T
        return torch.stack(
            [((heads @ unembedding).topk(_TOP).indices == token).any(-1) for heads in self.parts]
        )


@torch.no_grad()
def look_inside(
    editable: EditableModel, request: EditRequest, old: str, view: Callable[[], AbstractContextManager[None]]
) -> Inside:
    """One forward of the request's prompt, within `view`."""
    spec = editable.spec
    count = len(spec.layers)
    prompt = asked(editable, request)
    rows = batch([prompt], editable.device)
    norms = [norm for norm in map(spec.attention_out_norm, range(count)) if norm is not None]
    modules: list[nn.Module] = [
        *spec.layers,
        *(spec.output(layer) for layer in range(count)),
        *(spec.mlp_out_norm(layer) or spec.mlp_down(layer) for layer in range(count)),
        *norms,
        spec.final_norm,
    ]
    with view():
        passed = forward_until(editable.model, modules, **rows.inputs)
    new, other = (_first_token(editable, request.prompt, text) for text in (request.target, old))
    places = [-1, prompt.at]
    states = torch.stack([each.wrote[0, places] for each in passed[:count]])  # [layers, places, hidden]
    unembedding = spec.weight_of(spec.lm_head).float()
    # Within the view no weight of norm or head is changed: the lens is the same for all.
    logits = spec.lm_head(spec.final_norm(states)).float()
    cap = getattr(spec.model.config, "final_logit_softcapping", None)
    logits = cap * (logits / cap).tanh() if cap else logits
    ranks = (logits > logits[..., new : new + 1]).sum(-1) + 1
    said = logits.softmax(-1)[..., new]
    direction = unembedding[new] - unembedding[other]
    parts = torch.stack(
        [
            _by_head(spec.output_projection(at), passed[count + at].read[0, -1], spec.heads)
            for at in range(count)
        ]
    )
    if norms:
        behind = zip(norms, passed[3 * count : -1], parts, strict=True)
        parts = torch.stack([_through(norm, each, part) for norm, each, part in behind])
    mlps = torch.stack([each.wrote[0, -1].float() for each in passed[2 * count : 3 * count]])
    heads, mlps = (_through(spec.final_norm, passed[-1], written) for written in (parts, mlps))
    return Inside(
        ranks=ranks,
        probabilities=said,
        heads=heads @ direction,
        mlps=mlps @ direction,
        parts=heads,
    )


def median_ranks(seen: Sequence[Inside]) -> Tensor:
    """[layers, places] over prompts."""
    return torch.stack([each.ranks for each in seen]).double().quantile(0.5, dim=0)


def _first_token(editable: EditableModel, prompt: str, text: str) -> int:
    return editable.prompts.encode_pair(prompt, " " + text)[1][0]


def _by_head(projection: Tensor, read: Tensor, heads: int) -> Tensor:
    """[heads, hidden]: what each head writes."""
    split = read.float().view(heads, -1)
    return torch.einsum("hd,ohd->ho", split, projection.float().view(len(projection), heads, -1))


def _through(norm: nn.Module, passed: Passed, parts: Tensor) -> Tensor:
    """Parts of what the norm read at the last token."""
    return through(norm, passed.read[0, -1], passed.wrote[0, -1], parts)
