"""Training an encoder for a model: the world, the retriever's evidence and the model brought together."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from editors.kv.closer_teaching import CloserSettings
from editors.kv.evaluate import evaluate
from editors.kv.likely import fit_likely
from editors.kv.matching import MatchSettings
from editors.kv.phrases import Phrasing, is_held_out
from editors.kv.phrases import load as load_phrases
from editors.kv.rehearsal import RehearsalSettings
from editors.kv.start import StartSettings
from editors.kv.state_matching import StateMatchSettings
from editors.kv.storage import save_encoder, write_text
from editors.kv.train import StepReport, TrainSettings, train
from editors.kv.world import RealRelation, TrainingCourse, World
from engines.embedder import SentenceEmbedder
from engines.models import file_digest, load_model, model_digest, resolve_model
from kb_store.factbank import digest as facts_digest
from kb_store.factbank import load_facts_with_relation, read_pairs, relations
from service.encoders.maps import layers_of, maps_source, new_encoder, start, with_maps_of
from service.encoders.teaching import closer_alike, taught_alike, teach_judge
from service.serving.evidence import scorer


@dataclass(frozen=True, slots=True)
class Recipe:
    """One training run; written into the encoder's manifest."""

    model: str = "default"
    layers: tuple[int, ...] = ()  # where facts are attended to; none: by relative depth
    maps_from: str = ""  # an encoder of the same model: its maps are taken, and only the judge is taught
    train: TrainSettings = field(default_factory=TrainSettings)
    matching: MatchSettings = field(default_factory=MatchSettings)
    states: StateMatchSettings = field(default_factory=StateMatchSettings)
    closer: CloserSettings = field(default_factory=CloserSettings)
    start: StartSettings = field(default_factory=StartSettings)
    rehearsal: RehearsalSettings = field(default_factory=RehearsalSettings)
    evaluation_problems: int = 4
    evaluation_seed: int = 1


def train_encoder(
    recipe: Recipe,
    folder: Path,
    exclude_pairs: Path | None = None,
    maps_from: Path | None = None,
    on_start: Callable[[str, float], None] = lambda what, share: None,
    on_step: Callable[[StepReport], None] = lambda report: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:
    """Trains (or goes on with what `folder/run` holds), evaluates, and writes the encoder to `folder`.

    `exclude_pairs`: a file of "subject<TAB>object" lines that an evaluation set holds: never trained on.
    `maps_from`: the folder that `recipe.maps_from` names.
    """
    began = time.time()
    path = resolve_model(recipe.model)
    model, tokenizer = load_model(path, dtype=torch.float32)
    _check_fits(model, recipe, maps_from)  # teaching the judge takes an hour
    embedder = SentenceEmbedder.load()
    bank = load_phrases()
    world = World(bank, tokenizer, real_relations(exclude_pairs))
    score = scorer(embedder)
    seed = recipe.train.seed
    taught = taught_alike(embedder, bank, recipe.matching)
    meaning = teach_judge(
        model,
        tokenizer,
        embedder,
        bank,
        recipe.matching,
        recipe.states,
        recipe.closer,
        folder / "run",
        on_start,
        taught,
    )
    known: dict[str, Any] | None = None
    if maps_from is None:
        encoder = new_encoder(model, meaning, recipe.layers)
        torch.manual_seed(seed)
        if not (folder / "run" / "checkpoint.safetensors").is_file():
            start(encoder, model, tokenizer, world, score, recipe.start, recipe.rehearsal, seed, on_start)
        curve = train(
            encoder,
            model,
            tokenizer,
            TrainingCourse(world, seed),
            score,
            recipe.train,
            folder / "run",
            on_step,
            cancelled,
        )
    else:
        encoder, known = with_maps_of(maps_from, model, meaning)
        curve = json.loads((maps_from / "curve.json").read_text())
    likely = fit_likely(
        bank, tokenizer, score, encoder.meaning, seed, progress=lambda share: on_start("threshold", share)
    )
    encoder.prior.likely.fill_(likely.threshold)
    figures = evaluate(
        encoder,
        model,
        tokenizer,
        world,
        score,
        problems=recipe.evaluation_problems,
        seed=recipe.evaluation_seed,
        progress=lambda share: on_start("evaluation", share),
    )
    manifest = {
        "model": path.name,
        "model_digest": model_digest(model),
        "calibration": {"grounded_threshold": figures["grounded_threshold"]},
        "figures": figures | {f"likely_{name}": value for name, value in asdict(likely).items()},
        "recipe": asdict(recipe),
        "data": {"phrases": bank.digest, "facts": facts_digest(), "embedder": embedder.digest},
        "embedder_taken_from": taught.name if taught else "",
        "closer_taken_from": taught.name if taught and closer_alike(taught, recipe.closer) else "",
        "excluded_pairs": known["excluded_pairs"] if known else _excluded(exclude_pairs),
        "run": {
            "steps": known["run"]["steps"] if known else len(curve),
            "minutes": round((time.time() - began) / 60, 1),
            "cores": os.cpu_count(),
            "machine": platform.machine(),
            "torch": torch.__version__,
        },
    }
    if known:
        manifest["maps"] = known.get("maps") or {n: known.get(n) for n in ("digest", "run", "remarks")}
    save_encoder(encoder, folder, manifest)
    write_text(folder / "curve.json", json.dumps(curve if known else _thinned(curve)) + "\n")
    return manifest


def _check_fits(model: Any, recipe: Recipe, maps_from: Path | None) -> None:
    if maps_from is None:
        layers_of(model, recipe.layers)
    else:
        maps_source(maps_from, model)


def _excluded(pairs: Path | None) -> dict[str, Any] | None:
    return {"count": len(read_pairs(pairs)), "sha256": file_digest(pairs)} if pairs else None


def real_relations(exclude_pairs: Path | None = None) -> list[RealRelation]:
    """The built-in facts by relation, with how people speak of them: the training side of the split by subject,
    without the pairs of an evaluation set."""
    excluded = read_pairs(exclude_pairs) if exclude_pairs else frozenset()
    found: dict[str, list[tuple[str, str]]] = {}
    for info, content in load_facts_with_relation(exclude_pairs=excluded):
        if is_held_out(content.subject):
            continue
        found.setdefault(info.relation_id, []).append((content.subject, content.object))
    return [
        RealRelation(
            info.name, tuple(Phrasing(text) for text in info.templates), tuple(found[info.relation_id])
        )
        for info in relations()
        if info.relation_id in found
    ]


def _thinned(curve: list[dict[str, float]], every: int = 10) -> list[dict[str, float]]:
    """Means over `every` steps: enough for a picture."""
    return [
        {key: round(sum(item[key] for item in chunk) / len(chunk), 4) for key in chunk[0]}
        for chunk in (curve[i : i + every] for i in range(0, len(curve), every))
    ]
