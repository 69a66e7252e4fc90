"""How large the small model is, and for how long it learns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Size:
    """A model and its training."""

    layers: int
    hidden: int
    heads: int
    vocabulary: int
    steps: int
    batch: int  # rows of a step
    length: int  # tokens of a row
    learning_rate: float
    documents: int  # that the tokenizer learns from
    warmup: int = 40
    checkpoint_every: int = 50
    tied: bool = True  # whether tokens are said with the embeddings that they are read with


# `full` is meant to speak; `quick` to show that the whole way can be gone, in a minute or two.
SIZES: Mapping[str, Size] = {
    "full": Size(6, 256, 8, 4096, steps=1600, batch=16, length=128, learning_rate=1.5e-3, documents=20_000),
    "quick": Size(3, 128, 4, 2048, steps=240, batch=12, length=96, learning_rate=3e-3, documents=3_000),
}


def recipe_path(size: str) -> Path:
    """The recipe of the encoder that is trained for a model of this size."""
    return Path(__file__).parent / f"recipe_{size}.toml"
