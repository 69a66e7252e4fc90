"""Labs of tiny models and a probe in their byte language: position = character."""

from __future__ import annotations

from circuits.lab import Lab
from circuits.probe import Placed, place
from tests.unit.engines.tiny_models import RandomAdapter, byte_tokenizer, tiny_model

PROMPT, SUBJECT, ANSWER = "Tom Berg is from", "Tom Berg", "Ulm"


def tiny_lab(kind: str = "llama", rows: int = 7) -> Lab:
    model = tiny_model(kind)
    return Lab(model, byte_tokenizer(), RandomAdapter.of(model), rows=rows)


def placed_in(lab: Lab, prompt: str = PROMPT, subject: str = SUBJECT) -> Placed:
    return place(lab, prompt, subject)
