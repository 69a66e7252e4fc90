"""The retriever's evidence as a prior on attention: a few learned weights, the same in training and service.

Two parts. The subject gate: a fact whose subject the prompt does not name is pushed away. The relation part is
relative to the best candidate, so that any phrasing can win, plus an absolute term that lets all lose.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from editors.kv.contract import Evidence
from editors.kv.meaning import FLOOR

# The evidence, in the order in which the prior takes it.
FIGURES = ("subject_cover", "relation_cover", "dense", "meaning")
# Below this cover the prompt speaks of something else: the fact is not injected at all.
MIN_SUBJECT_COVER = 0.6
_NAMED = 0.95  # from here the subject counts as named


class Prior(nn.Module):
    """Logit bias of each candidate, from its evidence and that of its rivals."""

    def __init__(self) -> None:
        super().__init__()
        # The gate; relative: dense, relation cover, meaning; absolute: dense, relation cover, meaning.
        self.weights = nn.Parameter(torch.tensor([24.0, 7.0, 1.3, 2.0, 1.0, 0.0, 1.5]))

    def forward(
        self, subject: Tensor, relation: Tensor, dense: Tensor, meaning: Tensor, visible: Tensor
    ) -> Tensor:
        """All [questions, facts]; -inf where a fact is not visible to a question."""
        named = visible & (subject >= _NAMED)
        rivals = torch.where(named.any(-1, keepdim=True), named, visible)
        best_dense = dense.masked_fill(~rivals, -1.0).amax(-1, keepdim=True)
        best_relation = relation.masked_fill(~rivals, -1.0).amax(-1, keepdim=True)
        best_meaning = meaning.masked_fill(~rivals, FLOOR).amax(-1, keepdim=True)
        features = torch.stack(
            [
                -(_NAMED - subject).clamp_min(0),
                (dense - best_dense).clamp_max(0),
                (relation - best_relation).clamp_max(0),
                (meaning - best_meaning).clamp_max(0),
                dense - 0.75,
                relation - 0.5,
                meaning + 2.0,
            ],
            dim=-1,
        )
        return (features @ self.weights).masked_fill(~visible, float("-inf"))

    @torch.no_grad()
    def biases(self, evidence: Sequence[Evidence]) -> list[float | None]:
        """One prompt's candidates; None where the prompt does not name the subject."""
        if not evidence:
            return []
        subject, relation, dense, meaning = (
            torch.tensor([[getattr(item, name) for item in evidence]], dtype=torch.float32)
            for name in FIGURES
        )
        bias = self(subject, relation, dense, meaning, subject >= MIN_SUBJECT_COVER)[0].tolist()
        return [None if value == float("-inf") else value for value in bias]
