"""What the engine's tests share."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

from tiny_models import RandomAdapter, byte_tokenizer

from engines.contract import GenerateRequest, Message, Sampling
from engines.transformers_engine import TransformersEngine

TOLERANCE = 1e-4
TOKENIZER = byte_tokenizer()


def adapter_of(engine: TransformersEngine) -> RandomAdapter:
    adapter = engine._adapter
    assert isinstance(adapter, RandomAdapter)
    return adapter


def requests_for(adapter: RandomAdapter, tokens: int = 6) -> list[GenerateRequest]:
    """Different prompts, lengths and facts: none, one, many, a chat."""
    greedy = Sampling(max_tokens=tokens)
    many = tuple(adapter.fact(f"m{i}", 1 + i % 3, bias=i - 2.0) for i in range(5))
    return [
        GenerateRequest("What is the capital?", many, greedy),
        GenerateRequest("Hi", (), greedy),
        GenerateRequest([Message("user", "Who?")], (adapter.fact("one", 3),), greedy),
        GenerateRequest("A text of medium length", many[:2], replace(greedy, max_tokens=3)),
        GenerateRequest("x", (adapter.fact("last", 2),), greedy),
    ]


def prompt_ids(request: GenerateRequest) -> list[int]:
    if isinstance(request.prompt, str):
        ids: list[int] = TOKENIZER(request.prompt).input_ids
        return ids
    messages = [{"role": message.role, "content": message.content} for message in request.prompt]
    text = TOKENIZER.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    rendered: list[int] = TOKENIZER(text, add_special_tokens=False).input_ids
    return rendered


class Gate:
    """Lets the engine's model run a counted number of forwards."""

    def __init__(self, model: Any) -> None:
        self._permits = threading.Semaphore(0)
        self.reached = threading.Semaphore(0)
        self._hook = model.register_forward_pre_hook(self._pass)

    def _pass(self, module: Any, args: Any) -> None:
        self.reached.release()
        self._permits.acquire()

    def let(self, forwards: int) -> None:
        self._permits.release(forwards)

    def open(self) -> None:
        self._hook.remove()
        self._permits.release(1000)
