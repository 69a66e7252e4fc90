"""What the vLLM benchmark runs on: one model in both engines, compiled facts of an invented world."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from bench.encoder_world import invented_world
from bench.ordinary_text import PASSAGES
from editors.kv.contract import FactText
from editors.kv.phrases import load
from editors.kv.trained import TrainedEncoder, load_encoder
from engines.contract import GenerateRequest, InjectedFact, Sampling
from engines.models import load_model, model_digest, resolve_model
from engines.transformers_engine import EngineSettings, TransformersEngine
from engines.vllm.engine import VllmEngine, VllmSettings, host_words
from kb_store.model import Content
from service.serving.vllm_model import vllm_python

_UNRELATED = -4.0  # the bias of facts that nobody asks for: they are looked at, and change little


@dataclass(frozen=True)
class Stand:
    """`reference` is the transformers engine; `encoder` compiles on it."""

    folder: Path
    model: Any
    tokenizer: Any
    reference: TransformersEngine
    encoder: TrainedEncoder
    world: Sequence[Content]

    def start(self, **settings: Any) -> VllmEngine:
        """A vLLM engine of the same model, ready."""
        chosen = VllmSettings(
            host_words(vllm_python(settings.pop("python", None))),
            **{"max_batch": 32, "max_context": 2048, "cache_bytes": 2**30, **settings},
        )
        engine = VllmEngine(
            self.folder, self.model, self.tokenizer, self.encoder.adapter, chosen, name=self.folder.name
        )
        try:
            engine.wait_ready()
        except BaseException:
            engine.close()
            raise
        return engine

    def compile(self, contents: Sequence[Content], bias: float = 0.0) -> list[InjectedFact]:
        """Facts as tokens."""
        texts = [
            FactText(f"{number}-{content.object}", content.subject, content.relation, content.object)
            for number, content in enumerate(contents)
        ]
        return [InjectedFact(tokens, bias) for tokens in self.encoder.compile(texts)]

    def unrelated(self, contents: Sequence[Content]) -> list[InjectedFact]:
        """The same for facts that fill attention and are not asked for; the answer's length does not depend on them."""
        return [replace(fact, bias=_UNRELATED) for fact in self.compile(contents)]


@contextmanager
def stand(model: str, encoder: str, facts: int, seed: int, threads: int | None) -> Iterator[Stand]:
    """Loads both."""
    folder = resolve_model(model)
    loaded, tokenizer = load_model(folder, torch.float32)
    read = load_encoder(encoder, folder.name)
    digest = model_digest(loaded)
    read.check(digest)
    engine = TransformersEngine(
        loaded,
        tokenizer,
        read.adapter,
        name=folder.name,
        digest=digest,
        settings=EngineSettings(max_batch=16, threads=threads),
    )
    world = invented_world(load(), facts, seed).contents(facts)
    try:
        yield Stand(folder, loaded, tokenizer, engine, read.bind(engine.call), world)
    finally:
        engine.close()


def passages(count: int, rng: random.Random, words: Callable[[], int]) -> list[str]:
    """Beginnings of ordinary texts."""
    texts = rng.sample(PASSAGES, len(PASSAGES))
    return [" ".join(texts[number % len(texts)].split()[: words()]) for number in range(count)]


def asking(content: Content) -> str:
    """A prompt that the fact answers."""
    return f"The {content.relation} of {content.subject} is"


def greedy(prompt: str, facts: Sequence[InjectedFact], tokens: int, scope: str = "") -> GenerateRequest:
    """A request without chance."""
    return GenerateRequest(prompt, tuple(facts), Sampling(max_tokens=tokens), scope=scope)
