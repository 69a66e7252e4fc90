"""The retriever's evidence as a prior on attention: which facts a question sees, and how strongly. The same in
training and service.

A fact that the text does not ask for is not shown at all: what attends to it a little changes an answer a little,
and an answer that no fact belongs in must stay the plain model's, word for word (docs/adr/0020). So a fact is seen
when the prompt names its subject, when its relation is likely enough what is asked for, and when no rival fits
far better. Among those seen the bias is relative to the best, so that any phrasing can win.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from editors.kv.contract import Evidence
from editors.kv.meaning import FLOOR

# The evidence, in the order in which the prior takes it.
FIGURES = ("subject_cover", "relation_cover", "dense", "meaning")
# Below this cover the prompt does not name the subject, but somebody with a like name (docs/adr/0003): the fact is not
# injected at all.
MIN_SUBJECT_COVER = 0.95
_HOPELESS = -8.0  # so far behind the best a fact is not seen


class Prior(nn.Module):
    """Logit bias of each candidate, from its evidence and that of its rivals. Nothing in it is trained."""

    weights: Tensor
    lift: Tensor
    alone: Tensor
    likely: Tensor

    def __init__(self) -> None:
        super().__init__()
        # Relative to the best: subject, dense, relation cover, meaning.
        self.register_buffer("weights", torch.tensor([24.0, 7.0, 1.3, 2.0]))
        # What every fact that is seen gets; where none is hidden, dense and meaning count by themselves instead.
        self.register_buffer("lift", torch.tensor([8.0]))
        self.register_buffer("alone", torch.tensor([1.0, 1.5]))
        # The least meaning of a fact that is seen; fitted after training (editors.kv.likely), before: any.
        self.register_buffer("likely", torch.tensor([FLOOR]))

    def forward(
        self, subject: Tensor, relation: Tensor, dense: Tensor, meaning: Tensor, visible: Tensor
    ) -> Tensor:
        """All [questions, facts]; -inf where a fact is not seen by a question."""
        if self.training:  # what is hidden teaches nothing
            return self.pushed(subject, relation, dense, meaning, visible)
        bias = self._relative(subject, relation, dense, meaning, visible)
        seen = visible & (meaning >= self.likely) & (bias >= _HOPELESS)
        return (bias + self.lift).masked_fill(~seen, float("-inf"))

    def pushed(
        self, subject: Tensor, relation: Tensor, dense: Tensor, meaning: Tensor, visible: Tensor
    ) -> Tensor:
        """The same, where an unlikely fact is not hidden but pushed away."""
        alone = torch.stack([dense - 0.75, meaning + 2.0], dim=-1) @ self.alone
        bias = self._relative(subject, relation, dense, meaning, visible) + alone
        return bias.masked_fill(~visible, float("-inf"))

    def _relative(
        self, subject: Tensor, relation: Tensor, dense: Tensor, meaning: Tensor, visible: Tensor
    ) -> Tensor:
        named = visible & (subject >= MIN_SUBJECT_COVER)
        rivals = torch.where(named.any(-1, keepdim=True), named, visible)
        behind = [
            -(MIN_SUBJECT_COVER - subject).clamp_min(0),
            *(_behind_best(figure, rivals) for figure in (dense, relation, meaning)),
        ]
        return torch.stack(behind, dim=-1) @ self.weights

    @torch.no_grad()
    def biases(
        self, evidence: Sequence[Evidence], scale: float = 1.0, offset: float = 0.0, wanted: bool = False
    ) -> list[float | None]:
        """One prompt's candidates; None where a fact is not seen. For `scale` and `offset` see calibration.

        `wanted`: the caller has chosen these facts. None is hidden then, the unlikely are pushed away.
        """
        if not evidence:
            return []
        subject, relation, dense, meaning = (
            torch.tensor([[getattr(item, name) for item in evidence]], dtype=torch.float32)
            for name in FIGURES
        )
        weigh = self.pushed if wanted else self
        bias = weigh(subject, relation, dense, meaning + offset, subject >= MIN_SUBJECT_COVER)[0].tolist()
        return [None if value == float("-inf") else scale * value for value in bias]


def _behind_best(figure: Tensor, rivals: Tensor) -> Tensor:
    best = figure.masked_fill(~rivals, float("-inf")).amax(-1, keepdim=True)
    return (figure - best).clamp_max(0)
