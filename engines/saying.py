"""How far an answer has come in saying its facts.

A fact says its object token by token, and each token finds its turn by what stands before it. That alone goes astray
now and then ("Dr. Axel": "Axel" fits behind "is" as well). What an answer ends with tells which token comes next, so
the others stand back, and so do other facts while one is being said and after (docs/adr/0021). A fact that has been
said is seen no more (docs/adr/0009). Facts that were asked for together are said one after the other (docs/adr/0027).
"""

from __future__ import annotations

from collections.abc import Sequence

AWAY = 4.0  # taken from the attention logit of a token whose turn it is not
WAITS = -2  # no token's turn: another fact is being said, or was
PATIENCE = 12  # tokens that may stand between two facts that were asked for together
TOLD = -1  # the turn of a fact that the answer has said, and a token more: so that its last word was closed


class Saying:
    """One answer's. `turns` has, for every fact, how many of its tokens from the first on the answer ends with."""

    def __init__(self, facts: Sequence[Sequence[int]], order: Sequence[int] = ()) -> None:
        """`facts`: the tokens that each says. `order`: 1, 2, ... of those that were asked for together, 0 of others."""
        self._facts = [tuple(said) for said in facts]
        self._longest = max(map(len, self._facts), default=0)
        numbered = sorted((number, at) for at, number in enumerate(order) if number and self._facts[at])
        self._together = tuple(at for _, at in numbered)
        self._end: tuple[int, ...] = ()
        self._since = 0  # tokens since a fact was being said
        self.turns = self._among_others((0,) * len(self._facts))

    def add(self, token: int) -> bool:
        """The answer's next token; whether that changes any turn."""
        self._end = (*self._end, token)[-self._longest :] if self._longest else ()
        turns = tuple(self._turn(*each) for each in zip(self._facts, self.turns, strict=True))
        self._since = 0 if any(turn > 0 for turn in turns) else self._since + 1
        turns = self._among_others(turns)
        changed = turns != self.turns
        self.turns = turns
        return changed

    @property
    def ended(self) -> bool:
        """Whether the answer's last token was a fact's last."""
        return any(said and turn == len(said) for said, turn in zip(self._facts, self.turns, strict=True))

    @property
    def told(self) -> int:
        """How many facts were said, and closed."""
        return sum(turn == TOLD for turn in self.turns)

    @property
    def owing(self) -> bool:
        """Whether of the facts that were asked for together some were said and others come next."""
        said = [self.turns[at] in (TOLD, len(self._facts[at])) for at in self._together]
        return any(said) and not all(said) and self._since <= PATIENCE

    @property
    def coming(self) -> list[int]:
        """The tokens with which the facts that were begun go on."""
        pairs = zip(self._facts, self.turns, strict=True)
        return [said[turn] for said, turn in pairs if 0 < turn < len(said)]

    def _among_others(self, turns: tuple[int, ...]) -> tuple[int, ...]:
        """What was not begun waits while another fact is said and after; of facts that were asked for together the next
        does not, once the one before is told."""
        begun = any(turn > 0 for turn in turns)
        next_one = None if begun else next((at for at in self._together if turns[at] != TOLD), None)
        if next_one is None and not any(turns):
            return turns
        return tuple(turn if turn or at == next_one else WAITS for at, turn in enumerate(turns))

    def _turn(self, said: tuple[int, ...], before: int) -> int:
        if before == TOLD or (said and before == len(said)):
            return TOLD
        if not self._end or self._end[-1] not in said:
            return 0
        counts = range(min(len(self._end), len(said)), 0, -1)
        return next((count for count in counts if self._end[-count:] == said[:count]), 0)


def turns_along(
    answer: Sequence[int], facts: Sequence[Sequence[int]], order: Sequence[int] = ()
) -> list[tuple[int, ...]]:
    """The turns before the answer's first token, before its second, ..., and after its last."""
    saying = Saying(facts, order)
    found = [saying.turns]
    for token in answer:
        saying.add(token)
        found.append(saying.turns)
    return found
