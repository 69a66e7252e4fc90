"""What is installed, what would be used, and whether it fits together."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
from collections.abc import Iterator
from pathlib import Path

from engines.embedder import SentenceEmbedder
from engines.errors import EngineError
from engines.models import resolve_model
from engines.reader import reader_path
from kb_store.contract import Embedder
from kb_store.index.files import read_manifest
from service.access.listening import decide
from service.config import MIB, ConfigError, EngineSettings, Settings
from service.datadir import DATABASE, INDEX_FOLDER, overlooked
from service.doctor.deep import compare
from service.doctor.findings import Finding, checked
from service.serving import model as served

_PACKAGES = (
    "interleaf",
    "grpcio",
    "protobuf",
    "torch",
    "transformers",
    "faiss-cpu",
    "sqlalchemy",
    "numpy",
    "safetensors",
)
_MIN_FREE_MIB = 512


def examine(settings: Settings, *, deep: bool) -> list[Finding]:
    """Looks at everything; with `deep` also loads the model and compares SQL with the index."""
    findings = [*_machine(), *_installed()]
    findings.append(checked("access", lambda: _access(settings)))
    embedder: SentenceEmbedder | None = None
    try:
        embedder = SentenceEmbedder.load(settings.retrieval.embedder)
        found = Finding("embedder", f"{embedder.digest}, {embedder.dimension} numbers")
    except (EngineError, OSError, ValueError) as error:
        found = Finding("embedder", "", str(error))
    findings += _model(settings.engine, settings.store.data_dir)
    findings += [*_data(settings), found]
    if embedder is None:
        return findings
    known = embedder
    findings.append(checked("index", lambda: _index(settings, known)))
    return [*findings, *_deep(settings, known)] if deep else findings


def _deep(settings: Settings, embedder: Embedder) -> Iterator[Finding]:
    """With the model, so that facts are compiled as they would be served."""
    try:
        model = served.load(settings.engine, settings.store.data_dir, embedder.digest)
    except (ConfigError, EngineError, OSError, ValueError) as error:
        yield Finding("model and encoder", "", str(error))
        model = None
    if model is None:
        yield from compare(settings, embedder, None)
        return
    try:
        fits = "loaded" if model.encoder is None else f"fits encoder {model.encoder.digest}"
        yield Finding("model and encoder", f"{model.engine.model_digest} {fits}")
        yield from compare(settings, embedder, model.encoder)
    finally:
        model.close()


def _machine() -> Iterator[Finding]:
    yield Finding("python", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    yield Finding("cores", str(len(os.sched_getaffinity(0))))


def _installed() -> Iterator[Finding]:
    for name in _PACKAGES:
        try:
            yield Finding(name, importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            yield Finding(name, "", "is not installed: pip install 'interleaf[server]'")


def _access(settings: Settings) -> str:
    access = decide(settings)
    how = "TLS" if access.credentials is not None else "plain text, this machine only"
    return f"{settings.listen.host}:{settings.listen.port}, {how}, " + (
        "no keys" if access.callers is None else ", ".join(access.callers.kinds)
    )


def _model(settings: EngineSettings, data_dir: Path) -> Iterator[Finding]:
    if settings.kind == "none":
        yield Finding("engine", "none: facts without a model")
        return
    device = served.device_of(settings)
    yield checked("engine", lambda: f"transformers on {device}, {str(served.dtype_of(settings, device))[6:]}")
    yield checked("model", lambda: str(resolve_model(settings.model)))
    yield checked("encoder", lambda: _encoder(settings, data_dir))


def _encoder(settings: EngineSettings, data_dir: Path) -> str:
    name = resolve_model(settings.model).name
    loaded = served.find_encoder(settings, name, data_dir)
    if loaded is None:
        return "none: the plain model only"
    trained_for = str(loaded.manifest["model"])
    if trained_for != name:
        raise ValueError(f"encoder {loaded.digest} was trained for {trained_for}, the model is {name}")
    calibrated = "" if loaded.calibration is None else ", calibrated"
    reader = f", read with {reader_path(reader).name}" if (reader := loaded.meaning.reader) else ""
    return f"{loaded.digest} for {trained_for}{calibrated}{reader}"


def _index(settings: Settings, embedder: Embedder) -> str:
    if settings.retrieval.index != "faiss":
        return f"{settings.retrieval.index}, in the database: --deep compares it"
    manifest = read_manifest(settings.store.data_dir / INDEX_FOLDER)
    if manifest is None:
        return "none yet"
    count = sum(entry.count for entry in manifest.namespaces.values())
    if manifest.embedder != embedder.digest:
        return f"{count} facts of another embedder: it is made again at start"
    return f"{count} facts"


def _data(settings: Settings) -> Iterator[Finding]:
    folder = settings.store.data_dir
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not os.access(there, os.W_OK):
        yield Finding("data folder", str(folder), "cannot be written")
        return
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) if folder.exists() else 0
    state = f"{size / MIB:.1f} MiB" if folder.exists() else "will be made"
    yield Finding("data folder", f"{folder} ({state})")
    if overlooked(settings) is not None:
        yield Finding(DATABASE, "of the data folder is not read: store.database_url names another database")
    free = shutil.disk_usage(there).free // MIB
    problem = "" if free >= _MIN_FREE_MIB else f"is less than {_MIN_FREE_MIB} MiB"
    yield Finding("free disk", f"{free} MiB", problem)
