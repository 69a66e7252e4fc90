"""ROME: one rank-one change of one MLP's down-projection for each fact.

The corrected form (r-ROME) uses one key, the mean over all texts, wherever a key is used. The original mixes the
mean key with the bare prompt's; their product, by which it divides, can be small, and such edits wreck the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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
                left, right, loss = self._rank_one(editable, module, request, prefixes, moment_factor, means)
            factors.append((left, right))
            losses.append(loss)
            changed = changed + torch.outer(left, right)
        change = LowRank(
            torch.stack([left for left, _ in factors], dim=1), torch.stack([right for _, right in factors])
        )
        return delta_of(self, editable, requests, [editable.change_at(module, change)], losses=losses)

    def _moment_factor(self, editable: EditableModel, means: Means) -> Tensor | None:
        """The keys' second moment as a Cholesky factor: directions are what its inverse makes of a key."""
        if not self.config.statistics:
            return None
        layer = self.config.layer
        moment = means.required_statistics().moments(editable, [layer])[layer].to(editable.device)
        factor: Tensor = torch.linalg.cholesky(with_ridge(moment, self.config.ridge))
        return factor

    def _rank_one(
        self,
        editable: EditableModel,
        module: nn.Module,
        request: EditRequest,
        prefixes: Sequence[str],
        moment_factor: Tensor | None,
        means: Means,
    ) -> tuple[Tensor, Tensor, float]:
        """The two vectors of the change [out] x [in], and the loss that the value reached."""
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
        direction = direction / direction.norm()
        # Behind the empty prefix, which comes first, stands the bare prompt.
        key, output = (mean_key, outputs.mean(0)) if self.config.corrected else (keys[0], outputs[0])
        wanted = (found.initial + found.shift)[0].double()
        return (wanted - output) / (key @ direction), direction, found.losses[0]


def with_ridge(moment: Tensor, ridge: float) -> Tensor:
    """The moment with a share of its mean diagonal on the diagonal."""
    size = moment.diagonal().mean()
    return moment + ridge * size * torch.eye(len(moment), dtype=moment.dtype, device=moment.device)
