"""A tiny random model in a folder that reads the phrase bank's language, and a recipe that trains it in seconds."""

from __future__ import annotations

import random
from functools import cache
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from editors.kv.phrases import load
from tests.unit.engines.tiny_models import byte_tokenizer, tiny_model

RECIPE = """
evaluation_problems = 1

[matching]
reader = ""
steps = 1
batch = 8
recalled = 0

[states]
steps = 0

[closer]
steps = 0

[rehearsal]
subjects = 4
epochs = 1

[start]
pairs = 40
batch = 20

[train]
steps = 2
checkpoint_every = 1
"""
_SPECIAL = ["<pad>", "<eos>", "<bos>", "<unk>"]
_TEXTS = 3000
_VOCABULARY = 1500


@cache
def bank_tokenizer() -> Any:
    """Words in few pieces, so that sequences stay short."""
    bank, rng = load(), random.Random(0)
    texts = []
    for _ in range(_TEXTS):
        relation = rng.choice(bank.relations)
        phrasing = rng.choice(relation.train_phrasings)
        subject, spoken = bank.subject(relation.subject_kind, rng), bank.object(relation.object_kind, rng)
        texts += [*phrasing.filled(subject, relation.name, spoken), f"The {relation.name} is {spoken}"]
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=_VOCABULARY, special_tokens=_SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    inner.train_from_iterator(texts, trainer)
    names = dict(zip(("pad_token", "eos_token", "bos_token", "unk_token"), _SPECIAL, strict=True))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, **names)
    tokenizer.chat_template = byte_tokenizer().chat_template
    return tokenizer


def bank_model(kind: str = "llama") -> Any:
    """Random, with the tokenizer's vocabulary."""
    tokenizer = bank_tokenizer()
    return tiny_model(
        kind,
        vocab_size=len(tokenizer),
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=tokenizer.bos_token_id,
        max_position_embeddings=512,
    )


def tiny_folder(folder: Path, kind: str = "llama") -> Path:
    """The model and its tokenizer in transformers layout."""
    bank_model(kind).save_pretrained(folder)
    bank_tokenizer().save_pretrained(folder)
    return folder
