"""The OpenAI-compatible paths on vLLM: the same tests as on the transformers engine, in one server's process."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import openai
import pytest

from tests.e2e.test_http_openai import (
    CHAT,
    cited,
    http_ready,
    test_a_chat_is_answered_with_the_facts_of_a_namespace,
    test_a_client_that_leaves_ends_the_decoding,
    test_a_completion_continues_a_prompt,
    test_a_streamed_chat_is_the_answer_in_pieces,
    test_a_strict_answer_that_no_fact_says_is_withheld_everywhere,
    test_generation_as_json,
    test_models_are_listed_alone_and_with_each_namespace,
    test_the_namespace_is_a_field_a_header_or_part_of_the_model,
    test_what_would_be_ignored_is_refused,
)
from tests.e2e.test_inference_service import save_tiny
from tests.http_calls import Http, http_running
from tests.vllm.models import PYTHON

__all__ = [
    "test_a_chat_is_answered_with_the_facts_of_a_namespace",
    "test_a_client_that_leaves_ends_the_decoding",
    "test_a_completion_continues_a_prompt",
    "test_a_streamed_chat_is_the_answer_in_pieces",
    "test_a_strict_answer_that_no_fact_says_is_withheld_everywhere",
    "test_generation_as_json",
    "test_models_are_listed_alone_and_with_each_namespace",
    "test_the_namespace_is_a_field_a_header_or_part_of_the_model",
    "test_what_would_be_ignored_is_refused",
]


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Http]:
    # vLLM's attention on CPUs takes heads of 32 numbers and more.
    tiny = save_tiny(tmp_path_factory.mktemp("tiny"), head_dim=32)
    engine = tiny | {
        "kind": "vllm",
        "vllm_python": PYTHON,
        "vllm_cache_mib": 64,
        "threads": 1,
        "max_queue": 64,
    }
    with http_running(tmp_path_factory.mktemp("data"), engine=engine) as made:
        http_ready(made)
        yield made


@pytest.fixture(scope="module")
def client(http: Http) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{http.address}/v1", api_key="unused", max_retries=0) as made:
        yield made


def test_many_at_once_are_answered_as_alone(client: openai.OpenAI) -> None:
    def ask(model: str) -> tuple[str | None, list[str]]:
        answer = client.chat.completions.create(model=model, messages=CHAT, max_tokens=8)
        return answer.choices[0].message.content, cited(answer)

    models = ["model@default", "model@other"]
    alone = {model: ask(model) for model in models}
    assert alone[models[0]] != alone[models[1]]
    with ThreadPoolExecutor(16) as pool:
        asked = models * 16
        assert list(pool.map(ask, asked)) == [alone[model] for model in asked]
