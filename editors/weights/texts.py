"""Prompts as token ids, with the place of the subject's last token, and batches of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from editors.weights.errors import InvalidEdit
from editors.weights.model import EditableModel
from editors.weights.request import EditRequest
from engines.decoding import left_padded, positions


@dataclass(frozen=True, slots=True)
class Located:
    """A text, and a place in it."""

    ids: tuple[int, ...]
    at: int  # the subject's last token
    target: tuple[int, ...] = ()  # the tokens to be said after the prompt; all but the last are part of `ids`


@dataclass(frozen=True, slots=True)
class Rows:
    """Located texts as one batch, padded at the left."""

    inputs: dict[str, Tensor]
    rows: Tensor  # 0, 1, ...
    columns: Tensor  # where each text's place came to lie

    def __len__(self) -> int:
        return len(self.rows)


def asked(editable: EditableModel, request: EditRequest, prefix: str = "") -> Located:
    """The request's prompt, behind a prefix if there is one."""
    text, end = _prefixed(request, prefix)
    return Located(tuple(editable.prompts.encode(text)), subject_token(editable, text, end))


def taught(editable: EditableModel, request: EditRequest, prefix: str = "") -> Located:
    """The same with the target behind it, to be teacher-forced."""
    text, end = _prefixed(request, prefix)
    head, tail = editable.prompts.encode_pair(text, " " + request.target)
    if not tail:
        raise InvalidEdit("target", f"{request.target!r} has no tokens")
    return Located((*head, *tail[:-1]), subject_token(editable, text, end), tuple(tail))


def bare_subject(editable: EditableModel, request: EditRequest) -> Located:
    """The subject alone: what the model thinks of it is read off its last token."""
    text = request.subject
    return Located(tuple(editable.prompts.encode(text)), subject_token(editable, text, len(text)))


def subject_token(editable: EditableModel, text: str, end: int) -> int:
    """Index of the token that holds the character before `end`."""
    spans = editable.tokenizer(text, return_offsets_mapping=True)["offset_mapping"]
    return max(at for at, (start, stop) in enumerate(spans) if start < min(end, stop))


def batch(texts: Sequence[Located], device: torch.device) -> Rows:
    """One batch of all texts."""
    ids, mask = left_padded([text.ids for text in texts], device)
    length = ids.shape[1]
    columns = [length - len(text.ids) + text.at for text in texts]
    return Rows(
        {"input_ids": ids, "attention_mask": mask, "position_ids": positions(mask)},
        torch.arange(len(texts), device=device),
        torch.tensor(columns, device=device),
    )


def targets(texts: Sequence[Located], device: torch.device) -> Tensor:
    """[texts, longest target]: aligned at the right as the texts are; -100 where there is none."""
    longest = max(len(text.target) for text in texts)
    padded = [[-100] * (longest - len(text.target)) + list(text.target) for text in texts]
    return torch.tensor(padded, device=device)


def _prefixed(request: EditRequest, prefix: str) -> tuple[str, int]:
    start = f"{prefix}. " if prefix else ""
    return start + request.prompt, len(start) + request.subject_end
