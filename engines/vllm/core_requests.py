"""What a core is asked, what it answers, and what it refuses."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from engines.vllm.request_facts import extra_arguments
from engines.vllm.row_ledger import Row

_SEEDS = 2**63


class Refused(ValueError):
    """A request or row that cannot be taken as it is; the engine is well."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field, self.message = field, message


@dataclass(frozen=True)
class UsedFact:
    """A row, and how it is used; bias and order as `engines.contract.InjectedFact` has them."""

    row: str
    bias: float
    order: int = 0


@dataclass(frozen=True)
class CoreRequest:
    """A text to continue, or (with `score_from`) one whose tokens from there on are to be scored."""

    prompt: Sequence[int]
    facts: Sequence[UsedFact] = ()
    max_tokens: int = 16
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    end_tokens: Sequence[int] = ()
    scope: str = ""  # requests share cached prefixes within a scope only
    score_from: int | None = None
    is_turn: bool = False  # the prompt is a chat, and what is asked for its next turn

    @property
    def read(self) -> list[int]:
        """What vLLM is given to read.

        It says one token after whatever it reads. Of a text that is scored that is the last one, which is not read:
        so a text may fill the whole context.
        """
        return list(self.prompt if self.score_from is None else self.prompt[:-1])


@dataclass(frozen=True)
class Produced:
    """What a request has got in a step.

    mass: of each of its facts. layers: of each fact its share in every layer, where its mass is higher than it was
    before; else empty.
    """

    name: str
    token: int
    log_probability: float
    mass: Sequence[float]
    layers: Sequence[Sequence[float]]
    finished: bool = False


@dataclass(frozen=True)
class ScoredText:
    """Log-probability of each token from `score_from` on; of each fact its largest share at any of them."""

    name: str
    log_probabilities: Sequence[float]
    mass: Sequence[float]


def check(request: CoreRequest, vocabulary: int, context: int) -> None:
    """Refused for what would make vLLM fail, or fail later."""
    length = len(request.prompt)
    for name in ("prompt", "end_tokens"):
        if any(not _is_whole(token) or not 0 <= token < vocabulary for token in getattr(request, name)):
            raise Refused(name, f"must be of tokens from 0 to {vocabulary - 1}")
    if not length:
        raise Refused("prompt", "is empty")
    if length + (request.score_from is None) > context:
        raise Refused("prompt", f"{length} tokens do not fit the context of {context}")
    if request.score_from is not None and not (
        _is_whole(request.score_from) and 0 < request.score_from < length
    ):
        raise Refused("score_from", "must be inside the prompt, and not its first token")
    if not _is_whole(request.max_tokens) or request.max_tokens < 1:
        raise Refused("max_tokens", "must be at least 1")
    if not (math.isfinite(request.temperature) and request.temperature >= 0):
        raise Refused("temperature", "must be a number from 0 up")
    if not 0 < request.top_p <= 1:
        raise Refused("top_p", "must be above 0 and at most 1")
    if request.seed is not None and not (_is_whole(request.seed) and 0 <= request.seed < _SEEDS):
        raise Refused("seed", "must be a whole number from 0 up")
    if not all(math.isfinite(fact.bias) for fact in request.facts):
        raise Refused("facts", "a bias is no finite number")
    if not all(_is_whole(fact.order) and fact.order >= 0 for fact in request.facts):
        raise Refused("facts", "an order must be a whole number from 0 up")


def check_rows(rows: Sequence[Row], limit: int) -> None:
    """Refused for more than a worker has memory for."""
    tokens = sum(row.count for row in rows)
    if tokens > limit:
        raise Refused("facts", f"{tokens} tokens; a request may see {limit}")


def salt_of(request: CoreRequest) -> str:
    """Names whose cached prefixes a request may find: those of its scope.

    Which facts it has is no part of it: none of them is seen before the prompt's last token, and what saw facts is
    found by nobody. Whether it has any is: the keys of requests without facts are not kept a second time.
    """
    return hashlib.sha256(f"{bool(request.facts):d}{request.scope}".encode()).hexdigest()


def parameters(name: str, request: CoreRequest, rows: Sequence[Row]) -> Any:
    """vLLM's sampling parameters; our own part travels among their extra arguments."""
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    scoring = request.score_from is not None
    start = len(request.prompt) if request.score_from is None else request.score_from
    extra = extra_arguments(
        name,
        salt_of(request),
        [(row.first, row.count) for row in rows],
        [fact.bias for fact in request.facts],
        [row.said for row in rows],
        start - 1,
        [fact.order for fact in request.facts],
        is_turn=bool(request.is_turn),
    )
    return SamplingParams(
        temperature=request.temperature,
        top_p=request.top_p,
        seed=request.seed,
        max_tokens=1 if scoring else request.max_tokens,
        stop_token_ids=list(request.end_tokens),
        logprobs=None if scoring else 0,
        prompt_logprobs=0 if scoring else None,
        # Whatever it would say after a text that is scored: how likely the text's own last token is there.
        logprob_token_ids=[request.prompt[-1]] if scoring else None,
        detokenize=False,
        output_kind=RequestOutputKind.FINAL_ONLY if scoring else RequestOutputKind.DELTA,
        extra_args=extra,
    )


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
