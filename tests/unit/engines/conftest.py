"""Engines of tiny models, which are fastest on one thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from engine_helpers import TOKENIZER
from tiny_models import RandomAdapter, tiny_model

from engines.transformers_engine import EngineSettings, TransformersEngine


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def start() -> Iterator[Callable[..., TransformersEngine]]:
    """Starts engines, and closes them at the end."""
    started: list[TransformersEngine] = []

    def begin(kind: str = "llama", adapter: Any = None, **settings: Any) -> TransformersEngine:
        model = tiny_model(kind)
        chosen = adapter or RandomAdapter.of(model)
        engine = TransformersEngine(model, TOKENIZER, chosen, name=kind, settings=EngineSettings(**settings))
        started.append(engine)
        return engine

    yield begin
    for engine in started:
        engine.close()
