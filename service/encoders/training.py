"""Training an encoder for a model: the world, the retriever's evidence and the model brought together."""

from __future__ import annotations

import json
import os
import platform
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from editors.kv.encoder import EncoderConfig, KVEncoder
from editors.kv.evaluate import evaluate
from editors.kv.likely import fit_likely
from editors.kv.matching import MatchSettings
from editors.kv.meaning import Meaning
from editors.kv.phrases import Phrasing, is_held_out
from editors.kv.phrases import load as load_phrases
from editors.kv.rehearsal import RehearsalSettings, read_subjects, rehearse
from editors.kv.start import StartSettings, closed_form_start
from editors.kv.state_matching import StateMatchSettings
from editors.kv.storage import save_encoder, write_text
from editors.kv.train import StepReport, TrainSettings, train
from editors.kv.world import RealRelation, TrainingCourse, World
from engines.architectures import spec_for
from engines.embedder import MiniLMEmbedder
from engines.models import file_digest, load_model, model_digest, resolve_model
from kb_store.factbank import digest as facts_digest
from kb_store.factbank import load_facts_with_relation, read_pairs, relations
from service.config import ConfigError
from service.encoders.teaching import teach_judge
from service.serving.evidence import scorer

# Relative depths at which facts are attended to; on 30 layers: 14, 17, 20, 22-28.
_DEPTHS = (0.47, 0.57, 0.67, 0.74, 0.77, 0.8, 0.835, 0.87, 0.9, 0.935)


@dataclass(frozen=True, slots=True)
class Recipe:
    """One training run; written into the encoder's manifest."""

    model: str = "default"
    layers: tuple[int, ...] = ()  # where facts are attended to; none: by relative depth
    train: TrainSettings = field(default_factory=TrainSettings)
    matching: MatchSettings = field(default_factory=MatchSettings)
    states: StateMatchSettings = field(default_factory=StateMatchSettings)
    start: StartSettings = field(default_factory=StartSettings)
    rehearsal: RehearsalSettings = field(default_factory=RehearsalSettings)
    evaluation_problems: int = 4
    evaluation_seed: int = 1


def train_encoder(
    recipe: Recipe,
    folder: Path,
    exclude_pairs: Path | None = None,
    on_start: Callable[[str, float], None] = lambda what, share: None,
    on_step: Callable[[StepReport], None] = lambda report: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:
    """Trains (or goes on with what `folder/run` holds), evaluates, and writes the encoder to `folder`.

    `exclude_pairs`: a file of "subject<TAB>object" lines that an evaluation set holds: never trained on.
    """
    began = time.time()
    path = resolve_model(recipe.model)
    model, tokenizer = load_model(path, dtype=torch.float32)
    embedder = MiniLMEmbedder.load()
    bank = load_phrases()
    world = World(bank, tokenizer, real_relations(exclude_pairs))
    score = scorer(embedder)
    seed = recipe.train.seed
    meaning = teach_judge(
        model, tokenizer, embedder, bank, recipe.matching, recipe.states, folder / "run", on_start
    )
    encoder = KVEncoder(encoder_shape(model, meaning, recipe.layers))
    encoder.meaning.load_state_dict(meaning.state_dict())
    encoder.meaning.taught_as(meaning)
    torch.manual_seed(seed)
    if not (folder / "run" / "checkpoint.safetensors").is_file():
        pairs = world.pairs(random.Random(f"start/{seed}"), recipe.start.pairs)
        closed_form_start(
            encoder, model, tokenizer, pairs, recipe.start, lambda share: on_start("start", share)
        )
        rng = random.Random(f"subjects/{seed}")
        subjects = [world.subject(rng, recipe.rehearsal.facts) for _ in range(recipe.rehearsal.subjects)]
        known = read_subjects(
            encoder,
            model,
            tokenizer,
            subjects,
            score,
            recipe.rehearsal,
            seed,
            lambda share: on_start("reading", share),
        )
        if known:
            rehearse(encoder, known, recipe.rehearsal, seed, lambda share: on_start("rehearsal", share))
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
        "excluded_pairs": {"count": len(read_pairs(exclude_pairs)), "sha256": file_digest(exclude_pairs)}
        if exclude_pairs
        else None,
        "run": {
            "steps": len(curve),
            "minutes": round((time.time() - began) / 60, 1),
            "cores": os.cpu_count(),
            "machine": platform.machine(),
            "torch": torch.__version__,
        },
    }
    save_encoder(encoder, folder, manifest)
    write_text(folder / "curve.json", json.dumps(_thinned(curve)) + "\n")
    return manifest


def encoder_shape(model: Any, meaning: Meaning, layers: Sequence[int] = ()) -> EncoderConfig:
    """Layers by relative depth where none are named; every other number is the model's."""
    spec = spec_for(model)
    count = len(spec.layers)
    if any(not 0 <= layer < count for layer in layers):
        raise ConfigError(f"layers: must be from 0 to {count - 1} for this model")
    layers = sorted({*layers} or {min(count - 1, round(depth * count)) for depth in _DEPTHS})
    return EncoderConfig(
        hidden=spec.hidden,
        heads=spec.heads,
        kv_heads=spec.kv_heads,
        head_dim=spec.head_dim,
        layers=tuple(layers),
        late_layer=layers[-1],
        background_relations=len(meaning.relations),
        background_texts=len(meaning.texts),
        embedder_width=meaning.relations.shape[1],
        state_layers=() if meaning.states is None else meaning.states.layers,
        state_width=0 if meaning.states is None else len(meaning.states.text_bias),
    )


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
