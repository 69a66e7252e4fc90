"""The served model and its encoder, loaded as the configuration says and checked to fit each other."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import torch

from editors.headmap.maps import SideMaps, attach
from editors.headmap.storage import load_maps
from editors.kv.contract import FactEncoder
from editors.kv.encoder import KVEncoder
from editors.kv.trained import EncoderMismatch, LoadedEncoder, load_encoder
from editors.weights.errors import EditError
from editors.weights.model import EditableModel
from engines.architectures import spec_for
from engines.contract import Engine, KVAdapter
from engines.errors import EngineError
from engines.models import load_model, model_digest, pick_dtype, resolve_model
from engines.reader import reader_path
from engines.transformers_engine import EngineSettings as TransformersSettings
from engines.transformers_engine import TransformersEngine
from kb_store.errors import NotFound
from service.config import ConfigError, EngineSettings
from service.edits.jobs import LabModel
from service.edits.live import LiveEdits
from service.edits.shelf import EditShelf
from service.encoders.shelf import Shelf, encoder_id_of
from service.serving.vllm_model import start_vllm

T = TypeVar("T")


@dataclass(frozen=True)
class ServedModel:
    """What answers questions. Without an encoder it is the plain model."""

    engine: Engine
    encoder: FactEncoder | None
    top_k: int | None = None  # as the encoder was calibrated
    live: LiveEdits | None = None  # None where the engine's weights cannot be changed
    lab: LabModel | None = None
    compiler: TransformersEngine | None = None  # of facts, where the engine does not do it

    def close(self) -> None:
        """Frees everything."""
        self.engine.close()
        if self.compiler is not None:
            self.compiler.close()


def device_of(settings: EngineSettings) -> str:
    """The device that is meant."""
    if settings.device != "auto":
        return settings.device
    return "cuda" if torch.cuda.is_available() else "cpu"


def dtype_of(settings: EngineSettings, device: str) -> torch.dtype:
    """The precision that is meant."""
    if settings.dtype == "auto":
        return pick_dtype(device)
    chosen: torch.dtype = getattr(torch, settings.dtype)
    return chosen


def find_encoder(settings: EngineSettings, model_name: str, data_dir: Path) -> LoadedEncoder | None:
    """The encoder that is meant, with its calibration. FileNotFoundError when it is not there."""
    if settings.encoder == "none":
        return None
    try:
        found = Shelf(data_dir).named(settings.encoder, model_name)
    except NotFound:
        return load_encoder(settings.encoder, model_name)  # says which there are
    return load_encoder(str(found.folder), model_name, found.calibration_folder)


def calibrations(encoder: LoadedEncoder, data_dir: Path) -> Path:
    """The folder in which an encoder's calibration is kept."""
    try:
        found = Shelf(data_dir).get(encoder_id_of(encoder.folder.name))
    except NotFound:
        return encoder.folder
    return found.calibration_folder if found.folder == encoder.folder else encoder.folder


def load(settings: EngineSettings, data_dir: Path, embedder_digest: str) -> ServedModel | None:
    """Blocks for as long as loading takes. None without a model; ConfigError when something does not fit."""
    if settings.kind == "none":
        return None
    try:
        path = resolve_model(settings.model)
        encoder = find_encoder(settings, path.name, data_dir)
        if encoder is not None and encoder.meaning.reader:
            reader_path(encoder.meaning.reader)  # told before a model is loaded
        device = device_of(settings)
        model, tokenizer = load_model(path, dtype_of(settings, device), device)
        digest = model_digest(model)
        if encoder is not None:
            encoder.check(digest, embedder_digest)
        served = _serve(settings, path.name, model, tokenizer, digest, encoder, device, EditShelf(data_dir))
        lab = LabModel(
            settings.model, digest, str(model.dtype).removeprefix("torch."), len(spec_for(model).layers)
        )
        if encoder is not None:
            lab = replace(lab, encoder=str(encoder.folder), calibration=str(calibrations(encoder, data_dir)))
        return replace(served, lab=lab)
    except FileNotFoundError as error:
        raise ConfigError(
            f'engine.encoder: {error}; train one with `interleaf encoder train`, or set it to "none"'
        ) from None
    except (EngineError, EncoderMismatch) as error:
        raise ConfigError(f"engine: {error}") from None


def _serve(
    settings: EngineSettings,
    name: str,
    model: Any,
    tokenizer: Any,
    digest: str,
    encoder: LoadedEncoder | None,
    device: str,
    shelf: EditShelf,
) -> ServedModel:
    adapter: KVAdapter | None = None
    if encoder is not None:
        adapter = encoder.adapter
        if isinstance(adapter, KVEncoder):
            adapter.to(device)
            for judge in (adapter.prior, adapter.meaning):
                judge.to("cpu")  # evidence comes from the retriever
    if settings.kind == "vllm":
        if settings.maps is not None:
            raise ConfigError("engine.maps: vLLM does not run them, transformers does")
        return _serve_vllm(settings, model, tokenizer, digest, encoder, adapter, device)
    engine = TransformersEngine(
        model,
        tokenizer,
        adapter,
        name=name,
        digest=digest,
        settings=TransformersSettings(
            max_batch=settings.max_batch,
            max_queue=settings.max_queue,
            max_context=settings.max_context,
            threads=settings.threads,
        ),
    )
    editable = EditableModel(model, tokenizer, digest)
    engine.edited_by(editable)
    maps = _maps(settings.maps, model, digest, device)
    live = LiveEdits(engine, editable, shelf)
    if encoder is None:
        return ServedModel(engine, None, live=live)

    def on_unedited(function: Callable[[Any, Any], T]) -> Future[T]:
        """Facts are compiled by the model that the encoder was trained for, without edits and maps."""

        def run(model: Any, tokenizer: Any) -> T:
            with editable.original(), nullcontext() if maps is None else maps.silent():
                return function(model, tokenizer)

        return engine.call(run)

    return ServedModel(engine, encoder.bind(on_unedited), _top_k(encoder), live)


def _maps(folder: Path | None, model: Any, digest: str, device: str) -> SideMaps | None:
    """Attached for as long as the model lives. ConfigError for what cannot be read, and for another model's."""
    if folder is None:
        return None
    try:
        maps = load_maps(folder, digest).to(device)
    except EditError as error:
        raise ConfigError(f"engine.maps: {error}") from None
    attach(spec_for(model), maps)
    return maps


def _serve_vllm(
    settings: EngineSettings,
    model: Any,
    tokenizer: Any,
    digest: str,
    encoder: LoadedEncoder | None,
    adapter: KVAdapter | None,
    device: str,
) -> ServedModel:
    """vLLM answers; this process's copy of the model compiles facts."""
    path, dtype = resolve_model(settings.model), dtype_of(settings, device)
    engine = start_vllm(settings, path, model, tokenizer, adapter, dtype=dtype, digest=digest)
    if encoder is None:
        return ServedModel(engine, None)
    compiler = TransformersEngine(model, tokenizer, name=f"{path.name}-compiler", digest=digest)
    return ServedModel(engine, encoder.bind(compiler.call), _top_k(encoder), compiler=compiler)


def _top_k(encoder: LoadedEncoder) -> int | None:
    calibration = encoder.calibration
    return None if calibration is None else calibration.top_k
