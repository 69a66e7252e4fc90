"""Choosing tokens. Every request has its own random numbers: its answer does not depend on who shares the batch."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from engines.contract import Sampling
from engines.errors import InvalidRequest
from engines.leaning import leant


def check_sampling(sampling: Sampling) -> None:
    """InvalidRequest for settings that mean nothing."""
    if sampling.max_tokens < 1:
        raise InvalidRequest("sampling.max_tokens", "must be at least 1")
    if not (math.isfinite(sampling.temperature) and sampling.temperature >= 0):
        raise InvalidRequest("sampling.temperature", "must be a number from 0 up")
    if not 0 < sampling.top_p <= 1:
        raise InvalidRequest("sampling.top_p", "must be above 0 and at most 1")
    if "" in sampling.stop:
        raise InvalidRequest("sampling.stop", "a stop string is empty")


class Sampler:
    """One request's way to choose."""

    def __init__(self, sampling: Sampling) -> None:
        self._temperature, self._top_p = sampling.temperature, sampling.top_p
        self._random = torch.Generator()
        if sampling.seed is None:
            self._random.seed()
        else:
            self._random.manual_seed(sampling.seed % 2**63)

    @property
    def greedy(self) -> bool:
        """Whether the likeliest token is taken."""
        return self._temperature == 0

    def draw(self, logits: Tensor) -> int:
        """A token by its probability among the likeliest that together reach top_p."""
        logits = logits.double().cpu()
        # Divided by next to nothing, what is above 0 would have no bounds.
        probabilities = ((logits - logits.max()) / self._temperature).softmax(-1)
        ordered, tokens = probabilities.sort(descending=True, stable=True)
        reached = ordered.cumsum(-1)
        count = int((reached - ordered < self._top_p).sum())
        point = torch.rand((), generator=self._random, dtype=torch.float64) * reached[count - 1]
        at = int(torch.searchsorted(reached[:count], point, right=True))
        return int(tokens[min(at, count - 1)])


def choose(
    logits: Tensor, samplers: Sequence[Sampler], biases: Sequence[Tensor | None] = ()
) -> tuple[list[int], list[float]]:
    """One token per row of [requests, vocabulary], and its log-probability under the model (temperature 1).

    `biases`: for each row what its tokens lean to, if to any; the log-probability knows nothing of it.
    """
    logits = logits.float()
    leaning = leant(logits, ((row, bias) for row, bias in enumerate(biases) if bias is not None))
    chosen = leaning.argmax(-1)
    for row, sampler in enumerate(samplers):
        if not sampler.greedy:
            chosen[row] = sampler.draw(leaning[row])
    said = logits.gather(1, chosen[:, None])[:, 0] - logits.logsumexp(-1)
    return chosen.tolist(), said.tolist()
