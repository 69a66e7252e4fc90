"""A trained encoder at work: found on disk, checked against its model, compiling facts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from editors.kv.calibration import Calibration, read_calibration
from editors.kv.contract import Evidence, FactText
from editors.kv.encoder import KVEncoder
from editors.kv.features import read_features, statement
from editors.kv.meaning import Meaning
from editors.kv.states import StateMaps, read_states
from editors.kv.storage import load_weights
from engines.contract import KVAdapter, KVTokens
from engines.lots import alike, guessed
from engines.together import Together

T = TypeVar("T")


class RunOnModel(Protocol):
    """Runs a function on the thread that owns the model; engines offer it as `call`."""

    def __call__(self, function: Callable[[Any, Any], T], /) -> Future[T]:
        """Does not wait."""
        ...


SHIPPED = Path(__file__).parent / "weights"
_BATCH = 64


class EncoderMismatch(ValueError):
    """The encoder was trained for another model."""


class LoadedEncoder:
    """An encoder read from disk, not yet bound to a model that runs."""

    def __init__(
        self,
        module: KVEncoder,
        manifest: dict[str, Any],
        folder: Path,
        calibration: Calibration | None = None,
    ) -> None:
        self._module, self.manifest, self.folder = module, manifest, folder
        self.calibration = calibration

    @property
    def adapter(self) -> KVAdapter:
        """Give it to the engine at start."""
        return self._module

    @property
    def meaning(self) -> Meaning:
        """Judges relations by meaning."""
        return self._module.meaning

    @property
    def digest(self) -> str:
        """Names the weights."""
        return self._module.digest

    def check(self, model_digest: str, embedder_digest: str = "") -> None:
        """EncoderMismatch unless it was trained for this model, and with this embedder (where one is named)."""
        wanted = self.manifest["model_digest"]
        if wanted != model_digest:
            raise EncoderMismatch(
                f"encoder {self.digest} was trained for {self.manifest['model']} ({wanted}), "
                f"the served model is {model_digest}: train one with `interleaf encoder train`"
            )
        known = self.manifest.get("data", {}).get("embedder", "")
        if known and embedder_digest not in ("", known):
            raise EncoderMismatch(
                f"encoder {self.digest} was trained with the embedder {known}, the configured one is "
                f"{embedder_digest}: relations would be judged by vectors that mean something else"
            )

    def bind(self, run_on_model: RunOnModel) -> TrainedEncoder:
        """The encoder ready to compile, on the engine's own model."""
        return TrainedEncoder(self._module, self.manifest, run_on_model, self.calibration)


def load_encoder(name: str, model_name: str, calibrations: Path | None = None) -> LoadedEncoder:
    """`default`: the encoder shipped for this model. Otherwise the folder of an encoder.

    Its calibration is looked for in `calibrations`, or beside it; one made for other weights is passed over.
    """
    folder = SHIPPED / model_name if name == "default" else Path(name)
    if not (folder / "manifest.json").is_file():
        known = (
            ", ".join(sorted(path.name for path in SHIPPED.iterdir() if path.is_dir()))
            if SHIPPED.is_dir()
            else ""
        )
        raise FileNotFoundError(f"no encoder at {folder}; encoders are shipped for: {known or 'no model'}")
    module, manifest = load_weights(folder)
    return LoadedEncoder(module, manifest, folder, read_calibration(calibrations or folder, module.digest))


class TrainedEncoder:
    """Implements `editors.kv.contract.FactEncoder`."""

    def __init__(
        self,
        module: KVEncoder,
        manifest: dict[str, Any],
        run_on_model: RunOnModel,
        calibration: Calibration | None = None,
    ) -> None:
        self._module, self._manifest, self._run = module, manifest, run_on_model
        self._calibration = calibration
        if module.meaning.states is not None:
            self._bind(module.meaning.states)

    def _bind(self, maps: StateMaps) -> None:
        """Texts are read on the model's thread; those of callers who wait meanwhile are read together."""
        layers = maps.layers

        def read(texts: Sequence[str]) -> NDArray[np.float32]:
            return (
                self._run(lambda model, tokenizer: read_states(model, tokenizer, texts, layers))
                .result()
                .numpy()
            )

        together: Together[str, NDArray[np.float32]] = Together(read, _BATCH)
        maps.bind(lambda texts: torch.from_numpy(together(texts)))

    @property
    def digest(self) -> str:
        """Names the weights."""
        return self._module.digest

    @property
    def adapter(self) -> KVAdapter:
        """The part that runs inside attention."""
        return self._module

    @property
    def grounded_threshold(self) -> float:
        """Calibrated on held-out facts, or on a namespace's."""
        if self._calibration is not None:
            return self._calibration.grounded_threshold
        return float(self._manifest["calibration"]["grounded_threshold"])

    @property
    def meaning(self) -> Meaning:
        """Judges relations by meaning."""
        return self._module.meaning

    def compile(self, facts: Sequence[FactText]) -> list[KVTokens]:
        """Blocks until the model's thread has run the facts' sentences."""
        if not facts:
            return []
        return self._run(lambda model, tokenizer: self._compile(model, tokenizer, facts)).result()

    @property
    def fit_needed(self) -> float:
        """The prior's threshold, as calibration has it."""
        return float(self._module.prior.likely) - self._weight[1]

    def biases(self, evidence: Sequence[Evidence], wanted: bool = False) -> list[float | None]:
        """The prior, as calibration has it."""
        return self._module.prior.biases(evidence, *self._weight, wanted)

    @property
    def _weight(self) -> tuple[float, float]:
        """Scale and offset."""
        known = self._calibration
        return (known.prior_scale, known.prior_offset) if known else (1.0, 0.0)

    def _compile(self, model: Any, tokenizer: Any, facts: Sequence[FactText]) -> list[KVTokens]:
        return compile_facts(self._module, model, tokenizer, facts)


@torch.inference_mode()
def compile_facts(module: KVEncoder, model: Any, tokenizer: Any, facts: Sequence[FactText]) -> list[KVTokens]:
    """Key/value tokens of each fact, in half precision (they are kept by the thousand)."""
    config = module.config
    compiled: dict[int, KVTokens] = {}
    for chunk in alike([guessed(statement(fact) + fact.object) for fact in facts], _BATCH):
        features = read_features(
            model, tokenizer, [facts[i] for i in chunk], config.layers, config.late_layer
        )
        keys, values = module.tokens(features)
        for position, index in enumerate(chunk):
            own = features.owner == position
            compiled[index] = KVTokens(
                key=facts[index].key,
                encoder=module.digest,
                keys=keys[:, own].half().contiguous(),
                values=values[:, own].half().contiguous(),
                said=tuple(features.token_ids[own & ~features.closing].tolist()),
            )
    return [compiled[i] for i in range(len(facts))]
