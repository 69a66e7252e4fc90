"""A fact's last word ends where the fact ends.

After "17.2.20" a small model goes on with ".1.1.1", after "Achelous" with "ma": the object was said, and then it was
not. Words are known by their tokens, and the engine knows when an answer has come to a fact's end (engines/saying.py):
from there until the next space what would go on with the word is not chosen (docs/adr/0026). Scripts that write no
spaces are left alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from engines.saying import Saying

_GLUE = "-_"  # what follows these belongs to the word
_ENDINGS = frozenset(("'s", "’s"))
_STOPS = frozenset((".", "!", "。"))


@dataclass(frozen=True)
class Words:
    """Of each token of a vocabulary, [4, tokens]: whether it goes on with a word, stands in none but ends none
    either (a full stop, a bracket), has a letter or figure last, and closes a sentence."""

    table: Tensor

    @classmethod
    def of(cls, tokenizer: Any) -> Words:
        """Each token is read behind another one: alone some lose the space that they begin with."""
        anchor = tokenizer("a", add_special_tokens=False).input_ids[-1:]
        before = tokenizer.decode(anchor)
        count = max(tokenizer.get_vocab().values()) + 1  # ids may have holes
        texts = tokenizer.batch_decode(
            [[*anchor, token] for token in range(count)], clean_up_tokenization_spaces=False
        )
        pieces = [text.removeprefix(before) for text in texts]
        goes_on = torch.tensor([_goes_on(piece) for piece in pieces])
        spaced = torch.tensor([any(map(str.isspace, piece)) for piece in pieces])
        last = torch.tensor([_is_of_words(piece[-1:]) for piece in pieces])
        closes = torch.tensor([_closes(piece) for piece in pieces])
        table = torch.stack([goes_on, ~goes_on & ~spaced, last, closes])
        table[:, sorted({*tokenizer.all_special_ids, *tokenizer.get_added_vocab().values()})] = False
        return cls(table)

    def closes(self, token: int) -> bool:
        """Whether a sentence or a line ends with it."""
        return token < self.count and bool(self.table[3, token])

    @property
    def count(self) -> int:
        """Tokens that are known; a model may have some behind them, which are no text."""
        return self.table.shape[1]


class WordEnd:
    """One answer's: whether a fact was said to its end and its last word not closed yet."""

    def __init__(self, words: Words, saying: Saying) -> None:
        self._words, self._saying, self._open = words, saying, False

    def note(self, token: int) -> None:
        """The answer's next token, when `saying` has taken it."""
        row = 2 if self._saying.ended else 1
        asked = (self._saying.ended or self._open) and token < self._words.count
        self._open = asked and bool(self._words.table[row, token])

    @property
    def barred(self) -> Tensor | None:
        """[tokens] of those that cannot come next; those with which another fact that was begun goes on can."""
        if not self._open:
            return None
        coming = [token for token in self._saying.coming if 0 <= token < self._words.count]
        barred = self._words.table[0]
        return barred.index_fill(0, torch.tensor(coming), False) if coming else barred


def _closes(piece: str) -> bool:
    return piece.strip() in _STOPS or (piece.isspace() and "\n" in piece)


def _goes_on(piece: str) -> bool:
    if not piece or piece[0].isspace() or piece in _ENDINGS:
        return False
    return piece[0] in _GLUE or any(map(_is_of_words, piece.split(maxsplit=1)[0]))


def _is_of_words(character: str) -> bool:
    """Figures, and letters of scripts that have capitals: those write spaces between words."""
    return character.isdigit() or character.lower() != character.upper()
