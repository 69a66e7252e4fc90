"""How well a relation fits what a text asks, by meaning: against the relations that might have been asked instead.

A cosine alone says little: some relations are near every text, some texts are near every relation. So each is
measured against a fixed background: texts that ask all kinds of things show what cosine a relation has by
chance, and other relations compete for the text; beside them those that the knowledge base has of others
(docs/adr/0029). And it is recalled what texts like this one asked for in the phrase bank: a candidate that is nearer
to that than its rivals fits better (docs/adr/0031). Nothing here is trained, so relations that training never saw are
judged as well as those that it did; docs/adr/0008 has the figures.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from editors.kv.states import StateMaps

FLOOR = -12.0  # also where a text does not name the subject at all
_SHARPNESS = 3.0
_SYNONYM = 0.6  # a relation this close to the candidate is no rival to it: other words for the same
# What is recalled: how much nearer texts count than farther ones; how much it counts beside the rest; and the cosine
# that the best of ten rivals has, where fewer are known.
_NEARNESS = 20.0
_RECALL = 8.0
_RIVAL = 0.37


class Meaning(nn.Module):
    """Judges by the vectors of one embedder."""

    relations: Tensor
    texts: Tensor

    asked: Tensor | None

    def __init__(
        self,
        relations: Tensor,
        texts: Tensor,
        states: StateMaps | None = None,
        asked: Tensor | None = None,
    ) -> None:
        """`relations`, `texts`: the background, [count, dimension], unit vectors. `states`: what made their last part,
        the embedder made the first. `asked`: the first so many relations as texts ask for them, by the embedder."""
        super().__init__()
        self.states = states
        self.register_buffer("relations", relations)
        self.register_buffer("texts", texts)
        self.register_buffer("asked", asked)
        # The text embedder that all these vectors come from, by name; none: the one that retrieval searches with. And
        # the changes to it (engines.embedder.SentenceEmbedder.adapted).
        self.reader = ""
        self.changes: Mapping[str, Tensor] = {}
        # What was taught to look closer (editors/kv/closer.py); nothing: no closer look is taken.
        self.closer: Mapping[str, Tensor] = {}
        self._chances: tuple[tuple[int, int], Tensor, Tensor] | None = None

    def taught_as(self, other: Meaning) -> None:
        """Judges by the same vectors: what is not in the tensors of a state dict."""
        self.reader, self.changes, self.closer = other.reader, other.changes, other.closer
        if self.states is not None and other.states is not None:
            self.states.read_as(other.states)

    @torch.no_grad()
    def forward(self, asked: Tensor, candidates: Tensor, rivals: Tensor | None = None) -> Tensor:
        """Log-probability (at least FLOOR) that a text asks for a candidate, and neither for the background nor for a
        rival; more or less by what is recalled.

        `asked` [questions, dimension], `candidates` and `rivals` [relations, dimension]; the result [questions,
        candidates]. Without a background nothing is known: zeros.
        """
        if not len(self.relations):
            return torch.zeros(len(asked), len(candidates))
        mine = self._surprise(asked, candidates, *self._chance(candidates))
        others = self._surprise(asked, self.relations, *self._chance_of_background())
        likeness = candidates @ self.relations.T
        if rivals is not None and len(rivals):
            others = torch.cat([others, self._surprise(asked, rivals, *self._chance(rivals))], dim=-1)
            likeness = torch.cat([likeness, candidates @ rivals.T], dim=-1)
        another = likeness < _SYNONYM
        highest = others.amax(-1, keepdim=True)
        against = ((others - highest).exp() @ another.T.float()).log() + highest
        fit = mine - torch.logaddexp(mine, against)
        if self.asked is not None:
            fit = fit + _RECALL * self._recalled(self.asked, asked, candidates, rivals)
        return fit.clamp(FLOOR, 0.0)

    def _recalled(self, known: Tensor, asked: Tensor, candidates: Tensor, rivals: Tensor | None) -> Tensor:
        """By how much each candidate is nearer than the best of its rivals to what texts like these asked for. By the
        embedder alone: the model's states add nothing to it."""

        def part(vectors: Tensor) -> Tensor:
            return F.normalize(vectors[:, : known.shape[1]], dim=-1)

        nearness = (_NEARNESS * part(asked) @ known.T).softmax(-1)
        meant = F.normalize(nearness @ part(self.relations[: len(known)]), dim=-1)
        near, best = meant @ part(candidates).T, torch.full((len(asked), len(candidates)), _RIVAL)
        if rivals is not None and len(rivals):
            others = meant @ part(rivals).T
            for place, same in enumerate((candidates @ rivals.T >= _SYNONYM).unbind()):
                best[:, place] = torch.maximum(best[:, place], others.masked_fill(same, -1.0).amax(-1))
        return near - best

    def _surprise(self, asked: Tensor, relations: Tensor, mean: Tensor, spread: Tensor) -> Tensor:
        """Cosines in standard deviations above what the background texts have with the relation."""
        return _SHARPNESS * (asked @ relations.T - mean) / spread

    def _chance(self, relations: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and spread of what the background texts have with each relation."""
        chance = self.texts @ relations.T
        return chance.mean(0), chance.std(0).clamp_min(1e-3)

    def _chance_of_background(self) -> tuple[Tensor, Tensor]:
        """Thousands of relations: worked out once, and again when the background is exchanged."""
        version = (self.relations._version, self.texts._version)
        if self._chances is None or self._chances[0] != version:
            self._chances = (version, *self._chance(self.relations))
        return self._chances[1:]
