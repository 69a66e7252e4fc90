"""Several edits of one model in one batch: each row is answered as if its edit alone were applied.

Nothing is written. One pass over the model's weights serves all edits, which is most of the cost of a short answer.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TypeVar

import torch

from editors.metrics.speaking import Forced, ModelSpeaker, Pair
from editors.weights.delta import Delta
from editors.weights.model import EditableModel

T = TypeVar("T")


class SideBySide:
    """`deltas`: the states, None for the model as it is. Answers come by state, in their order."""

    def __init__(self, editable: EditableModel, deltas: Sequence[Delta | None]) -> None:
        self._editable, self._deltas = editable, tuple(deltas)

    def forced(self, pairs: Sequence[Pair]) -> list[list[Forced]]:
        """As `Speaker.forced`, for every state."""
        return self._split(self._speaker(len(pairs)).forced(list(pairs) * len(self._deltas)), len(pairs))

    def generate(self, prompts: Sequence[str], max_tokens: int) -> list[list[str]]:
        """As `Speaker.generate`, for every state."""
        texts = self._speaker(len(prompts)).generate(list(prompts) * len(self._deltas), max_tokens)
        return self._split(texts, len(prompts))

    def _speaker(self, size: int) -> ModelSpeaker:
        owners = iter([state for state in range(len(self._deltas)) for _ in range(size)])

        @contextmanager
        def view(prompts: Sequence[str], last: Sequence[int]) -> Iterator[None]:
            # Batches come in the order of the rows.
            mine = torch.tensor(list(itertools.islice(owners, len(prompts))))
            with ExitStack() as stack:
                for state, delta in enumerate(self._deltas):
                    if delta is not None and bool((mine == state).any()):
                        stack.enter_context(self._editable.seen_through([delta], mine == state))
                yield

        return ModelSpeaker(self._editable.model, self._editable.tokenizer, view)

    def _split(self, found: Sequence[T], size: int) -> list[list[T]]:
        return [list(found[at * size : (at + 1) * size]) for at in range(len(self._deltas))]
