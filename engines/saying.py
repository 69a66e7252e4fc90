"""How far an answer has come in saying its facts.

A fact says its object token by token, and each token finds its turn by what stands before it. That alone goes astray
now and then ("Dr. Axel": "Axel" fits behind "is" as well). What an answer ends with tells which token comes next, so
the others stand back, and so do other facts while one is being said and after (docs/adr/0021). A fact that has been
said is seen no more (docs/adr/0009).
"""

from __future__ import annotations

from collections.abc import Sequence

AWAY = 4.0  # taken from the attention logit of a token whose turn it is not
WAITS = -2  # no token's turn: another fact is being said, or was
TOLD = -1  # the turn of a fact that the answer has said, and a token more: so that its last word was closed


class Saying:
    """One answer's. `turns` has, for every fact, how many of its tokens from the first on the answer ends with."""

    def __init__(self, facts: Sequence[Sequence[int]]) -> None:
        """`facts`: the tokens that each says."""
        self._facts = [tuple(said) for said in facts]
        self._longest = max(map(len, self._facts), default=0)
        self._end: tuple[int, ...] = ()
        self.turns: tuple[int, ...] = (0,) * len(self._facts)

    def add(self, token: int) -> bool:
        """The answer's next token; whether that changes any turn."""
        self._end = (*self._end, token)[-self._longest :] if self._longest else ()
        turns = tuple(self._turn(*each) for each in zip(self._facts, self.turns, strict=True))
        if any(turns):
            turns = tuple(turn or WAITS for turn in turns)
        changed = turns != self.turns
        self.turns = turns
        return changed

    @property
    def ended(self) -> bool:
        """Whether the answer's last token was a fact's last."""
        return any(said and turn == len(said) for said, turn in zip(self._facts, self.turns, strict=True))

    @property
    def coming(self) -> list[int]:
        """The tokens with which the facts that were begun go on."""
        pairs = zip(self._facts, self.turns, strict=True)
        return [said[turn] for said, turn in pairs if 0 < turn < len(said)]

    def _turn(self, said: tuple[int, ...], before: int) -> int:
        if before == TOLD or (said and before == len(said)):
            return TOLD
        if not self._end or self._end[-1] not in said:
            return 0
        counts = range(min(len(self._end), len(said)), 0, -1)
        return next((count for count in counts if self._end[-count:] == said[:count]), 0)


def turns_along(answer: Sequence[int], facts: Sequence[Sequence[int]]) -> list[tuple[int, ...]]:
    """The turns before the answer's first token, before its second, ..., and after its last."""
    saying = Saying(facts)
    found = [saying.turns]
    for token in answer:
        saying.add(token)
        found.append(saying.turns)
    return found
