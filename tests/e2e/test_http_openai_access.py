"""OpenAI's client where not everybody may do everything: keys, namespaces, rates; and its asynchronous half."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
import pytest

from service.access.keys import new_key
from tests.e2e.test_inference_service import QUESTION, save_tiny
from tests.http_calls import Http, http_running

CHAT: Any = [{"role": "user", "content": QUESTION}]
SPACES = ("berlin", "bremen", "hamburg")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """One that may everything, one for a single namespace, one that may only write."""
    file = tmp_path_factory.mktemp("keys") / "keys.txt"
    grants = {"root": "read,write,admin@*", "one": "read@bremen", "writer": "write@*"}
    return file, {name: new_key(file, name, [grant]) for name, grant in grants.items()}


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory, keys: tuple[Path, dict[str, str]]) -> Iterator[Http]:
    tiny = save_tiny(tmp_path_factory.mktemp("tiny"))
    with http_running(
        tmp_path_factory.mktemp("data"),
        engine=tiny,
        security={"api_keys_file": keys[0]},
        limits={"default_page_size": 2},
        quotas={"generate_per_second": 0.25, "burst_seconds": 20.0},
    ) as made:
        bearer = {"authorization": f"Bearer {keys[1]['root']}"}
        for space in SPACES:
            made.call("POST", "/v1/namespaces", {}, params={"namespaceId": space}, headers=bearer)
        yield made


def client(http: Http, key: str, retries: int = 0) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{http.address}/v1", api_key=key, max_retries=retries)


def ask(space: str, **more: Any) -> dict[str, Any]:
    return {"model": f"model@{space}", "messages": CHAT, "max_tokens": 3, **more}


def test_models_are_listed_beyond_a_page_and_found_by_name(
    http: Http, keys: tuple[Path, dict[str, str]]
) -> None:
    with client(http, keys[1]["root"]) as root:
        names = [model.id for model in root.models.list()]
        assert names == ["model", "model@berlin", "model@bremen", "model@default", "model@hamburg"]
        for name in names:
            assert root.models.retrieve(name).id == name
        for name in ("gpt-4o", "model@nowhere"):
            with pytest.raises(openai.NotFoundError):
                root.models.retrieve(name)
    with client(http, keys[1]["one"]) as one:
        assert [model.id for model in one.models.list()] == ["model"]
        assert one.models.retrieve("model@bremen").id == "model@bremen"
        with pytest.raises(openai.PermissionDeniedError):
            one.models.retrieve("model@berlin")


def test_keys_are_checked_as_everywhere(http: Http, keys: tuple[Path, dict[str, str]]) -> None:
    with client(http, "nobody") as stranger, pytest.raises(openai.AuthenticationError) as unknown:
        stranger.chat.completions.create(**ask("berlin"))
    assert (unknown.value.code, unknown.value.type) == ("unauthenticated", "authentication_error")
    with client(http, "nobody") as stranger, pytest.raises(openai.AuthenticationError):
        stranger.models.list()
    with client(http, keys[1]["writer"]) as writer, pytest.raises(openai.PermissionDeniedError) as refused:
        list(writer.chat.completions.create(**ask("berlin", stream=True)))
    assert refused.value.type == "permission_error"
    with client(http, keys[1]["one"]) as one:
        assert one.chat.completions.create(**ask("bremen")).choices[0].message.content
        with pytest.raises(openai.PermissionDeniedError):
            one.chat.completions.create(**ask("hamburg"))
        with pytest.raises(openai.PermissionDeniedError):  # the field counts, whatever the model's name says
            one.chat.completions.create(**ask("bremen"), extra_body={"namespace": "hamburg"})


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer il_nobody"}])
def test_strangers_learn_nothing_and_have_nothing_read(http: Http, headers: dict[str, str]) -> None:
    for name in ("model", "model@berlin", "gpt-4o"):
        code, error = http.refused("GET", f"/v1/models/{name}", headers=headers)
        assert (code, error["code"]) == (401, "unauthenticated")
    for path in ("/v1/completions", "/v1/chat/completions"):
        for body in (b"{nonsense", b'{"model": "gpt-4o", "messages": [], "prompt": ""}'):
            code, error = http.refused("POST", path, content=body, headers=headers)
            assert (code, error["code"]) == (401, "unauthenticated")


def test_the_client_waits_as_long_as_it_is_told(http: Http, keys: tuple[Path, dict[str, str]]) -> None:
    """Five calls at once are allowed, and one in four seconds."""
    asked: dict[str, Any] = {"model": "model@berlin", "prompt": "Hi", "max_tokens": 1}
    with client(http, keys[1]["root"]) as hasty, ThreadPoolExecutor(12) as crowd:
        calls = [crowd.submit(hasty.completions.create, **asked) for _ in range(12)]
        limited = [error for call in calls if (error := call.exception()) is not None]
    assert limited
    for error in limited:
        assert isinstance(error, openai.RateLimitError)
        assert (error.type, error.code) == ("rate_limit_error", "rate_exceeded")
        assert float(error.response.headers["retry-after"]) > 0
    with client(http, keys[1]["root"], retries=6) as patient:
        assert patient.completions.create(**asked).choices


def test_the_asynchronous_client_streams_several_at_once(
    http: Http, keys: tuple[Path, dict[str, str]]
) -> None:
    async def streamed(asking: openai.AsyncOpenAI) -> tuple[str, Any]:
        text, last = "", None
        async for chunk in await asking.chat.completions.create(**ask("hamburg", max_tokens=6, stream=True)):
            text += chunk.choices[0].delta.content or ""
            last = chunk
        return text, last

    async def both() -> list[tuple[str, Any]]:
        async with openai.AsyncOpenAI(
            base_url=f"{http.address}/v1", api_key=keys[1]["root"], max_retries=6
        ) as asking:
            return list(await asyncio.gather(streamed(asking), streamed(asking)))

    (one, last), (other, _) = asyncio.run(both())
    assert one
    assert one == other
    assert last.choices[0].finish_reason == "length"
    assert last.interleaf["grounding"] == "GROUNDING_NO_FACTS"
