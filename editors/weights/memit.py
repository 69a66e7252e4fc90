"""MEMIT: many facts at once, spread over several layers' down-projections by regularised least squares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from editors.weights.contract import Means, check_edit, delta_of
from editors.weights.delta import Delta, LowRank
from editors.weights.hooks import Passed, forward_until, reweighted
from editors.weights.model import EditableModel
from editors.weights.norms import scale
from editors.weights.optimise import Search, Shifts, ValueSettings
from editors.weights.prefixes import DEFAULT_PREFIXES, own_prefixes
from editors.weights.request import EditRequest
from editors.weights.texts import Located, asked, batch

_TEXTS_AT_ONCE = 64
_WORTH = 1e-3  # of the mean squared gain: coordinates of a norm with less are hardly moved


@dataclass(frozen=True, slots=True, kw_only=True)
class MemitConfig(ValueSettings):
    """`covariance` weighs what ordinary text reads against the facts: more of it, and less else changes."""

    layers: tuple[int, ...]  # ascending; the last one's output is what the values are found for
    clamp: float = 0.75
    covariance: float = 15_000.0
    prefixes: tuple[tuple[int, int], ...] = DEFAULT_PREFIXES  # (tokens, how many)


@dataclass(frozen=True, slots=True)
class Memit:
    """Implements `contract.Editor`."""

    config: MemitConfig
    name: ClassVar[str] = "memit"

    def compute(self, editable: EditableModel, requests: Sequence[EditRequest], means: Means) -> Delta:
        """See `contract.Editor`."""
        return self.spread(editable, requests, self.values(editable, requests, means), means)

    def values(self, editable: EditableModel, requests: Sequence[EditRequest], means: Means) -> Shifts:
        """What the last layer should write at each subject. A fact's value does not depend on the other facts, so
        that values found for some can be put together with others found earlier."""
        config = self.config
        check_edit(editable, requests, config.layers)
        prefixes = own_prefixes(editable, config.prefixes)
        last = editable.spec.layers[config.layers[-1]]
        with torch.inference_mode(False), torch.enable_grad():
            return Search(editable, last, config.layers[-1], prefixes, config, means.progress).run(requests)

    def spread(
        self, editable: EditableModel, requests: Sequence[EditRequest], found: Shifts, means: Means
    ) -> Delta:
        """One delta that brings all values about: `found` has a row for each request, in their order."""
        config, spec = self.config, editable.spec
        check_edit(editable, requests, config.layers)
        prefixes = own_prefixes(editable, config.prefixes)
        moments = means.required_statistics().moments(editable, config.layers)
        last = spec.layers[config.layers[-1]]
        wanted = (found.initial + found.shift).double()
        plain = [asked(editable, request) for request in requests]
        behind = [asked(editable, request, prefix) for request in requests for prefix in prefixes]
        weights: dict[nn.Module, Tensor] = {}
        changes: dict[nn.Module, LowRank] = {}
        for at, layer in enumerate(config.layers):
            means.progress("spreading the change", at / len(config.layers))
            module, norm = spec.mlp_down(layer), spec.mlp_out_norm(layer)
            with torch.no_grad(), reweighted(weights):
                keys = _at_subjects(editable, module, behind, "read")
                now = _at_subjects(editable, last, plain, "wrote")
                writes = None if norm is None else _at_subjects(editable, module, plain, "wrote")
            keys = keys.view(len(requests), len(prefixes), -1).mean(1)
            missing = (wanted - now) / (len(config.layers) - at)
            if norm is not None and writes is not None:
                missing = _before(norm, writes, missing)
            system = config.covariance * moments[layer].to(keys) + keys.T @ keys
            adjusted = torch.linalg.solve(system, keys.T).T  # [requests, in]
            changes[module] = LowRank(missing.T, adjusted)
            weights[module] = spec.weight_of(module).detach().double() + missing.T @ adjusted
        stored = [editable.change_at(module, change) for module, change in changes.items()]
        return delta_of(self, editable, requests, stored, losses=list(found.losses))


def _at_subjects(editable: EditableModel, module: nn.Module, texts: Sequence[Located], side: str) -> Tensor:
    """What the module reads or writes at each text's place: [texts, width], float64."""
    parts = []
    for start in range(0, len(texts), _TEXTS_AT_ONCE):
        rows = batch(texts[start : start + _TEXTS_AT_ONCE], editable.device)
        (passed,) = forward_until(editable.model, [module], **rows.inputs)
        parts.append(_side(passed, side)[rows.rows, rows.columns].double())
    return torch.cat(parts)


def _before(norm: nn.Module, writes: Tensor, missing: Tensor) -> Tensor:
    """What to add to what a map writes, [texts, hidden], that the norm behind it adds the missing to the stream.

    As if its scale stayed as it is. So what it adds gets the wanted direction; its size is the norm's own.
    """
    with torch.no_grad():
        gain = scale(norm, writes, norm(writes.float()).double())
    # What it hardly lets through would have to be so large that it sees nothing else.
    return missing * gain / (gain.square() + _WORTH * gain.square().mean(-1, keepdim=True))


def _side(passed: Passed, side: str) -> Tensor:
    states: Tensor = getattr(passed, side)
    return states
