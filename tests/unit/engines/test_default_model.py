"""The default model itself: real weights, real tokenizer, against the slow reference."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from slow_reference import reference_greedy, reference_logits
from tiny_models import RandomAdapter

from engines.contract import FinishReason, GenerateRequest, Message, Sampling
from engines.errors import ModelMissing
from engines.models import default_model_path, load_model
from engines.transformers_engine import TransformersEngine

pytestmark = pytest.mark.model
TOLERANCE = 1e-4
LAYERS = (10, 20)


@pytest.fixture(scope="module")
def engine() -> Iterator[TransformersEngine]:
    try:
        path = default_model_path()
    except ModelMissing as error:
        pytest.skip(str(error))
    model, tokenizer = load_model(path, torch.float32)
    started = TransformersEngine(model, tokenizer, RandomAdapter.of(model, LAYERS), name=path.name)
    yield started
    started.close()


def test_answers_with_no_one_and_many_facts_equal_the_reference(engine: TransformersEngine) -> None:
    adapter = RandomAdapter.of(engine._model, LAYERS)
    many = tuple(adapter.fact(f"m{i}", 1 + i % 3, bias=-2.0) for i in range(8))
    texts = ["The capital of France is", "Water boils at a temperature of about", "Hi"]
    sets = [(), many[:1], many]
    requests = [
        GenerateRequest(text, facts, Sampling(max_tokens=5)) for text, facts in zip(texts, sets, strict=True)
    ]
    answers = engine.generate(requests)
    for request, answer in zip(requests, answers, strict=True):
        ids = engine._tokenizer(request.prompt).input_ids
        count = len(answer.token_ids)
        tokens, scores = reference_greedy(engine._model, ids, adapter, request.facts, count)
        assert list(answer.token_ids) == tokens
        assert answer.log_probabilities == pytest.approx(scores, abs=TOLERANCE)
    assert answers[0].text.startswith(" Paris")


@torch.inference_mode()
def test_the_reference_is_the_model(engine: TransformersEngine) -> None:
    ids = engine._tokenizer("Facts are stored, and then they are looked at.").input_ids
    plain = engine._model(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
    assert (reference_logits(engine._model, ids).log_softmax(-1) - plain).abs().max() < TOLERANCE


def test_a_chat_ends_its_turn(engine: TransformersEngine) -> None:
    chat = [Message("user", "Answer with one word: what is the capital of France?")]
    handle = engine.submit(GenerateRequest(chat, sampling=Sampling(max_tokens=40)))
    text = "".join(handle)
    answer = handle.result(120)
    assert "Paris" in text
    assert "<|" not in text
    assert answer.finish_reason is FinishReason.STOP
    assert engine._tokenizer.convert_ids_to_tokens(answer.token_ids[-1]) == "<|im_end|>"
    assert answer.text == text == engine._tokenizer.decode(answer.token_ids, skip_special_tokens=True)
