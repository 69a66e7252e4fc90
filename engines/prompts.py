"""Prompts as the model sees them: plain text, or a chat in the model's own template."""

from __future__ import annotations

import copy
import threading
from collections.abc import Sequence
from typing import Any

from jinja2.exceptions import TemplateError

from engines.contract import Message
from engines.errors import InvalidRequest

# Tokens with which models end a text or a turn; configurations often name only one of a model's two.
_END_MARKERS = (
    "<|im_end|>",
    "<|endoftext|>",
    "<end_of_turn>",
    "<|eot_id|>",
    "<|end_of_text|>",
    "</s>",
    "<eos>",
)
_CONTENT = "\ue000"  # stands for what a message says, where only the template is of interest


class PromptEncoder:
    """Tokenises on any thread: it owns a copy of the tokenizer (a shared one fails when two threads meet in it)."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = copy.deepcopy(tokenizer)
        self._lock = threading.Lock()

    def encode(self, prompt: str | Sequence[Message], continuation: str = "") -> list[int]:
        """Token ids; InvalidRequest for a prompt that the model has no way to read."""
        text, is_chat = self._render(prompt)
        try:
            (text + continuation).encode()
        except UnicodeEncodeError as error:
            raise InvalidRequest("prompt", "is not valid Unicode text") from error
        with self._lock:
            # A template writes the special tokens itself.
            ids: list[int] = self._tokenizer(text + continuation, add_special_tokens=not is_chat).input_ids
        if not ids:
            raise InvalidRequest("prompt", "is empty")
        return ids

    def located(self, prompt: str | Sequence[Message]) -> tuple[list[int], list[tuple[int, int]], str]:
        """Token ids, where each token's characters begin and end, and the text that they are of.

        What the template of a chat adds is blank there: "Ant" is said in no "assistant".
        """
        ids = self.encode(prompt)
        text, is_chat = self._render(prompt)
        with self._lock:
            places: list[tuple[int, int]] = self._tokenizer(
                text, add_special_tokens=not is_chat, return_offsets_mapping=True
            ).offset_mapping
        said = text if isinstance(prompt, str) else self._only_contents(prompt, text)
        return ids, [(start, end) for start, end in places], said

    def encode_pair(self, prompt: str | Sequence[Message], continuation: str) -> tuple[list[int], list[int]]:
        """Prompt and continuation, tokenised as one text where its tokens allow a cut between them."""
        head, whole = self.encode(prompt), self.encode(prompt, continuation)
        if whole[: len(head)] == head:
            return head, whole[len(head) :]
        return head, self.alone(continuation)

    def alone(self, text: str) -> list[int]:
        """Token ids of a piece of text by itself, without special tokens."""
        with self._lock:
            ids: list[int] = self._tokenizer(text, add_special_tokens=False).input_ids
        return ids

    def pieces(self, ids: Sequence[int]) -> tuple[str, ...]:
        """Each token's own text."""
        with self._lock:
            return tuple(self._tokenizer.decode([token]) for token in ids)

    def _render(self, prompt: str | Sequence[Message]) -> tuple[str, bool]:
        if isinstance(prompt, str):
            return prompt, False
        if not prompt:
            raise InvalidRequest("prompt", "a chat needs at least one message")
        if self._tokenizer.chat_template is None:
            raise InvalidRequest("prompt", "this model has no chat template: give a plain text")
        messages = [{"role": message.role, "content": message.content} for message in prompt]
        try:
            rendered: str = self._tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=True
            )
        except TemplateError as error:
            raise InvalidRequest("prompt", f"the model's chat template refuses it: {error}") from error
        return rendered, True

    def _only_contents(self, prompt: Sequence[Message], text: str) -> str:
        """A rendered chat with its template's own text blanked; as it is where the template alters contents."""
        frame, _ = self._render([Message(message.role, _CONTENT) for message in prompt])
        head, *behind = frame.split(_CONTENT)
        if len(behind) != len(prompt) or not text.startswith(head):
            return text
        said = " " * len(head)
        for message, rest in zip(prompt, behind, strict=True):
            ways = (message.content, message.content.strip())
            written = next((way for way in ways if text.startswith(way + rest, len(said))), None)
            if written is None:
                return text
            said += written + " " * len(rest)
        return said if len(said) == len(text) else text


def end_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    """The tokens that end a generation."""
    found: set[int] = set()
    for stated in (model.generation_config.eos_token_id, tokenizer.eos_token_id):
        if stated is not None:
            found.update([stated] if isinstance(stated, int) else stated)
    added = tokenizer.get_added_vocab()
    found.update(added[marker] for marker in _END_MARKERS if marker in added)
    return frozenset(found)
