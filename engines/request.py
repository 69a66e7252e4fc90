"""A request on its way: what the caller holds, and what the worker fills."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future

from torch import Tensor

from engines.contract import FinishReason, GenerateRequest, Generation, InjectedFact
from engines.detokenizer import StreamDecoder
from engines.leaning import Leaning
from engines.sampling import Sampler
from engines.saying import Saying
from engines.words import Words


class Handle:
    """Implements `engines.contract.GenerationHandle`. Pieces are for one reader."""

    def __init__(self) -> None:
        self.on_cancel: Callable[[], None] = lambda: None
        self._pieces: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._done: Future[Generation] = Future()

    def __iter__(self) -> Iterator[str]:
        while (piece := self._pieces.get()) is not None:
            yield piece
        self._pieces.put(None)  # a second loop ends at once
        self._done.result()  # raises what ended the generation, if it failed

    def result(self, timeout: float | None = None) -> Generation:
        """Waits for the whole answer; TimeoutError when it takes longer."""
        return self._done.result(timeout)

    def cancel(self) -> None:
        """Stops decoding within one step; the answer so far is the result."""
        self.on_cancel()

    def give(self, piece: str) -> None:
        """From the worker: a piece of text."""
        if piece:
            self._pieces.put(piece)

    def finish(self, generation: Generation) -> None:
        """From the worker: the end."""
        if not self._done.done():
            self._done.set_result(generation)
            self._pieces.put(None)

    def fail(self, error: BaseException) -> None:
        """From the worker: no answer. An end that is there already stays."""
        if not self._done.done():
            self._done.set_exception(error)
            self._pieces.put(None)


class ActiveRequest:
    """A request from its submission to its end; a row of the running batch in between."""

    def __init__(
        self,
        request: GenerateRequest,
        prompt_ids: list[int],
        decode: Callable[[list[int]], str],
        end_tokens: frozenset[int],
        context: int,
        words: Words,
    ) -> None:
        self.handle = Handle()
        self.cancelled = False
        self.original = request.original
        self._prompt_ids, self._facts = prompt_ids, request.facts
        self._sampler = Sampler(request.sampling)
        is_turn = not isinstance(request.prompt, str)
        self._decoder = StreamDecoder(decode, prompt_ids, request.sampling.stop, is_turn=is_turn)
        self._end_tokens = end_tokens
        self._room = min(request.sampling.max_tokens, context - len(prompt_ids))
        self._tokens: list[int] = []
        self._said: list[float] = []
        self._masses: list[list[float]] = []
        self._texts: list[str] = []
        self._peaks: dict[int, tuple[float, Mapping[int, float]]] = {}
        self._saying = Saying(
            [fact.tokens.said for fact in self._facts], [fact.order for fact in self._facts]
        )
        self._leaning = Leaning(words, self._saying, end_tokens, is_turn=is_turn)
        self._submitted = time.perf_counter()
        self._admitted: float | None = None
        self._first: float | None = None

    @property
    def prompt_ids(self) -> Sequence[int]:
        """The prompt."""
        return self._prompt_ids

    @property
    def room(self) -> int:
        """Tokens that the answer may have."""
        return self._room

    @property
    def facts(self) -> Sequence[InjectedFact]:
        """What it may see."""
        return self._facts

    @property
    def turns(self) -> Sequence[int]:
        """How far the answer has come in saying each of the facts.

        What an answer has said is read like any text; with the fact still before its eyes a model says it again.
        """
        return self._saying.turns

    @property
    def bias(self) -> Tensor | None:
        """What the next token leans to."""
        return self._leaning.bias

    @property
    def sampler(self) -> Sampler:
        """How it chooses."""
        return self._sampler

    def admit(self) -> None:
        """It leaves the queue; the first time counts."""
        self._admitted = self._admitted or time.perf_counter()

    def accept(
        self,
        token: int,
        log_probability: float,
        masses: Sequence[float],
        layers: Sequence[Mapping[int, float]] = (),
    ) -> bool:
        """Takes a token, gives its text out, ends where it must."""
        self._first = self._first or time.perf_counter()
        self._tokens.append(token)
        self._said.append(log_probability)
        self._masses.append(list(masses))
        self._note_layers(masses, layers)
        self._saying.add(token)
        self._leaning.note(token)
        self._texts.append("")
        if token in self._end_tokens:
            return self._end(FinishReason.STOP)
        self._give(self._decoder.add(token))
        if self._decoder.stopped:
            return self._end(FinishReason.STOP)
        return len(self._tokens) < self._room or self._end(FinishReason.LENGTH)

    def end_cancelled(self) -> None:
        """The caller wants no more: what there is becomes the result."""
        self._end(FinishReason.CANCELLED)

    def _give(self, piece: str) -> None:
        """Text goes out, and is the last token's."""
        self.handle.give(piece)
        if self._texts:
            self._texts[-1] += piece

    def _note_layers(self, masses: Sequence[float], layers: Sequence[Mapping[int, float]]) -> None:
        for index, (mass, shares) in enumerate(zip(masses, layers, strict=False)):
            if mass > self._peaks.get(index, (0.0, {}))[0]:
                self._peaks[index] = (mass, shares)

    def _end(self, reason: FinishReason) -> bool:
        self._give(self._decoder.finish())
        now = time.perf_counter()
        attention: dict[str, list[float]] = {}
        for index, fact in enumerate(self._facts):
            known = attention.setdefault(fact.tokens.key, [0.0] * len(self._masses))
            for at, mass in enumerate(self._masses):
                known[at] += mass[index]
        self.handle.finish(
            Generation(
                text=self._decoder.text,
                token_ids=tuple(self._tokens),
                log_probabilities=tuple(self._said),
                finish_reason=reason,
                prompt_tokens=len(self._prompt_ids),
                attention={key: tuple(values) for key, values in attention.items()},
                queue_seconds=(self._admitted or now) - self._submitted,
                first_token_seconds=(self._first or now) - self._submitted,
                total_seconds=now - self._submitted,
                pieces=tuple(self._texts),
                layer_attention={
                    self._facts[index].tokens.key: shares for index, (_, shares) in self._peaks.items()
                },
            )
        )
        return False
