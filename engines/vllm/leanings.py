"""What `engines.leaning` says of each request's next token, where vLLM asks for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from engines.leaning import Leaning, leant
from engines.saying import Saying
from engines.vllm.adapter_file import read_words
from engines.vllm.model import CONFIG
from engines.vllm.request_facts import EXTRA
from engines.words import Words


@dataclass
class _Answer:
    tokens: list[int]  # vLLM's own list, which grows
    saying: Saying
    leaning: Leaning
    read: int = 0

    def bias(self) -> Tensor | None:
        for token in self.tokens[self.read :]:
            self.saying.add(token)
            self.leaning.note(token)
        self.read = len(self.tokens)
        return self.leaning.bias


class _Leanings:
    """vLLM's `LogitsProcessor`, one for its batch."""

    def __init__(self, vllm_config: Any, device: torch.device, is_pin_memory: bool) -> None:
        self._words = read_words(Path(vllm_config.additional_config[CONFIG]["adapter"]))
        self._answers: dict[int, _Answer] = {}

    def is_argmax_invariant(self) -> bool:
        """The likeliest may be another then."""
        return False

    def update_state(self, batch_update: Any) -> None:
        """Requests come, go and change places; a request that was preempted comes with what it has said."""
        if batch_update is None:
            return
        for place in batch_update.removed:
            self._answers.pop(place, None)
        for place, parameters, _, tokens in batch_update.added:
            self._answers.pop(place, None)
            extra = (parameters.extra_args or {}).get(EXTRA) or {}
            if extra.get("said"):
                self._answers[place] = _answer(self._words, extra, parameters.stop_token_ids or (), tokens)
        for one, other, direction in batch_update.moved:
            first, second = self._answers.pop(one, None), self._answers.pop(other, None)
            if first is not None:
                self._answers[other] = first
            if second is not None and direction.name == "SWAP":
                self._answers[one] = second

    def apply(self, logits: Tensor) -> Tensor:
        """The logits, with what they lean to."""
        found = ((place, answer.bias()) for place, answer in self._answers.items())
        return leant(logits, ((place, bias) for place, bias in found if bias is not None))


def _answer(words: Words, extra: Mapping[str, Any], ends: Iterable[int], tokens: list[int]) -> _Answer:
    saying = Saying(extra["said"], extra["order"])
    return _Answer(tokens, saying, Leaning(words, saying, ends, is_turn=extra["is_turn"]))


def __getattr__(name: str) -> type:
    """vLLM finds the class by module and name, in environments that have vLLM."""
    if name != "Leanings":
        raise AttributeError(name)
    from vllm.v1.sample.logits_processor import LogitsProcessor

    made = globals()[name] = type(name, (_Leanings, LogitsProcessor), {"__module__": __name__})
    return made
