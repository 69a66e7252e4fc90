"""The maps of an encoder before its training: made in closed form and by rehearsal, or those of another encoder."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from editors.kv.encoder import EncoderConfig, KVEncoder
from editors.kv.meaning import Meaning
from editors.kv.problems import Scorer
from editors.kv.rehearsal import RehearsalSettings, read_subjects, rehearse
from editors.kv.start import StartSettings, closed_form_start
from editors.kv.storage import load_weights
from editors.kv.trained import LoadedEncoder
from editors.kv.world import World
from engines.architectures import spec_for
from engines.models import model_digest
from service.config import ConfigError

# Relative depths at which facts are attended to; on 30 layers: 14, 17, 20, 22-28.
_DEPTHS = (0.47, 0.57, 0.67, 0.74, 0.77, 0.8, 0.835, 0.87, 0.9, 0.935)


def layers_of(model: Any, wanted: Sequence[int] = ()) -> tuple[int, ...]:
    """Where facts are attended to: by relative depth where none are named. ConfigError for one that is not there."""
    count = len(spec_for(model).layers)
    if any(not 0 <= layer < count for layer in wanted):
        raise ConfigError(f"layers: must be from 0 to {count - 1} for this model")
    return tuple(sorted({*wanted} or {min(count - 1, round(depth * count)) for depth in _DEPTHS}))


def new_encoder(model: Any, meaning: Meaning, layers: Sequence[int] = ()) -> KVEncoder:
    """Untrained, with this judge; `layers` as for `layers_of`. Every other number is the model's."""
    spec, layers = spec_for(model), layers_of(model, layers)
    shape = EncoderConfig(
        hidden=spec.hidden,
        heads=spec.heads,
        kv_heads=spec.kv_heads,
        head_dim=spec.head_dim,
        layers=layers,
        late_layer=layers[-1],
        background_relations=len(meaning.relations),
        background_texts=len(meaning.texts),
        embedder_width=meaning.relations.shape[1],
        state_layers=() if meaning.states is None else meaning.states.layers,
        state_width=0 if meaning.states is None else len(meaning.states.text_bias),
        recalled_relations=0 if meaning.asked is None else len(meaning.asked),
        reader=meaning.reader,
    )
    encoder = KVEncoder(shape)
    encoder.meaning.load_state_dict(meaning.state_dict())
    encoder.meaning.taught_as(meaning)
    return encoder


def start(
    encoder: KVEncoder,
    model: Any,
    tokenizer: Any,
    world: World,
    score: Scorer,
    settings: StartSettings,
    rehearsal: RehearsalSettings,
    seed: int,
    on_start: Callable[[str, float], None],
) -> None:
    """What comes before the first step."""
    pairs = world.pairs(random.Random(f"start/{seed}"), settings.pairs)
    closed_form_start(encoder, model, tokenizer, pairs, settings, lambda share: on_start("start", share))
    rng = random.Random(f"subjects/{seed}")
    subjects = [world.subject(rng, rehearsal.facts) for _ in range(rehearsal.subjects)]
    known = read_subjects(
        encoder,
        model,
        tokenizer,
        subjects,
        score,
        rehearsal,
        seed,
        lambda share: on_start("reading", share),
    )
    if known:
        rehearse(encoder, known, rehearsal, seed, lambda share: on_start("rehearsal", share))


def maps_source(folder: Path, model: Any) -> tuple[KVEncoder, dict[str, Any]]:
    """A trained encoder of this model, and its manifest; EncoderMismatch for one of another."""
    source, manifest = load_weights(folder)
    LoadedEncoder(source, manifest, folder).check(model_digest(model))
    return source, manifest


def with_maps_of(folder: Path, model: Any, meaning: Meaning) -> tuple[KVEncoder, dict[str, Any]]:
    """The maps of a trained encoder of the same model beside this judge, and that encoder's manifest."""
    source, manifest = maps_source(folder, model)
    encoder = new_encoder(model, meaning, source.layers)
    maps, own = source.state_dict(), encoder.state_dict()
    encoder.load_state_dict({name: own[name] if name.startswith("meaning.") else maps[name] for name in own})
    return encoder.eval().requires_grad_(False), manifest  # in training nothing is hidden
