"""Answers as OpenAI's clients read them. What only Interleaf knows stands beside, under `interleaf`."""

from __future__ import annotations

import secrets
import time
from typing import Any

from google.rpc import status_pb2

from interleaf.v1 import inference_pb2
from service.http import problems
from service.http.openai_requests import Wanted
from service.http.transcode import tree_of

_FINISHES = {
    inference_pb2.FINISH_REASON_STOP: "stop",
    inference_pb2.FINISH_REASON_LENGTH: "length",
    inference_pb2.FINISH_REASON_ABSTAINED: "content_filter",  # what these clients call an answer that is withheld
}
_WITHHELD = "No stored fact says it."
_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "invalid_request_error",
    409: "conflict_error",
    429: "rate_limit_error",
}
# Said by OpenAI's own fields.
_SAID = ("text", "finishReason", "promptTokens", "generatedTokens", "model")


class Writer:
    """Writes the parts of one answer. `chat`: in the form of chats, not of completions."""

    def __init__(self, wanted: Wanted, chat: bool) -> None:
        self._wanted, self._chat = wanted, chat
        prefix = "chatcmpl" if chat else "cmpl"
        self._head = {
            "id": f"{prefix}-{secrets.token_hex(12)}",
            "created": int(time.time()),
            "model": wanted.model,
        }

    def whole(self, response: Any) -> dict[str, Any]:
        """The answer at once."""
        if self._chat:
            content, refusal = (None, _WITHHELD) if _is_withheld(response) else (response.text, None)
            said: dict[str, Any] = {"message": {"role": "assistant", "content": content, "refusal": refusal}}
        else:
            said = {"text": response.text}
        choice = {"index": 0, **said, "logprobs": None, "finish_reason": _FINISHES[response.finish_reason]}
        kind = "chat.completion" if self._chat else "text_completion"
        return {
            **self._head,
            "object": kind,
            "choices": [choice],
            "usage": _usage(response),
            "interleaf": _beside(response),
        }

    def first(self) -> dict[str, Any] | None:
        """What begins a stream: in chats, who speaks."""
        return self._chunk({"delta": {"role": "assistant", "content": ""}}, None) if self._chat else None

    def piece(self, text: str) -> dict[str, Any]:
        """A piece of the text."""
        return self._chunk({"delta": {"content": text}} if self._chat else {"text": text}, None)

    def last(self, response: Any) -> list[dict[str, Any]]:
        """What ends a stream: the reason and the citations, and the usage where it is wanted."""
        finish = _FINISHES[response.finish_reason]
        delta = {"refusal": _WITHHELD} if _is_withheld(response) else {}
        ends = [
            {
                **self._chunk({"delta": delta} if self._chat else {"text": ""}, finish),
                "interleaf": _beside(response),
            }
        ]
        if self._wanted.include_usage:
            ends.append({**self._chunk({}, None), "choices": [], "usage": _usage(response)})
        return ends

    def _chunk(self, said: dict[str, Any], finish: str | None) -> dict[str, Any]:
        choice = {"index": 0, **said, "logprobs": None, "finish_reason": finish}
        kind = "chat.completion.chunk" if self._chat else "text_completion"
        return {**self._head, "object": kind, "choices": [choice]}


def _is_withheld(response: Any) -> bool:
    return bool(response.finish_reason == inference_pb2.FINISH_REASON_ABSTAINED)


def _usage(response: Any) -> dict[str, int]:
    return {
        "prompt_tokens": response.prompt_tokens,
        "completion_tokens": response.generated_tokens,
        "total_tokens": response.prompt_tokens + response.generated_tokens,
    }


def _beside(response: Any) -> dict[str, Any]:
    tree = tree_of(response)
    return {name: value for name, value in tree.items() if name not in _SAID}


def error_of(status: status_pb2.Status) -> dict[str, Any]:
    """A failure as these clients read it."""
    return {
        "error": {
            "message": status.message,
            "type": _TYPES.get(problems.http_code(status), "api_error"),
            "param": problems.field_of(status),
            "code": problems.reason_of(status).lower() or None,
        }
    }
