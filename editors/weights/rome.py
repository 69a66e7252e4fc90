"""ROME: one rank-one change of one MLP's down-projection for each fact.

The corrected form (r-ROME) uses one key, the mean over all texts, wherever a key is used. The original mixes the
mean key with the bare prompt's; their product, by which it divides, can be small, and such edits wreck the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from editors.weights.contract import Means, check_edit, delta_of
from editors.weights.delta import Delta, LowRank
from editors.weights.hooks import forward_until, reweighted
from editors.weights.model import EditableModel
from editors.weights.optimise import Search, ValueSettings
from editors.weights.prefixes import DEFAULT_PREFIXES, own_prefixes
from editors.weights.request import EditRequest
from editors.weights.texts import asked, batch


@dataclass(frozen=True, slots=True, kw_only=True)
class RomeConfig(ValueSettings):
    """`ridge` keeps the statistics invertible where the corpus is small: its share of their mean diagonal."""

    layer: int
    corrected: bool = True
    statistics: bool = True  # False: all directions of the key space count the same
    ridge: float = 1e-3
    prefixes: tuple[tuple[int, int], ...] = DEFAULT_PREFIXES  # (tokens, how many)


@dataclass(frozen=True, slots=True)
class Rome:
    """Implements `contract.Editor`. Several requests are edited one after the other, each on top of those before."""

    config: RomeConfig
    name: ClassVar[str] = "rome"

    def compute(self, editable: EditableModel, requests: Sequence[EditRequest], means: Means) -> Delta:
        """See `contract.Editor`."""
        check_edit(editable, requests, [self.config.layer])
        module = editable.spec.mlp_down(self.config.layer)
        prefixes = own_prefixes(editable, self.config.prefixes)
        moment_factor = self._moment_factor(editable, means)
        changed = editable.spec.weight_of(module).detach().double()
        factors: list[tuple[Tensor, Tensor]] = []
        losses: list[float] = []
        for at, request in enumerate(requests):
            means.progress("rome", at / len(requests))
            with (
                torch.inference_mode(False),
                torch.enable_grad(),
                reweighted({module: changed} if at else {}),
            ):
                value = self._value(editable, module, request, prefixes, moment_factor, means)
            left, right = value.rank_one(self.config.corrected)
            factors.append((left, right))
            losses.append(value.loss)
            changed = changed + torch.outer(left, right)
        change = LowRank(
            torch.stack([left for left, _ in factors], dim=1), torch.stack([right for _, right in factors])
        )
        return delta_of(self, editable, requests, [editable.change_at(module, change)], losses=losses)

    def both_forms(self, editable: EditableModel, request: EditRequest, means: Means) -> tuple[Delta, Delta]:
        """What `compute` gives corrected, and what it gives in the original form, from one search for the value."""
        check_edit(editable, [request], [self.config.layer])
        module = editable.spec.mlp_down(self.config.layer)
        prefixes = own_prefixes(editable, self.config.prefixes)
        moment_factor = self._moment_factor(editable, means)
        with torch.inference_mode(False), torch.enable_grad():
            value = self._value(editable, module, request, prefixes, moment_factor, means)

        def delta(corrected: bool) -> Delta:
            left, right = value.rank_one(corrected)
            change = editable.change_at(module, LowRank(left[:, None], right[None]))
            editor = replace(self, config=replace(self.config, corrected=corrected))
            return delta_of(editor, editable, [request], [change], losses=[value.loss])

        return delta(True), delta(False)

    def _moment_factor(self, editable: EditableModel, means: Means) -> Tensor | None:
        """The keys' second moment as a Cholesky factor: directions are what its inverse makes of a key."""
        if not self.config.statistics:
            return None
        layer = self.config.layer
        moment = means.required_statistics().moments(editable, [layer])[layer].to(editable.device)
        factor: Tensor = torch.linalg.cholesky(with_ridge(moment, self.config.ridge))
        return factor

    def _value(
        self,
        editable: EditableModel,
        module: nn.Module,
        request: EditRequest,
        prefixes: Sequence[str],
        moment_factor: Tensor | None,
        means: Means,
    ) -> _Value:
        """Where the map reads the subject, and what it should write there."""
        found = Search(editable, module, self.config.layer, prefixes, self.config, means.progress).run(
            [request]
        )
        rows = batch([asked(editable, request, prefix) for prefix in prefixes], editable.device)
        (passed,) = forward_until(editable.model, [module], **rows.inputs)
        keys = passed.read[rows.rows, rows.columns].detach().double()
        outputs = passed.wrote[rows.rows, rows.columns].detach().double()
        mean_key = keys.mean(0)
        direction = (
            mean_key
            if moment_factor is None
            else torch.cholesky_solve(mean_key[:, None], moment_factor)[:, 0]
        )
        wanted = (found.initial + found.shift)[0].double()
        return _Value(wanted, keys, outputs, direction / direction.norm(), found.losses[0])


@dataclass(frozen=True, slots=True, eq=False)
class _Value:
    """Keys and outputs behind each prefix; the empty one, which stands for the bare prompt, comes first."""

    wanted: Tensor  # [out]
    keys: Tensor  # [prefixes, in]
    outputs: Tensor  # [prefixes, out]
    direction: Tensor  # [in], of length 1
    loss: float

    def rank_one(self, corrected: bool) -> tuple[Tensor, Tensor]:
        """The two vectors of the change: [out] and [in]."""
        key, output = (
            (self.keys.mean(0), self.outputs.mean(0)) if corrected else (self.keys[0], self.outputs[0])
        )
        return (self.wanted - output) / (key @ self.direction), self.direction


def with_ridge(moment: Tensor, ridge: float) -> Tensor:
    """The moment with a share of its mean diagonal on the diagonal."""
    size = moment.diagonal().mean()
    return moment + ridge * size * torch.eye(len(moment), dtype=moment.dtype, device=moment.device)
