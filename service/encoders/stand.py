"""A model with what encoders are measured by: the phrase bank's world, the retriever's evidence."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from editors.kv.encoder import KVEncoder
from editors.kv.phrases import PhraseBank
from editors.kv.phrases import load as load_phrases
from editors.kv.problems import Scorer
from editors.kv.states import bind_to_model
from editors.kv.storage import load_weights
from editors.kv.trained import LoadedEncoder
from editors.kv.world import World
from engines.embedder import SentenceEmbedder
from engines.models import load_model, model_digest
from kb_store.contract import Embedder
from service.encoders.models import model_folder
from service.serving.evidence import scorer


@dataclass(frozen=True)
class Stand:
    """Loaded once, for one piece of work."""

    name: str
    model: Any
    tokenizer: Any
    bank: PhraseBank
    world: World
    embedder: Embedder
    score: Scorer

    def encoder(self, folder: Path) -> KVEncoder:
        """The encoder of a folder; EncoderMismatch when it is not this model's."""
        module, manifest = load_weights(folder)
        LoadedEncoder(module, manifest, folder).check(model_digest(self.model))
        bind_to_model(module.meaning.states, self.model, self.tokenizer)
        return module


def set_up(model: str) -> Stand:
    """Loads a model by its name, as `service.encoders.models` has it. Blocks."""
    folder = model_folder(model)
    loaded, tokenizer = load_model(folder, dtype=torch.float32)
    bank, embedder = load_phrases(), SentenceEmbedder.load()
    world = World(bank, tokenizer)
    return Stand(folder.name, loaded, tokenizer, bank, world, embedder, scorer(embedder))
