"""The encoder: linear maps from a frozen model's own states to key/value tokens, and the query beside them.

A fact "The {relation} of {subject} is {object}" becomes one token per object token, and a closing one. Token
j's key says what precedes it (subject, relation, object so far) and what it is itself, so that a question can
look for what would fit; its value says object token j; the closing token's value says that the object ends here.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from editors.kv.features import FactFeatures
from editors.kv.meaning import Meaning
from editors.kv.prior import Prior
from editors.kv.states import StateMaps


@dataclass(frozen=True, slots=True)
class EncoderConfig:
    """Shape of an encoder. `layers` are where facts are attended to; `late_layer` is read for values.

    `background_*`: sizes of what relations are judged against (editors.kv.meaning), in vectors of `embedder_width`, of
    which the last `state_width` come from the model's own states at `state_layers`; how texts ask for the first
    `recalled_relations` is known. `reader`: the text embedder that they come from; none: retrieval's."""

    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    layers: tuple[int, ...]
    late_layer: int
    background_relations: int = 0
    background_texts: int = 0
    embedder_width: int = 0
    state_layers: tuple[int, ...] = ()
    state_width: int = 0
    recalled_relations: int = 0
    reader: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain types."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> EncoderConfig:
        """Inverse of `to_json`."""
        lists = {name: tuple(data.get(name, ())) for name in ("layers", "state_layers")}
        return cls(**{**data, **lists})


class KVEncoder(nn.Module):
    """Trainable maps; also the adapter that runs inside the model's attention."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        out_kv, out_q = config.kv_heads * config.head_dim, config.heads * config.head_dim
        self.key_context = self._per_layer(config.hidden, out_kv)
        self.key_subject = self._per_layer(config.hidden, out_kv)
        self.key_object = self._per_layer(2 * config.hidden, out_kv)
        self.value = self._per_layer(2 * config.hidden, out_kv)
        self.query_map = self._per_layer(config.hidden, out_q)
        self.bias = nn.ParameterDict(
            {str(layer): nn.Parameter(torch.zeros(config.heads)) for layer in config.layers}
        )
        self.end = nn.Parameter(torch.zeros(config.hidden))
        self.prior = Prior()
        self.meaning = Meaning(
            torch.zeros(config.background_relations, config.embedder_width),
            torch.zeros(config.background_texts, config.embedder_width),
            StateMaps(config.hidden, config.state_layers, config.state_width)
            if config.state_layers
            else None,
            torch.zeros(config.recalled_relations, config.embedder_width - config.state_width)
            if config.recalled_relations
            else None,
        )
        self.meaning.reader = config.reader
        self.digest = "untrained"

    def _per_layer(self, size_in: int, size_out: int) -> nn.ModuleDict:
        return nn.ModuleDict({str(layer): nn.Linear(size_in, size_out) for layer in self.config.layers})

    @property
    def layers(self) -> tuple[int, ...]:
        """Where facts are attended to."""
        return self.config.layers

    def tokens(self, features: FactFeatures) -> tuple[Tensor, Tensor]:
        """Keys and values [layers, tokens, kv heads, head dim] of facts whose features were read."""
        content = self._content(features)
        values = torch.stack([self.value[str(layer)](content) for layer in self.config.layers])
        return self.keys(features), values.view(self._shape)

    def keys(self, features: FactFeatures) -> Tensor:
        """What queries are compared with, [layers, tokens, kv heads, head dim]."""
        content = self._content(features)
        keys = [
            self.key_context[str(layer)](normalised(features.context[position]))
            + self.key_subject[str(layer)](normalised(features.subject[position]))
            + self.key_object[str(layer)](content)
            for position, layer in enumerate(self.config.layers)
        ]
        return torch.stack(keys).view(self._shape)

    @property
    def _shape(self) -> tuple[int, int, int, int]:
        return len(self.config.layers), -1, self.config.kv_heads, self.config.head_dim

    def _content(self, features: FactFeatures) -> Tensor:
        said = torch.where(features.closing[:, None], self.end, normalised(features.embedding))
        return torch.cat([said, normalised(features.late)], dim=-1)

    def query(self, layer: int, residual: Tensor) -> Tensor:
        """The KB query of each position, from the residual stream that enters the layer."""
        batch, length, _ = residual.shape
        projected = self.query_map[str(layer)](normalised(residual))
        heads: Tensor = projected.view(batch, length, self.config.heads, self.config.head_dim).transpose(1, 2)
        return heads

    def linear_query(self, layer: int) -> tuple[Tensor, Tensor]:
        """`query` as weight and bias of a map over the normalised residual stream: engines elsewhere need no more."""
        projection: nn.Linear = self.query_map[str(layer)]  # type: ignore[assignment]
        return projection.weight, projection.bias

    def head_bias(self, layer: int) -> Tensor:
        """How readily each head looks at facts."""
        bias: Tensor = self.bias[str(layer)]
        return bias


def normalised(states: Tensor) -> Tensor:
    """Layer norm without parameters, in float32: residual streams grow with depth, the maps must not care."""
    return F.layer_norm(states.float(), states.shape[-1:])
