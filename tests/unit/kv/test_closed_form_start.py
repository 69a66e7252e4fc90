"""The closed-form start, for heads of any width."""

from __future__ import annotations

from typing import Any

import pytest

from editors.kv.contract import FactText
from editors.kv.encoder import EncoderConfig, KVEncoder
from editors.kv.start import StartSettings, closed_form_start
from engines.architectures import spec_for
from tests.unit.engines.tiny_models import tiny_model

PAIRS = [
    ("The capital of Peru is", FactText("", "Peru", "capital", "Lima")),
    ("The mayor of Kiel is", FactText("", "Kiel", "mayor", "Anna")),
] * 10


@pytest.mark.parametrize("kv_heads", [2, 4])
def test_states_may_be_narrower_than_the_keys_of_all_heads(tokenizer: Any, kv_heads: int) -> None:
    model = tiny_model("llama", vocab_size=len(tokenizer), num_key_value_heads=kv_heads, pad_token_id=0)
    spec = spec_for(model)
    assert (spec.kv_heads * spec.head_dim > spec.hidden) == (kv_heads == 4)
    encoder = KVEncoder(EncoderConfig(spec.hidden, spec.heads, spec.kv_heads, spec.head_dim, (1, 3), 3))
    assert all(alike > 0.9 for alike in closed_form_start(encoder, model, tokenizer, PAIRS, StartSettings()))
    key = encoder.key_context["1"].weight
    assert int(key.norm(dim=-1).count_nonzero()) == min(spec.kv_heads * spec.head_dim, spec.hidden)
