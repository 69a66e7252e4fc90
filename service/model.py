"""The served model and its encoder, loaded as the configuration says and checked to fit each other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from editors.kv.contract import FactEncoder
from editors.kv.encoder import KVEncoder
from editors.kv.trained import EncoderMismatch, LoadedEncoder, load_encoder
from engines.contract import Engine
from engines.errors import EngineError
from engines.models import load_model, model_digest, pick_dtype, resolve_model
from engines.transformers_engine import EngineSettings as TransformersSettings
from engines.transformers_engine import TransformersEngine
from kb_store.errors import NotFound
from service.config import ConfigError, EngineSettings
from service.encoder_shelf import Shelf


@dataclass(frozen=True)
class ServedModel:
    """What answers questions. Without an encoder it is the plain model."""

    engine: Engine
    encoder: FactEncoder | None
    top_k: int | None = None  # as the encoder was calibrated


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


def load(settings: EngineSettings, data_dir: Path, embedder_digest: str) -> ServedModel | None:
    """Blocks for as long as loading takes. None without a model; ConfigError when something does not fit."""
    if settings.kind == "none":
        return None
    try:
        path = resolve_model(settings.model)
        encoder = find_encoder(settings, path.name, data_dir)
        device = device_of(settings)
        model, tokenizer = load_model(path, dtype_of(settings, device), device)
        digest = model_digest(model)
        if encoder is not None:
            encoder.check(digest, embedder_digest)
        return _serve(settings, path.name, model, tokenizer, digest, encoder, device)
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
) -> ServedModel:
    adapter = None
    if encoder is not None:
        adapter = encoder.adapter
        if isinstance(adapter, KVEncoder):
            adapter.to(device)
            for judge in (adapter.prior, adapter.meaning):
                judge.to("cpu")  # evidence comes from the retriever
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
    if encoder is None:
        return ServedModel(engine, None)
    calibration = encoder.calibration
    return ServedModel(engine, encoder.bind(engine.call), None if calibration is None else calibration.top_k)
