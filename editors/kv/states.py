"""What the frozen model itself makes of a text that asks, and of a relation's name: its states, mapped to one space.

An embedder of sentences knows what a text is about; a language model's state at the end of "The captain of it announced
that they would be landing at" knows what must come next. Beside each other they judge better which relation is asked
for than either alone (docs/adr/0025). The model is run no further than the last layer that is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from editors.kv.trunk import states_before
from engines.architectures import spec_for
from engines.lots import alike

# Relative depths of the layers whose last state is read; of the second one the mean over the text as well.
DEPTHS = (0.33, 0.53, 0.73)
_BATCH = 64
_LONGEST = 160  # tokens; of a longer text the end is read

ReadStates = Callable[[Sequence[str]], Tensor]  # of a bound model: [texts, features]


class StateMaps(nn.Module):
    """From states to vectors, which are compared by their cosine. Buffers: taught once, before everything else."""

    text_weight: Tensor
    text_bias: Tensor
    name_weight: Tensor
    name_bias: Tensor

    def __init__(self, hidden: int, layers: Sequence[int], width: int) -> None:
        super().__init__()
        self.layers = tuple(layers)
        features = hidden * (len(layers) + 1)
        for side in ("text", "name"):
            self.register_buffer(f"{side}_weight", torch.zeros(width, features))
            self.register_buffer(f"{side}_bias", torch.zeros(width))
        self._read: ReadStates | None = None

    def bind(self, read: ReadStates) -> None:
        """Before it is asked: how texts are read by the model that the maps were made for."""
        self._read = read

    def read_as(self, other: StateMaps) -> None:
        """By the same model."""
        self._read = other._read

    def texts(self, texts: Sequence[str]) -> Tensor:
        """Unit vectors of texts that ask."""
        return F.normalize(
            F.linear(self._states(map(asking, texts)), self.text_weight, self.text_bias), dim=-1
        )

    def names(self, names: Sequence[str]) -> Tensor:
        """Unit vectors of relations' names, as one speaks."""
        return F.normalize(
            F.linear(self._states(map(naming, names)), self.name_weight, self.name_bias), dim=-1
        )

    def _states(self, texts: Iterable[str]) -> Tensor:
        if self._read is None:
            raise RuntimeError("the encoder is not bound to its model: relations cannot be judged")
        return self._read(list(texts))


def asking(text: str) -> str:
    """So that what comes next is the answer."""
    return f"Q: {text}\nA: It is" if text.rstrip().endswith((".", "?", "!", '"')) else text


def naming(name: str) -> str:
    """The same for a relation."""
    return f"The {name} of it is"


def state_layers(model: Any) -> tuple[int, ...]:
    """The layers that are read."""
    count = len(spec_for(model).layers)
    return tuple(sorted({min(count - 1, max(1, round(depth * count))) for depth in DEPTHS}))


def read_states(model: Any, tokenizer: Any, texts: Sequence[str], layers: Sequence[int]) -> Tensor:
    """[texts, features]: the last token's state at each layer and the mean over the text at the second, normalised."""
    places = {text: place for place, text in enumerate(dict.fromkeys(texts))}  # callers that wait ask alike
    ids = [tokenizer(text).input_ids[-_LONGEST:] for text in places]
    lots = alike([len(row) for row in ids], _BATCH)
    rows = torch.cat(
        [_features(model, tokenizer.pad_token_id, [ids[at] for at in lot], layers) for lot in lots]
    )
    back = torch.tensor([at for lot in lots for at in lot]).argsort()
    return rows[back[[places[text] for text in texts]]]


@torch.no_grad()
def _features(model: Any, padding: int, ids: Sequence[Sequence[int]], layers: Sequence[int]) -> Tensor:
    device = next(model.parameters()).device
    length = max(map(len, ids))
    padded = torch.tensor([[*row, *[padding] * (length - len(row))] for row in ids], device=device)
    mask = torch.tensor([[1] * len(row) + [0] * (length - len(row)) for row in ids], device=device)
    states = [state.float() for state in states_before(model, layers, input_ids=padded, attention_mask=mask)]
    row, last = torch.arange(len(ids), device=device), mask.sum(1) - 1
    middle = states[min(1, len(states) - 1)]
    mean = (middle * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
    parts = torch.stack([*(state[row, last] for state in states), mean], 1)
    return F.layer_norm(parts, parts.shape[-1:]).flatten(1).cpu()


def bind_to_model(maps: StateMaps | None, model: Any, tokenizer: Any) -> None:
    """For work that owns the model; the service reads on the engine's thread."""
    if maps is not None:
        layers = maps.layers
        maps.bind(lambda texts: read_states(model, tokenizer, texts, layers))
