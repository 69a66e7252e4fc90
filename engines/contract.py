"""What an engine is asked for and what it answers. Engines know no store: a fact is a key, tokens and a bias."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class KVTokens:
    """A fact version compiled to key/value tokens. Immutable; a new revision is a new object.

    keys, values: [kb layers, tokens, kv heads, head dimension]. No rotary embedding: facts are a set.
    """

    key: str  # names the fact version, e.g. "<uid>@<revision>"
    encoder: str  # digest of the encoder that compiled it
    keys: Tensor
    values: Tensor
    said: tuple[
        int, ...
    ] = ()  # the vocabulary tokens that it says; once an answer has them it sees the fact no more

    @property
    def count(self) -> int:
        """Number of tokens."""
        return int(self.keys.shape[1])


@dataclass(frozen=True, slots=True)
class InjectedFact:
    """Tokens, and what is added to their attention logits (the retriever's prior and the length correction).

    order: 1, 2, ... of facts that are asked for together and said in that order; 0: by itself.
    """

    tokens: KVTokens
    bias: float = 0.0
    order: int = 0


class KVAdapter(Protocol):
    """The part of a trained encoder that runs inside the model's attention."""

    @property
    def layers(self) -> tuple[int, ...]:
        """The layers in which facts are attended to, ascending."""
        ...

    @property
    def digest(self) -> str:
        """Names the encoder's weights."""
        ...

    def query(self, layer: int, residual: Tensor) -> Tensor:
        """The KB query [batch, heads, length, head dim] from the layer's residual input [batch, length, hidden].

        Not rotated. Scaled like the model's own query: the caller divides by sqrt(head dim)."""
        ...

    def head_bias(self, layer: int) -> Tensor:
        """Added to every KB logit, per query head: [heads]."""
        ...


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a chat."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to choose tokens. temperature 0 is greedy."""

    max_tokens: int = 64
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GenerateRequest:
    """A prompt (continued as it stands) or a chat, with the facts that this request may see."""

    prompt: str | Sequence[Message]
    facts: tuple[InjectedFact, ...] = ()
    sampling: Sampling = field(default_factory=Sampling)
    original: bool = False  # answer with the unedited weights, whatever edits the model carries
    scope: str = ""  # whose it is: between scopes nothing is shared, not even what was read before


class FinishReason(enum.Enum):
    """Why generation ended."""

    STOP = "stop"
    LENGTH = "length"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Generation:
    """A finished answer.

    attention maps a fact's key to its mass at each generated token: the share of attention on the fact's
    tokens, mean over heads, mean over the adapter's signal layers.
    """

    text: str
    token_ids: tuple[int, ...]
    log_probabilities: tuple[float, ...]
    finish_reason: FinishReason
    prompt_tokens: int
    attention: Mapping[str, tuple[float, ...]]
    queue_seconds: float
    first_token_seconds: float
    total_seconds: float
    # The text that came with each token; together they are the text. Empty where an engine does not tell.
    pieces: tuple[str, ...] = ()
    # A fact's key -> its share at each layer, at the token where its mass was highest.
    layer_attention: Mapping[str, Mapping[int, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Scored:
    """Log-probabilities of a continuation, token by token."""

    tokens: tuple[str, ...]
    token_ids: tuple[int, ...]
    log_probabilities: tuple[float, ...]
    attention: Mapping[str, float]


class GenerationHandle(Protocol):
    """A request in flight."""

    def __iter__(self) -> Iterator[str]:
        """Pieces of text as they are decoded; ends when the generation ends."""
        ...

    def result(self, timeout: float | None = None) -> Generation:
        """Waits for the whole answer."""
        ...

    def cancel(self) -> None:
        """Stops decoding within one step."""
        ...


class Weights(Protocol):
    """Edits that a model's weights carry. Used on the thread that runs the model."""

    @property
    def edited(self) -> bool:
        """Whether there are any."""
        ...

    def original(self, rows: Tensor | None = None) -> AbstractContextManager[None]:
        """Within, forwards are the unedited model's; with `rows`, a boolean each, only in those of the batch."""
        ...


class Engine(Protocol):
    """A served model. All methods may be called from any thread; the blocking ones say so."""

    @property
    def model_name(self) -> str:
        """For people."""
        ...

    @property
    def model_digest(self) -> str:
        """Names the weights."""
        ...

    @property
    def load(self) -> tuple[int, int]:
        """Requests that are being decoded, requests that wait."""
        ...

    def submit(self, request: GenerateRequest) -> GenerationHandle:
        """Queues a request; returns at once. EngineBusy when the queue is full, InvalidRequest when the prompt
        does not fit the context or a fact's encoder is not the engine's."""
        ...

    def generate(self, requests: Sequence[GenerateRequest]) -> list[Generation]:
        """Submits all and waits (blocking)."""
        ...

    def score(
        self,
        prompt: str | Sequence[Message],
        continuations: Sequence[str],
        facts: Sequence[InjectedFact] = (),
        *,
        original: bool = False,
    ) -> list[Scored]:
        """Log-probabilities of each continuation after the prompt (blocking). `original`: as in GenerateRequest."""
        ...

    def count_tokens(self, prompt: str | Sequence[Message]) -> int:
        """Length of the prompt as the model sees it."""
        ...

    def close(self) -> None:
        """Cancels what runs and frees the model."""
        ...


Device = torch.device
