"""A tiny random Llama with a word-level tokenizer: small, but the real code all the way through."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from editors.kv.encoder import EncoderConfig, KVEncoder

WORDS = "The of is . mayor employer colour Anna Keller Tom Berg Norwind Shipping green Lisbon".split()


@pytest.fixture
def tokenizer() -> Any:
    vocabulary = {word: i for i, word in enumerate(["<unk>", "<pad>", *WORDS])}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="<unk>", pad_token="<pad>")


@pytest.fixture
def model() -> Any:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(WORDS) + 2,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=128,
    )
    return LlamaForCausalLM(config).eval().requires_grad_(False)


@pytest.fixture
def encoder() -> KVEncoder:
    torch.manual_seed(1)
    config = EncoderConfig(hidden=32, heads=4, kv_heads=2, head_dim=8, layers=(1, 3), late_layer=3)
    return KVEncoder(config)
