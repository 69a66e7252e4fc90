"""What every engine asks of a request before it takes it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from engines.architectures import ModelSpec
from engines.contract import GenerateRequest, Generation, GenerationHandle, InjectedFact, KVAdapter
from engines.errors import InvalidRequest


def check_facts(facts: Sequence[InjectedFact], adapter: KVAdapter | None, spec: ModelSpec) -> None:
    """InvalidRequest for facts of another encoder, or of another shape than the model's."""
    for index, fact in enumerate(facts):
        if adapter is None:
            raise InvalidRequest("facts", "this engine has no encoder, it cannot take facts")
        if fact.tokens.encoder != adapter.digest:
            raise InvalidRequest(
                f"facts[{index}]", f"compiled by encoder {fact.tokens.encoder}, not by {adapter.digest}"
            )
        wanted = (len(adapter.layers), fact.tokens.count, spec.kv_heads, spec.head_dim)
        if tuple(fact.tokens.keys.shape) != wanted or tuple(fact.tokens.values.shape) != wanted:
            raise InvalidRequest(f"facts[{index}]", f"keys and values must be of shape {wanted}")
        if not math.isfinite(fact.bias):
            raise InvalidRequest(f"facts[{index}].bias", "must be a finite number")


def check_length(tokens: int, context: int) -> None:
    """InvalidRequest when they do not fit."""
    if tokens > context:
        raise InvalidRequest(
            "prompt", f"{tokens} tokens do not fit the context of {context} (with the answer)"
        )


def generate_all(
    submit: Callable[[GenerateRequest], GenerationHandle], requests: Sequence[GenerateRequest]
) -> list[Generation]:
    """Submits all and waits; none is left behind when one is refused or fails."""
    handles: list[GenerationHandle] = []
    with ExitStack() as undo:
        for request in requests:
            handle = submit(request)
            undo.callback(handle.cancel)
            handles.append(handle)
        return [handle.result() for handle in handles]
