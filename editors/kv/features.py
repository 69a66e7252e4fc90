"""What the encoder reads off a fact's text: the frozen model's own states around the object."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from editors.kv.contract import FactText, spoken
from engines.architectures import spec_for


@dataclass(frozen=True, slots=True)
class FactFeatures:
    """States for every token of every fact, facts one after another, each closed by one closing token."""

    context: Tensor  # [layers, tokens, hidden]: before the token, where it will be injected
    subject: Tensor  # [layers, tokens, hidden]: at the subject's last token
    embedding: (
        Tensor  # [tokens, hidden]: the direction that says the token, its row of the output map (tied: its
    )
    # input embedding; zeros for the closing token)
    late: (
        Tensor  # [tokens, hidden]: a late state at the token (for the closing one: at the last object token)
    )
    closing: Tensor  # [tokens] bool
    owner: Tensor  # [tokens]: index of the fact
    token_ids: Tensor  # [tokens]: the token to say, -1 for the closing one


@dataclass(frozen=True, slots=True)
class _Piece:
    ids: list[int]
    subject_end: int  # position of the subject's last token
    start: int  # position of the first object token


def statement(fact: FactText) -> str:
    """The sentence that is encoded, up to the object."""
    return f"{_named(fact)} is"


def _named(fact: FactText) -> str:
    return f"The {spoken(fact.relation)} of {fact.subject}"


@torch.no_grad()
def read_features(
    model: Any, tokenizer: Any, facts: Sequence[FactText], layers: Sequence[int], late_layer: int
) -> FactFeatures:
    """One forward of the frozen model over the facts' sentences."""
    room = spec_for(model).context
    pieces = [_pieces(tokenizer, fact, room) for fact in facts]
    length = max(len(piece.ids) for piece in pieces)
    device = next(model.parameters()).device
    ids = torch.full((len(pieces), length), tokenizer.pad_token_id, dtype=torch.long)
    mask = torch.zeros((len(pieces), length), dtype=torch.long)
    for row, piece in enumerate(pieces):
        ids[row, : len(piece.ids)] = torch.tensor(piece.ids)
        mask[row, : len(piece.ids)] = 1
    ids, mask = ids.to(device), mask.to(device)
    states = model.base_model(
        input_ids=ids, attention_mask=mask, output_hidden_states=True, use_cache=False
    ).hidden_states
    rows: list[int] = []
    before: list[int] = []
    subject_ends: list[int] = []
    at: list[int] = []
    said: list[int] = []
    for row, piece in enumerate(pieces):
        objects = len(piece.ids) - piece.start
        rows += [row] * (objects + 1)
        before += range(piece.start - 1, len(piece.ids))
        subject_ends += [piece.subject_end] * (objects + 1)
        at += [*range(piece.start, len(piece.ids)), len(piece.ids) - 1]
        said += [*piece.ids[piece.start :], -1]
    token_ids = torch.tensor(said, device=device)
    closing = token_ids < 0
    embedding = model.get_output_embeddings().weight[token_ids.clamp_min(0)].float()
    return FactFeatures(
        context=torch.stack([states[layer][rows, before].float() for layer in layers]),
        subject=torch.stack([states[layer][rows, subject_ends].float() for layer in layers]),
        embedding=torch.where(closing[:, None], 0.0, embedding),
        late=states[late_layer][rows, at].float(),
        closing=closing,
        owner=torch.tensor(rows, device=device),
        token_ids=token_ids,
    )


def object_ids(tokenizer: Any, text: str) -> list[int]:
    """The object's tokens as they follow a text: with a leading space."""
    ids: list[int] = tokenizer(" " + text, add_special_tokens=False).input_ids
    return ids


def _pieces(tokenizer: Any, fact: FactText, room: int) -> _Piece:
    """What the model has no room for is cut off: it could not be said either."""
    # Tokenised piece by piece, so that it is known where the subject ends and the object begins.
    named = tokenizer(_named(fact)).input_ids[-room // 2 :]
    verb = tokenizer(" is", add_special_tokens=False).input_ids
    said = object_ids(tokenizer, fact.object)[: room - len(named) - len(verb)]
    return _Piece([*named, *verb, *said], len(named) - 1, len(named) + len(verb))
