"""What an answer cannot go on with: the last word of a fact that was just said, or its own end before all is said."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from engines.saying import Saying
from engines.words import WordEnd, Words


class Barred:
    """One answer's."""

    def __init__(self, words: Words, saying: Saying, ends: Iterable[int]) -> None:
        """`ends`: the tokens that end an answer."""
        self._words, self._saying, self._word_end = words, saying, WordEnd(words, saying)
        self._ends = torch.tensor([token for token in ends if 0 <= token < words.count], dtype=torch.long)

    def note(self, token: int) -> None:
        """The answer's next token, when `saying` has taken it."""
        self._word_end.note(token)

    @property
    def tokens(self) -> Tensor | None:
        """[tokens] of those that cannot come next, if there are any."""
        barred = self._word_end.barred
        if not self._saying.owing:
            return barred
        if barred is None:
            barred = torch.zeros(self._words.count, dtype=torch.bool)
        return barred.index_fill(0, self._ends, True)
