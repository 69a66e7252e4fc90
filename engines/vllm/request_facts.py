"""What a worker knows of one request's facts, and when each of them goes out of sight."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

EXTRA = "interleaf"  # the key in a request's extra arguments
# The bias of what is out of sight: its share is exactly 0, and a sum over such tokens only is still a number.
HIDDEN = -(2.0**100)


@dataclass
class RequestFacts:
    """Made when a worker meets the request.

    slots, bias, owner: [tokens]: place in the row table, what is added to the logits, index of the fact.
    """

    name: str
    slots: Tensor
    bias: Tensor
    owner: Tensor
    count: int
    prompt: int  # tokens of the prompt
    seen_from: int  # the first position that sees facts: the last of the prompt
    endings: dict[int, list[int]]  # the last token of what a fact says -> facts
    said: list[tuple[int, ...]]
    hidden_from: dict[int, int] = field(
        default_factory=dict
    )  # fact -> the first position that sees it no more
    read: int = 0  # tokens of the answer that were looked at

    @classmethod
    def of(cls, extra: Mapping[str, Any], prompt: int) -> RequestFacts:
        """From what `extra_arguments` made."""
        said = [tuple(tokens) for tokens in extra["said"]]
        endings: dict[int, list[int]] = {}
        for index, tokens in enumerate(said):
            if tokens:
                endings.setdefault(tokens[-1], []).append(index)
        spans = extra["spans"]
        return cls(
            name=extra["name"],
            slots=torch.cat([torch.arange(first, first + count) for first, count in spans]),
            bias=torch.cat(
                [
                    torch.full((count,), float(bias))
                    for (_, count), bias in zip(spans, extra["bias"], strict=True)
                ]
            ),
            owner=torch.cat(
                [torch.full((count,), index, dtype=torch.long) for index, (_, count) in enumerate(spans)]
            ),
            count=len(spans),
            prompt=prompt,
            seen_from=extra["seen_from"],
            endings=endings,
            said=said,
        )

    def note(self, answer: Sequence[int]) -> None:
        """Hides each fact that the answer has said. A token more is read in its sight, so that a word is closed.

        By position and not by step: a request that was preempted is read again as it was read before.
        """
        for at in range(self.read, len(answer)):
            for fact in self.endings.get(answer[at], ()):
                tokens = self.said[fact]
                start = at + 1 - len(tokens)
                if fact not in self.hidden_from and start >= 0 and tuple(answer[start : at + 1]) == tokens:
                    self.hidden_from[fact] = self.prompt + at + 1
        self.read = max(self.read, len(answer))

    def biases(self, start: int, end: int) -> Tensor:
        """[positions or 1, tokens] at positions start..end: HIDDEN where a token is out of sight."""
        gone = {fact: at for fact, at in self.hidden_from.items() if at < end}
        if not gone:
            return self.bias[None]
        limit = torch.full((self.count,), end)
        limit[list(gone)] = torch.tensor(list(gone.values()))
        hidden = torch.arange(start, end)[:, None] >= limit[self.owner][None]
        return self.bias[None].expand(end - start, -1).masked_fill(hidden, HIDDEN)


def extra_arguments(
    name: str,
    salt: str,
    spans: Sequence[tuple[int, int]],
    bias: Sequence[float],
    said: Sequence[Sequence[int]],
    seen_from: int,
) -> dict[str, Any]:
    """What travels with a request to the scheduler and to the workers. Plain types only."""
    return {
        EXTRA: {
            "name": name,
            "salt": salt,
            "spans": [list(span) for span in spans],
            "bias": list(bias),
            "said": [list(tokens) for tokens in said],
            "seen_from": seen_from,
        }
    }
