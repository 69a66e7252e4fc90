"""The second moment of what an MLP's down-projection reads: the directions that ordinary text uses."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from editors.weights.corpus import Corpus
from editors.weights.delta import tensor_digest
from editors.weights.errors import InvalidEdit
from editors.weights.hooks import forward_until
from editors.weights.model import EditableModel
from engines.decoding import left_padded, positions
from engines.models import Progress

_WINDOW = 256  # tokens of a text that are read at once
_ROWS = 8
_log = logging.getLogger("interleaf.edits")


def _silent(what: str, share: float) -> None:
    """Progress that nobody wants to see."""


@dataclass
class KeyStatistics:
    """Moments of the unedited model's keys, by layer: estimated once, then read from `folder` if there is one.

    A file is named by the digests of model and corpus, the layer and the number of tokens, and is checked when
    it is read; a damaged one is made again. Where none can be written, the moments are estimated in every run.
    """

    corpus: Corpus
    tokens: int = 50_000
    folder: Path | None = None
    progress: Progress = _silent
    # By model and layer; what is read from disk and what was just made are the same numbers.
    _known: dict[tuple[str, int], Tensor] = field(default_factory=dict, repr=False)

    def moments(self, editable: EditableModel, layers: Sequence[int]) -> dict[int, Tensor]:
        """Mean of k kᵀ over tokens for each layer: [d, d], float64, on the CPU."""
        missing = []
        for layer in dict.fromkeys(layers):
            key = (editable.digest, layer)
            if key not in self._known:
                stored = self._read(editable, layer)
                if stored is None:
                    missing.append(layer)
                else:
                    self._known[key] = stored
        if missing:
            for layer, moment in self._estimated(editable, missing).items():
                self._known[editable.digest, layer] = moment
                self._write(editable, layer, moment)
        return {layer: self._known[editable.digest, layer] for layer in layers}

    @torch.inference_mode()
    def _estimated(self, editable: EditableModel, layers: Sequence[int]) -> dict[int, Tensor]:
        ordered = sorted(layers)
        modules = [editable.spec.mlp_down(layer) for layer in ordered]
        sums: dict[int, Tensor] = {}
        read = 0
        with editable.original():
            for ids, mask in self._batches(editable):
                passed = forward_until(
                    editable.model,
                    modules,
                    input_ids=ids,
                    attention_mask=mask,
                    position_ids=positions(mask),
                )
                real = mask.bool()
                for layer, each in zip(ordered, passed, strict=True):
                    keys = each.read[real].float()
                    moment = (keys.T @ keys).double().cpu()
                    sums[layer] = sums[layer] + moment if layer in sums else moment
                read += int(real.sum())
                self.progress(f"key statistics of {len(ordered)} layers", min(1.0, read / self.tokens))
        if read == 0:
            raise InvalidEdit("corpus", f"{self.corpus.name} holds no text")
        return {layer: total / read for layer, total in sums.items()}

    def _batches(self, editable: EditableModel) -> Iterator[tuple[Tensor, Tensor]]:
        """Windows of the texts, until the number of tokens is reached."""
        window = min(_WINDOW, editable.spec.context)
        rows: list[list[int]] = []
        taken = 0
        for text in self.corpus.texts():
            ids = editable.prompts.encode(text)[: min(window, self.tokens - taken)]
            taken += len(ids)
            rows.append(ids)
            if len(rows) == _ROWS or taken >= self.tokens:
                yield left_padded(rows, editable.device)
                rows = []
            if taken >= self.tokens:
                return
        if rows:
            yield left_padded(rows, editable.device)

    def _path(self, editable: EditableModel, layer: int) -> Path | None:
        if self.folder is None:
            return None
        named = hashlib.sha256(f"{editable.digest}:{self.corpus.digest}:{self.tokens}:{layer}".encode())
        return self.folder / f"keys-{layer}-{named.hexdigest()[:24]}.safetensors"

    def _read(self, editable: EditableModel, layer: int) -> Tensor | None:
        path = self._path(editable, layer)
        if path is None:
            return None
        try:
            with safe_open(path, framework="pt") as file:
                moment: Tensor = file.get_tensor("moment")
                stated = (file.metadata() or {}).get("digest")
        except (OSError, SafetensorError):
            return None
        return moment.double() if tensor_digest(moment) == stated else None

    def _write(self, editable: EditableModel, layer: int, moment: Tensor) -> None:
        path = self._path(editable, layer)
        if path is None:
            return
        stored = moment.float().contiguous()
        # Later runs read float32: so does this one.
        self._known[editable.digest, layer] = stored.double()
        about = {
            "digest": tensor_digest(stored),
            "model": editable.digest,
            "corpus": f"{self.corpus.name} {self.corpus.digest}",
            "tokens": str(self.tokens),
            "layer": str(layer),
        }
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # In a folder of its own: another process may be estimating the same.
            with TemporaryDirectory(dir=path.parent) as folder:
                partial = Path(folder) / path.name
                save_file({"moment": stored}, partial, about)
                partial.replace(path)
        except (OSError, SafetensorError) as error:
            # They are in memory, which is all that this run needs.
            _log.warning("key statistics are not kept: %s", error)
