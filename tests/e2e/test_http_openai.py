"""The OpenAI-compatible paths, called with the real `openai` client, and generation as JSON."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.e2e.test_inference_service import QUESTION, save_tiny
from tests.http_calls import Http, http_running, reason

CHAT: Any = [{"role": "user", "content": QUESTION}]


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Http]:
    tiny = save_tiny(tmp_path_factory.mktemp("tiny"))
    with http_running(tmp_path_factory.mktemp("data"), engine=tiny) as made:
        http_ready(made)
        yield made


def http_ready(http: Http) -> None:
    """Two namespaces that say different things of one person."""
    http.call("POST", "/v1/namespaces", {}, params={"namespaceId": "other"})
    for space, employer in (("default", "Werft"), ("other", "Hafenwerk")):
        made = http.add("Anna Keller", "employer", employer, space)
        query = {"query": QUESTION, "minRevision": made["namespaceRevision"]}
        http.call("POST", f"/v1/namespaces/{space}/facts:search", query)


@pytest.fixture(scope="module")
def client(http: Http) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{http.address}/v1", api_key="unused", max_retries=0) as made:
        yield made


def cited(answer: Any) -> list[str]:
    """The objects of the facts that an answer was given."""
    return [citation["object"] for citation in answer.interleaf["citations"]]


def test_models_are_listed_alone_and_with_each_namespace(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["model", "model@default", "model@other"]


def test_a_chat_is_answered_with_the_facts_of_a_namespace(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="model", messages=CHAT, max_completion_tokens=5)
    choice = answer.choices[0]
    assert (choice.message.role, choice.finish_reason) == ("assistant", "length")
    assert choice.message.content
    assert answer.usage is not None
    assert (answer.usage.completion_tokens, answer.usage.total_tokens) == (5, answer.usage.prompt_tokens + 5)
    assert cited(answer) == ["Werft"]
    assert answer.interleaf["grounding"] == "GROUNDING_GROUNDED"  # type: ignore[attr-defined]
    plain = client.chat.completions.create(
        model="model", messages=CHAT, max_tokens=5, extra_body={"retrieval": {"disabled": True}}
    )
    assert cited(plain) == []
    assert plain.choices[0].message.content != choice.message.content


def test_the_namespace_is_a_field_a_header_or_part_of_the_model(client: openai.OpenAI) -> None:
    create = client.chat.completions.create
    by_field = create(model="model", messages=CHAT, max_tokens=2, extra_body={"namespace": "other"})
    header = {"X-Interleaf-Namespace": "other"}
    by_header = create(model="model", messages=CHAT, max_tokens=2, extra_headers=header)
    by_model = create(model="model@other", messages=CHAT, max_tokens=2)
    assert cited(by_field) == cited(by_header) == cited(by_model) == ["Hafenwerk"]
    assert by_model.model == "model@other"
    both = create(
        model="model@default",
        messages=CHAT,
        max_tokens=2,
        extra_headers=header,
        extra_body={"namespace": "other"},
    )
    assert cited(both) == ["Hafenwerk"]
    with pytest.raises(openai.NotFoundError) as missing:
        create(model="model", messages=CHAT, extra_body={"namespace": "nowhere"})
    assert missing.value.code == "not_found"


def test_a_streamed_chat_is_the_answer_in_pieces(client: openai.OpenAI, http: Http) -> None:
    ask: Any = {"model": "model", "messages": CHAT, "max_tokens": 6}
    whole = client.chat.completions.create(**ask)
    chunks = list(client.chat.completions.create(**ask, stream=True, stream_options={"include_usage": True}))
    pieces = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert "".join(pieces) == whole.choices[0].message.content
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-2].choices[0].finish_reason == "length"
    assert cited(chunks[-2]) == ["Werft"]
    assert chunks[-1].usage == whole.usage
    assert len({chunk.id for chunk in chunks}) == 1
    seen = http.call("GET", "/v1/injections")["injections"]
    assert [entry["method"] for entry in seen[:2]] == ["StreamGenerate", "Generate"]


def test_a_completion_continues_a_prompt(client: openai.OpenAI) -> None:
    ask: Any = {"model": "model", "prompt": QUESTION, "max_tokens": 6, "temperature": 0.7, "seed": 7}
    whole = client.completions.create(**ask)
    assert whole.object == "text_completion"
    assert cited(whole) == ["Werft"]
    assert client.completions.create(**{**ask, "prompt": [QUESTION]}).choices == whole.choices
    chunks = list(client.completions.create(**ask, stream=True))
    assert "".join(chunk.choices[0].text for chunk in chunks) == whole.choices[0].text
    stop = whole.choices[0].text[2]
    stopped = client.completions.create(**ask, stop=stop).choices[0]
    assert (stopped.finish_reason, stop in stopped.text) == ("stop", False)


def test_a_strict_answer_that_no_fact_says_is_withheld_everywhere(client: openai.OpenAI, http: Http) -> None:
    ask: Any = {"model": "model", "messages": CHAT, "max_tokens": 6, "extra_body": {"strict": True}}
    withheld = client.chat.completions.create(**ask).choices[0]  # the untrained model babbles
    assert (withheld.finish_reason, withheld.message.content) == ("content_filter", None)
    assert withheld.message.refusal
    *_, last = client.chat.completions.create(**ask, stream=True)
    assert (last.choices[0].finish_reason, last.choices[0].delta.refusal) == (
        "content_filter",
        withheld.message.refusal,
    )
    chunk = {"role": "assistant", "content": "", "refusal": withheld.message.refusal}
    for said in (withheld.message, chunk):  # as history, as it came
        history: Any = [*CHAT, said, *CHAT]
        assert client.chat.completions.create(model="model", messages=history, max_tokens=2).choices
    detailed = {"prompt": QUESTION, "sampling": {"maxTokens": 6}, "strict": True, "details": True}
    answer = http.call("POST", "/v1/namespaces/default:generate", detailed)
    assert (answer["finishReason"], answer["text"], answer["tokens"]) == ("FINISH_REASON_ABSTAINED", "", [])
    seen = http.call("GET", "/v1/injections")["injections"][0]
    assert (seen["finishReason"], seen["text"]) == ("FINISH_REASON_ABSTAINED", "")


def test_parts_and_developers_are_understood(client: openai.OpenAI) -> None:
    messages: Any = [
        {"role": "developer", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Who is the employer "},
                {"type": "text", "text": "of Anna Keller?"},
            ],
        },
    ]
    assert cited(client.chat.completions.create(model="model", messages=messages, max_tokens=2)) == ["Werft"]


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"n": 2}, "n"),
        ({"temperature": -1}, "sampling.temperature"),
        ({"max_tokens": 10**9}, "sampling.max_tokens"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"messages": [{"role": "tool", "content": "x", "tool_call_id": "y"}]}, "chat.messages[0].role"),
        ({"messages": []}, "chat.messages"),
        ({"messages": [*CHAT, {"role": "assistant", "content": None}, *CHAT]}, "messages[1].content"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
            "messages[0].content[0]",
        ),
        ({"extra_body": {"surprise": 1}}, "surprise"),
        ({"extra_body": {"namespace": "No Such Form"}}, "parent"),
    ],
)
def test_what_would_be_ignored_is_refused(client: openai.OpenAI, change: Any, param: str) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(**{"model": "model", "messages": CHAT, **change})
    assert (refused.value.param, refused.value.type) == (param, "invalid_request_error")
    assert refused.value.code in ("invalid_field", "limit_exceeded")


def test_another_model_is_not_found_and_nothing_is_served_without_one(
    client: openai.OpenAI, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with pytest.raises(openai.NotFoundError) as missing:
        client.chat.completions.create(model="gpt-4o", messages=CHAT)
    assert missing.value.param == "model"
    with http_running(tmp_path_factory.mktemp("data")) as http:
        assert http.call("GET", "/v1/models")["data"] == []
        code, error = http.refused("POST", "/v1/completions", {"model": "x", "prompt": "Hello"})
        assert (code, error["code"]) == (400, "no_model")


def test_generation_as_json(http: Http) -> None:
    ask = {"prompt": QUESTION, "sampling": {"maxTokens": 6}}
    answer = http.call("POST", "/v1/namespaces/default:generate", ask)
    assert [citation["object"] for citation in answer["citations"]] == ["Werft"]
    assert (answer["generatedTokens"], answer["finishReason"]) == (6, "FINISH_REASON_LENGTH")
    *pieces, last = http.events("/v1/namespaces/default:streamGenerate", ask)
    assert "".join(piece["text"] for piece in pieces) == last["response"]["text"] == answer["text"]
    both = http.call("POST", "/v1/namespaces/default:compare", ask)
    assert (both["edited"]["text"], both["original"]["citations"]) == (answer["text"], [])
    scores = http.call(
        "POST", "/v1/namespaces/default:score", {"prompt": QUESTION, "continuations": [" Werft", " Kiel"]}
    )
    assert [len(score["tokens"]) for score in scores["scores"]] == [6, 5]
    code, error = http.refused("POST", "/v1/namespaces/nowhere:streamGenerate", ask)
    assert (code, reason(error)) == (404, "NOT_FOUND")


def test_a_client_that_leaves_ends_the_decoding(http: Http) -> None:
    """Others are answered at once: two are decoded together here, and the two that are left would take their time."""
    ask = {"prompt": QUESTION, "sampling": {"maxTokens": 300}}

    def waited() -> float:
        for _ in range(2):
            with http.client.stream("POST", "/v1/namespaces/default:streamGenerate", json=ask) as response:
                assert next(response.iter_lines())
        return seconds({"prompt": "Hi", "sampling": {"maxTokens": 1}})

    def seconds(asked: Any) -> float:
        began = time.monotonic()
        http.call("POST", "/v1/namespaces/default:generate", asked)
        return time.monotonic() - began

    # On a machine that is busy with other things one measurement says little; where decoding went on, none passes.
    assert any(waited() < seconds(ask) / 2 for _ in range(4))
