"""A closer look: a text and the relations that it may ask for, read together in one run of the reader.

Vectors of a text and of a name are made apart from each other, so neither knows what it is compared with. Read
together, the words of both attend to each other, and rivals to rivals: "the vice principal" is not the principal.
It costs a run for every question, so it is taken only at what is stored of the subject that the text names
(docs/adr/0035).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from editors.kv.meaning import FLOOR
from engines.embedder import SentenceEmbedder
from engines.lots import alike
from engines.together import Together

_TEXT, _NAME = 128, 24  # tokens at most: of a text its end, of a name its beginning
AT_ONCE = 12  # names on a sheet
_LOT = 16  # sheets that are read together
# What a judge begins with: the cosine of text and name, as sharp as teaching the embedder leaves it.
_SHARPNESS, _NONE = 20.0, -8.0

Sheet = tuple[str, tuple[str, ...]]  # a text, and names of relations that it may ask for


@dataclass(frozen=True, slots=True)
class _Written:
    """A sheet as tokens. `part`: 0 for marks, 1 for the text, 2 and on for the names."""

    ids: list[int]
    part: list[int]


class Closer(nn.Module):
    """How likely each name is what its text asks for, as a log-odds."""

    def __init__(self, width: int) -> None:
        super().__init__()
        # Of the product of both vectors, and of the name's alone. Vectors of length 1 are short in each direction.
        self.scale = width**0.5
        self.product = nn.Parameter(torch.full((width,), _SHARPNESS / self.scale))
        self.name = nn.Parameter(torch.zeros(width))
        self.bias = nn.Parameter(torch.tensor(_NONE))

    def forward(self, model: Any, tokenizer: Any, sheets: Sequence[Sheet]) -> list[Tensor]:
        """For each sheet, [names]. Gradients flow, unless the caller says no."""
        written = [_write(tokenizer, sheet) for sheet in sheets]
        found: dict[int, Tensor] = {}
        for lot in alike([len(sheet.ids) for sheet in written], _LOT):
            ids = [torch.tensor(written[place].ids) for place in lot]
            parts = [torch.tensor(written[place].part) for place in lot]
            padded = nn.utils.rnn.pad_sequence(ids, True, tokenizer.pad_token_id)
            attended = nn.utils.rnn.pad_sequence([torch.ones_like(row) for row in ids], True)
            part = nn.utils.rnn.pad_sequence(parts, True)
            hidden = model(input_ids=padded, attention_mask=attended).last_hidden_state.float()
            with torch.autocast("cpu", enabled=False):  # a few numbers decide here: as they are
                judged = self._judged(hidden, part)
            for place, row in zip(lot, judged, strict=True):
                found[place] = row[: len(sheets[place][1])]
        return [found[place] for place in range(len(sheets))]

    def _judged(self, hidden: Tensor, part: Tensor) -> Tensor:
        """[sheets, most names]."""
        member = F.one_hot(part).float()[..., 1:]
        sums = torch.einsum("sth,stp->sph", hidden, member)
        middle = F.normalize(sums / member.sum(1).clamp_min(1)[..., None], dim=-1)
        text, names = middle[:, :1], middle[:, 1:]
        judged: Tensor = self.scale * ((text * names) @ self.product + names @ self.name) + self.bias
        return judged


_CHANGES = "reader."


class CloserLook:
    """A taught one at work. May be called from any thread; blocks while it reads."""

    def __init__(self, embedder: SentenceEmbedder, tensors: Mapping[str, Tensor]) -> None:
        """`tensors`: see `closer_tensors`."""
        changes = {name: value for name, value in tensors.items() if name.startswith(_CHANGES)}
        changed = embedder.adapted({name.removeprefix(_CHANGES): value for name, value in changes.items()})
        self._model, self._tokenizer = changed.model, changed.tokenizer
        self._head = Closer(embedder.dimension).requires_grad_(False)
        self._head.load_state_dict({n: v.float() for n, v in tensors.items() if n not in changes})
        self._together: Together[Sheet, list[Tensor]] = Together(self._read, _LOT)

    def __call__(self, sheets: Sequence[Sheet]) -> list[list[float]]:
        """The log-odds of each sheet's names, however many a sheet has."""
        pieces = [
            (place, (text, names[start : start + AT_ONCE]))
            for place, (text, names) in enumerate(sheets)
            for start in range(0, len(names), AT_ONCE)
        ]
        found: list[list[float]] = [[] for _ in sheets]
        if pieces:
            read = self._together([piece for _, piece in pieces])
            for (place, _), row in zip(pieces, read, strict=True):
                found[place] += row.tolist()
        return found

    @torch.inference_mode()
    def _read(self, sheets: Sequence[Sheet]) -> list[Tensor]:
        return self._head(self._model, self._tokenizer, sheets)  # type: ignore[no-any-return]


def weighed(fit: float, odds: float) -> float:
    """How well a relation fits (editors/kv/meaning.py), after a closer look."""
    return max(FLOOR, 0.5 * fit + 2.0 * F.logsigmoid(torch.tensor(odds)).item())


def closer_tensors(head: Closer, changes: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What is kept of a taught one: the changes to its reader, and what judges its vectors."""
    named = {f"{_CHANGES}{name}": value for name, value in changes.items()} | head.state_dict()
    return {name: value.detach().half().contiguous() for name, value in named.items()}


def _write(tokenizer: Any, sheet: Sheet) -> _Written:
    text, names = sheet
    ids, part = [tokenizer.cls_token_id], [0]
    pieces = [_tokens(tokenizer, text)[-_TEXT:], *(_tokens(tokenizer, name)[:_NAME] for name in names)]
    for number, piece in enumerate(pieces, 1):
        ids += [*piece, tokenizer.sep_token_id]
        part += [*[number] * len(piece), 0]
    return _Written(ids, part)


def _tokens(tokenizer: Any, text: str) -> list[int]:
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids
