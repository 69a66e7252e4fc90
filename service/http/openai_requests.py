"""What OpenAI's clients send, as a GenerateRequest. What would be ignored silently and change the answer is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message

from interleaf.v1 import inference_pb2
from kb_store.errors import InvalidInput
from service.http.transcode import parse

NAMESPACE = "x-interleaf-namespace"
# Said by clients to their provider, of no consequence to an answer.
_PASSED_OVER = frozenset(
    (
        "user",
        "metadata",
        "store",
        "service_tier",
        "safety_identifier",
        "prompt_cache_key",
        "parallel_tool_calls",
    )
)
# What these may be: the values that change nothing.
_ONLY: Mapping[str, tuple[Any, ...]] = {
    "n": (1,),
    "best_of": (1,),
    "echo": (False,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "logit_bias": ({},),
    "suffix": ("",),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "modalities": (["text"],),
    "response_format": ({"type": "text"},),
}
_READ = frozenset(
    (
        "model",
        "messages",
        "prompt",
        "max_tokens",
        "max_completion_tokens",
        "temperature",
        "top_p",
        "seed",
        "stop",
        "stream",
        "stream_options",
        "namespace",
        "retrieval",
        "strict",
    )
)
_ROLES = {"developer": "system"}  # what newer clients call it


class NoSuchModel(InvalidInput):
    """Another model than the served one is asked for."""

    def __init__(self, name: str, served: str) -> None:
        super().__init__("model", f"this server serves {served!r}, not {name[:100]!r}")


@dataclass(frozen=True)
class Wanted:
    """A request, read."""

    request: Message
    model: str
    stream: bool
    include_usage: bool


def read_chat(body: Mapping[str, Any], header: str, served: str, default: str) -> Wanted:
    """Of /v1/chat/completions."""
    messages = body.get("messages")
    if not isinstance(messages, list):
        raise InvalidInput("messages", "must be a list")
    turns = [_turn(f"messages[{index}]", turn) for index, turn in enumerate(messages)]
    return _wanted(body, {"chat": {"messages": turns}}, header, served, default)


def read_completion(body: Mapping[str, Any], header: str, served: str, default: str) -> Wanted:
    """Of /v1/completions."""
    prompt = body.get("prompt")
    if isinstance(prompt, list) and len(prompt) == 1:
        prompt = prompt[0]
    if not isinstance(prompt, str):
        raise InvalidInput("prompt", "must be one text")
    return _wanted(body, {"prompt": prompt}, header, served, default)


def _wanted(body: Mapping[str, Any], asked: dict[str, Any], header: str, served: str, default: str) -> Wanted:
    _check(body)
    name, _, suffix = _text(body, "model", served).partition("@")
    if name != served:
        raise NoSuchModel(name, served)
    namespace = _text(body, "namespace", "") or header or suffix or default
    tree = {
        **asked,
        "parent": f"namespaces/{namespace}",
        "sampling": _sampling(body),
        "strict": _flag(body, "strict"),
        "retrieval": body.get("retrieval") or {},
    }
    options = body.get("stream_options") or {}
    if not isinstance(options, dict):
        raise InvalidInput("stream_options", "must be an object")
    return Wanted(
        parse(tree, inference_pb2.GenerateRequest()),
        f"{name}@{suffix}" if suffix else name,
        _flag(body, "stream"),
        _flag(options, "include_usage"),
    )


def _check(body: Mapping[str, Any]) -> None:
    for name, value in body.items():
        if name in _READ or name in _PASSED_OVER or value is None:
            continue
        if name not in _ONLY:
            raise InvalidInput(name[:100], "is not understood here")
        if value not in _ONLY[name]:
            raise InvalidInput(name, f"can only be {' or '.join(map(repr, _ONLY[name]))} here")


def _sampling(body: Mapping[str, Any]) -> dict[str, Any]:
    stop = body.get("stop") or []
    longest = body.get("max_completion_tokens")
    tree = {
        "maxTokens": body.get("max_tokens") if longest is None else longest,
        "temperature": body.get("temperature"),
        "topP": body.get("top_p"),
        "seed": body.get("seed"),
        "stop": [stop] if isinstance(stop, str) else stop,
    }
    return {name: value for name, value in tree.items() if value is not None}


def _turn(field: str, turn: Any) -> dict[str, str]:
    if not isinstance(turn, dict):
        raise InvalidInput(field, "must be an object")
    role, content, refusal = turn.get("role"), turn.get("content"), turn.get("refusal")
    if role == "assistant" and not content and isinstance(refusal, str):
        content = refusal  # an answer that was withheld: what stood in its place is what the user read
    return {
        "role": _ROLES.get(str(role), str(role)),
        "content": _content(f"{field}.content", content),
    }


def _content(field: str, content: Any) -> str:
    """A text, or a list of parts that are texts."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise InvalidInput(field, "must be a text, or a list of texts")
    texts = []
    for index, part in enumerate(content):
        if not isinstance(part, dict) or part.get("type") != "text" or not isinstance(part.get("text"), str):
            raise InvalidInput(f"{field}[{index}]", "must be a text: this model reads nothing else")
        texts.append(part["text"])
    return "".join(texts)


def _text(body: Mapping[str, Any], name: str, default: str) -> str:
    value = body.get(name, default)
    if not isinstance(value, str):
        raise InvalidInput(name, "must be a text")
    return value


def _flag(body: Mapping[str, Any], name: str) -> bool:
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise InvalidInput(name, "must be true or false")
    return bool(value)
