"""What a worker knows of one request's facts, and when each of them goes out of sight."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from engines.saying import AWAY, TOLD, Saying

EXTRA = "interleaf"  # the key in a request's extra arguments
# The bias of what is out of sight: its share is exactly 0, and a sum over such tokens only is still a number.
HIDDEN = -(2.0**100)


@dataclass
class RequestFacts:
    """Made when a worker meets the request.

    slots, owner, place: [tokens]: place in the row table, index of the fact, index in its fact.
    plain: [tokens], what is added to the logits whatever the answer says; bias: before its first token.
    """

    name: str
    slots: Tensor
    owner: Tensor
    place: Tensor
    plain: Tensor
    count: int
    seen_from: int  # the first position that sees facts: the last of the prompt
    saying: Saying
    # What is added from a position on, where the answer changed it: by position and not by step, so that a request that
    # was preempted is read again as it was read before.
    later: list[tuple[int, Tensor]] = field(default_factory=list)
    read: int = 0  # tokens of the answer that were looked at
    bias: Tensor = field(init=False)

    def __post_init__(self) -> None:
        self.bias = self._as_said()

    @classmethod
    def of(cls, extra: Mapping[str, Any]) -> RequestFacts:
        """From what `extra_arguments` made."""
        spans = extra["spans"]
        return cls(
            name=extra["name"],
            slots=torch.cat([torch.arange(first, first + count) for first, count in spans]),
            owner=torch.cat(
                [torch.full((count,), index, dtype=torch.long) for index, (_, count) in enumerate(spans)]
            ),
            place=torch.cat([torch.arange(count) for _, count in spans]),
            plain=torch.cat(
                [
                    torch.full((count,), float(bias))
                    for (_, count), bias in zip(spans, extra["bias"], strict=True)
                ]
            ),
            count=len(spans),
            seen_from=extra["seen_from"],
            saying=Saying(extra["said"], extra["order"]),
        )

    def note(self, answer: Sequence[int]) -> None:
        """Takes up what the answer has come to: everything behind the position from which facts are seen."""
        for at in range(self.read, len(answer)):
            if self.saying.add(answer[at]):
                self.later.append((self.seen_from + 1 + at, self._as_said()))
        self.read = max(self.read, len(answer))

    def biases(self, start: int, end: int) -> Tensor:
        """[positions or 1, tokens] at positions start..end: HIDDEN where a token is out of sight."""
        bounds = [at for at, _ in self.later]
        first, last = bisect_right(bounds, start), bisect_right(bounds, end - 1)
        if first == last:
            return self._from(first)[None]
        return torch.stack([self._from(bisect_right(bounds, at)) for at in range(start, end)])

    def _from(self, turn: int) -> Tensor:
        return self.later[turn - 1][1] if turn else self.bias

    def _as_said(self) -> Tensor:
        at = torch.tensor(self.saying.turns, dtype=torch.long)[self.owner]
        return (self.plain - AWAY * (at != self.place)).masked_fill(at == TOLD, HIDDEN)


def extra_arguments(
    name: str,
    salt: str,
    spans: Sequence[tuple[int, int]],
    bias: Sequence[float],
    said: Sequence[Sequence[int]],
    seen_from: int,
    order: Sequence[int] = (),
    is_turn: bool = False,
) -> dict[str, Any]:
    """What travels with a request to the scheduler and to the workers. Plain types only."""
    return {
        EXTRA: {
            "name": name,
            "salt": salt,
            "spans": [list(span) for span in spans],
            "bias": list(bias),
            "said": [list(tokens) for tokens in said],
            "order": list(order),
            "is_turn": is_turn,
            "seen_from": seen_from,
        }
    }
