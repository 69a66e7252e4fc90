"""What texts and names of relations are compared by: the taught embedder's vectors, and beside them what the served
model's own states say (editors/kv/states.py). The same in training and service."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from editors.kv.closer import CloserLook
from editors.kv.contract import spoken
from editors.kv.meaning import Meaning
from editors.kv.states import StateMaps
from engines.embedder import SentenceEmbedder
from engines.reader import reader_path
from kb_store.contract import Embedder

Relation = tuple[str, tuple[str, ...]]  # its name, and texts that ask for it


class JudgeVectors:
    """All vectors are of length 1. May be used from any thread; blocks while models run."""

    def __init__(self, embedder: Embedder, changes: Mapping[str, Tensor], states: StateMaps | None) -> None:
        # Only the embedder that Interleaf comes with can have been changed.
        if changes and isinstance(embedder, SentenceEmbedder):
            embedder = embedder.adapted(changes)
        self._embedder, self.states = embedder, states

    def texts(self, texts: Sequence[str]) -> Tensor:
        """Of texts that ask, [texts, width]."""
        return self._beside(texts, None if self.states is None else self.states.texts(texts))

    def embedded(self, texts: Sequence[str]) -> Tensor:
        """The embedder's part of `texts`, by itself."""
        return torch.from_numpy(self._embedder.embed(texts))

    def names(self, names: Sequence[str]) -> Tensor:
        """Of relations' names, [names, width]."""
        words = [spoken(name) for name in names]
        return self._beside(words, None if self.states is None else self.states.names(words))

    def relations(self, relations: Sequence[Relation]) -> Tensor:
        """Each half way between the name and the middle of the texts that ask for it, [relations, width]."""
        names = self.names([name for name, _ in relations])
        said = [text for _, examples in relations for text in examples]
        if not said:
            return names
        parts = torch.split(self.texts(said), [len(examples) for _, examples in relations])
        middles = torch.stack([part.mean(0) if len(part) else torch.zeros_like(names[0]) for part in parts])
        return F.normalize(names + middles, dim=-1)

    def _beside(self, texts: Sequence[str], states: Tensor | None) -> Tensor:
        embedded = self.embedded(texts)
        return embedded if states is None else torch.cat([embedded, states], dim=-1) / 2**0.5


def judging(embedder: Embedder, meaning: Meaning) -> tuple[JudgeVectors, CloserLook | None]:
    """What this judge reads with: its own reader, or the embedder of retrieval that is given; and what looks closer,
    where that was taught. Blocks while it loads."""
    reader = SentenceEmbedder.load(reader_path(meaning.reader)) if meaning.reader else embedder
    closer = None
    if meaning.closer and isinstance(reader, SentenceEmbedder):
        closer = CloserLook(reader, meaning.closer)
    return JudgeVectors(reader, meaning.changes, meaning.states), closer
