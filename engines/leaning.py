"""What an answer's next token leans to, where facts were said.

The last word of a fact that was just said is not gone on with (engines/words.py). An answer does not end while facts
that were asked for together are still to be said (docs/adr/0027). When all is said and the sentence closed, the end of
a turn of a chat is near (docs/adr/0028).
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from engines.saying import Saying
from engines.words import WordEnd, Words

TO_END = 3.0  # logits, for the end of a turn whose facts are told
_NEVER = float("-inf")


class Leaning:
    """One answer's."""

    def __init__(self, words: Words, saying: Saying, ends: Iterable[int], *, is_turn: bool) -> None:
        """`ends`: the tokens that end an answer. `is_turn`: of a chat, not a text that goes on."""
        self._words, self._saying, self._word_end = words, saying, WordEnd(words, saying)
        self._ends = torch.tensor([token for token in ends if 0 <= token < words.count], dtype=torch.long)
        self._is_turn, self._told, self._is_closed = is_turn, 0, False

    def note(self, token: int) -> None:
        """The answer's next token, when `saying` has taken it."""
        self._word_end.note(token)
        before, self._told = self._told, self._saying.told
        self._is_closed = self._told > before and self._words.closes(token)

    @property
    def bias(self) -> Tensor | None:
        """[tokens], to be added to their logits; None for nothing."""
        barred, owing = self._word_end.barred, self._saying.owing
        ending = self._is_turn and self._is_closed and not owing
        if barred is None and not owing and not ending:
            return None
        bias = torch.zeros(self._words.count)
        if barred is not None:
            bias.masked_fill_(barred, _NEVER)
        if owing or ending:
            bias.index_fill_(0, self._ends, _NEVER if owing else TO_END)
        return bias


def leant(logits: Tensor, biases: Iterable[tuple[int, Tensor]]) -> Tensor:
    """The logits, with what is to be added to rows of them. A model may have more tokens than a tokenizer, or fewer."""
    copied = None
    for row, bias in biases:
        copied = logits.clone() if copied is None else copied
        width = min(len(bias), copied.shape[1])
        copied[row, :width] += bias[:width].to(copied)
    return logits if copied is None else copied
