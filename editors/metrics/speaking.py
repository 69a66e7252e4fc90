"""What is measured: something that can be asked how likely a continuation is, and to go on by itself."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from engines.decoding import left_padded, positions
from engines.prompts import PromptEncoder, end_tokens

# A prompt, and a continuation that follows it after one space.
Pair = tuple[str, str]
# For the prompts of a batch, one a row, and the column of each one's last token in the forward: within, the model is in
# the state that is to be measured.
View = Callable[[Sequence[str], Sequence[int]], AbstractContextManager[None]]
_LOGIT_ROWS = 256  # positions with logits in one forward: each is as wide as the vocabulary


@dataclass(frozen=True, slots=True)
class Forced:
    """A continuation that was read token by token (teacher forcing)."""

    wanted: tuple[int, ...]
    predicted: tuple[int, ...]  # at each place the likeliest token, given the wanted ones before
    log_probabilities: tuple[float, ...]  # of the wanted ones
    # Of the wanted ones at their places: how many tokens are as likely or likelier.
    ranks: tuple[int, ...] = ()

    @property
    def mean(self) -> float:
        """Mean token log-likelihood."""
        return sum(self.log_probabilities) / len(self.log_probabilities)

    @property
    def accuracy(self) -> float:
        """Share of the tokens that were predicted."""
        return sum(a == b for a, b in zip(self.wanted, self.predicted, strict=True)) / len(self.wanted)


class Speaker(Protocol):
    """A model in some state: unedited, edited, with facts in view."""

    def forced(self, pairs: Sequence[Pair]) -> list[Forced]:
        """Each continuation behind its prompt."""
        ...

    def generate(self, prompts: Sequence[str], max_tokens: int) -> list[str]:
        """What greedy decoding says behind each prompt, without the prompt."""
        ...


def plainly(prompts: Sequence[str], last: Sequence[int] = ()) -> AbstractContextManager[None]:
    """The view of a model as it is."""
    return nullcontext()


class ModelSpeaker:
    """A transformers model as it is at the time of the call, seen through `view`."""

    def __init__(self, model: Any, tokenizer: Any, view: View = plainly) -> None:
        self._model, self._tokenizer, self._view = model, tokenizer, view
        self._prompts = PromptEncoder(tokenizer)
        self._ends = sorted(end_tokens(model, tokenizer))

    @torch.inference_mode()
    def forced(self, pairs: Sequence[Pair]) -> list[Forced]:
        """See `Speaker`."""
        encoded = [self._prompts.encode_pair(prompt, " " + text) for prompt, text in pairs]
        longest = max((len(tail) for _, tail in encoded), default=0)
        size = max(1, _LOGIT_ROWS // (longest + 1))
        found: list[Forced] = []
        for start in range(0, len(encoded), size):
            rows = encoded[start : start + size]
            width = max(len(head) + len(tail) - 1 for head, tail in rows)
            last = [width - len(tail) for _, tail in rows]
            with self._view([prompt for prompt, _ in pairs[start : start + size]], last):
                found += self._forced(rows)
        return found

    @torch.inference_mode()
    def generate(self, prompts: Sequence[str], max_tokens: int) -> list[str]:
        """See `Speaker`."""
        from transformers import GenerationConfig

        if not prompts:
            return []
        device = next(self._model.parameters()).device
        ids, mask = left_padded([self._prompts.encode(prompt) for prompt in prompts], device)
        with self._view(prompts, [ids.shape[1] - 1] * len(prompts)):
            # What `generate` is not told it takes from the model's own defaults, such as a penalty on repetition. A
            # shallow copy shares every module and has none.
            plain = copy.copy(self._model)
            plain.generation_config = GenerationConfig()
            written = plain.generate(
                input_ids=ids,
                attention_mask=mask,
                max_new_tokens=max_tokens,
                do_sample=False,
                eos_token_id=self._ends or None,
                pad_token_id=self._tokenizer.pad_token_id,
            )
        texts: list[str] = self._tokenizer.batch_decode(
            written[:, ids.shape[1] :], skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return texts

    def _forced(self, encoded: Sequence[tuple[list[int], list[int]]]) -> list[Forced]:
        device = next(self._model.parameters()).device
        ids, mask = left_padded([[*head, *tail[:-1]] for head, tail in encoded], device)
        kept = max(len(tail) for _, tail in encoded)
        said = (
            self._model(
                input_ids=ids,
                attention_mask=mask,
                position_ids=positions(mask),
                use_cache=False,
                logits_to_keep=kept,
            )
            .logits.float()
            .log_softmax(-1)
        )
        best = said.argmax(-1)
        results = []
        for row, (_, tail) in enumerate(encoded):
            at = range(kept - len(tail), kept)
            results.append(
                Forced(
                    tuple(tail),
                    tuple(int(best[row, i]) for i in at),
                    tuple(float(said[row, i, token]) for i, token in zip(at, tail, strict=True)),
                    tuple(
                        int((~(said[row, i] < said[row, i, token])).sum())  # of what is no number: all
                        for i, token in zip(at, tail, strict=True)
                    ),
                )
            )
        return results
