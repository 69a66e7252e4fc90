"""Encoders that differ in which heads look at facts: with trained gates, or with heads chosen at random.

Those that were trained in a full run are kept beside its rows (bench/kept.py): training them takes hours.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from bench import gates_questions
from bench.common import Bench
from bench.gates_questions import prepare
from bench.kept import Kept
from editors.kv import gate_training, meaning, objective, prior
from editors.kv import gates as gating
from editors.kv.contract import Evidence, FactText
from editors.kv.evaluate import evaluate
from editors.kv.gate_training import GateSettings, train_gates
from editors.kv.gates import GatedEncoder, Heads, pruned
from editors.kv.meaning import Meaning
from editors.kv.phrases import load as load_phrases
from editors.kv.problems import Scorer
from editors.kv.reading import Known
from editors.kv.states import bind_to_model
from editors.kv.storage import load_weights, save_encoder, write_tensors
from editors.kv.trained import load_encoder
from editors.kv.world import Mix, TrainingCourse, World
from engines.embedder import SentenceEmbedder
from engines.models import load_model, model_digest, resolve_model
from service.serving.evidence import scorer

# What a kept row depends on besides its settings: older code makes older rows.
_MADE_BY = (gates_questions, gate_training, gating, meaning, objective, prior)
_OWN = ("format", "digest", "shape")  # what an encoder's manifest says of its weights; the rest is inherited


Curve = list[dict[str, float]]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is trained, and on how much."""

    gates: GateSettings
    mix: Mix


class Variants:
    """Makes variants of one encoder; all see the same training problems."""

    def __init__(
        self, bench: Bench, model: str, encoder: str, plan: Plan, penalties: Mapping[str, float]
    ) -> None:
        """A full run's `kept` has what an earlier one got done."""
        path = resolve_model(model)
        self.model, self.tokenizer = load_model(path, dtype=torch.float32)
        embedder = SentenceEmbedder.load()
        loaded = load_encoder(encoder, path.name)
        loaded.check(model_digest(self.model), embedder.digest)
        self.encoder, self.manifest = load_weights(loaded.folder)
        bind_to_model(self.encoder.meaning.states, self.model, self.tokenizer)
        self.model_name = path.name
        self._bench, self._plan = bench, plan
        self._bank, self._score = load_phrases(), _remembered(scorer(embedder))
        self._training = World(self._bank, self.tokenizer, mix=plan.mix)
        self.kept: Kept | None = None
        if bench.full:
            self.kept = Kept(
                bench,
                _MADE_BY,
                encoder=loaded.digest,
                phrases=self._bank.digest,
                plan=asdict(plan),
                penalties=penalties,
            )

    def questions(self, problems: int) -> list[Known]:
        """To be asked of every variant."""
        world = World(self._bank, self.tokenizer, mix=Mix(real=0.0, context=0.0))
        names = [f"{self._bench.seed}/{number}" for number in range(problems)]
        return [prepare(self.encoder, self.model, self.tokenizer, world, self._score, name) for name in names]

    def sparse(self, name: str, penalty: float) -> tuple[GatedEncoder, Curve] | None:
        """Gates trained with that penalty. None where it is too late to begin."""
        return self._trained(name, GatedEncoder(self.encoder), replace(self._plan.gates, penalty=penalty))

    def with_heads(self, heads: Heads, start: GatedEncoder | None = None) -> GatedEncoder:
        """These heads and no others; maps as in `start`, or as in the encoder."""
        made = GatedEncoder(start or self.encoder).eval().requires_grad_(False)
        made.keep_only(heads)
        return made

    def trained_with(self, name: str, heads: Heads) -> GatedEncoder | None:
        """These heads and no others, the encoder's maps trained for as long as beside gates."""
        settings = replace(self._plan.gates, learning_rate=0.0, penalty=0.0)
        made = self._trained(name, self.with_heads(heads), settings)
        return made[0] if made else None

    def _trained(
        self, name: str, start: GatedEncoder, settings: GateSettings
    ) -> tuple[GatedEncoder, Curve] | None:
        kept = self.kept
        if kept is None:
            return start, self._train(name, start, settings)
        path = kept.path.with_suffix(f".{name.replace(' ', '-')}.safetensors")
        done = kept.get(f"trained {name}")
        if done is not None and path.is_file():
            start.load_state_dict(load_file(path))
            return start.eval().requires_grad_(False), done["curve"]
        if kept.time_is_up:
            return None
        curve = self._train(name, start, settings)
        write_tensors({key: value.contiguous() for key, value in start.state_dict().items()}, path)
        kept.keep(f"trained {name}", {"curve": curve})
        return start, curve

    def _train(self, name: str, start: GatedEncoder, settings: GateSettings) -> Curve:
        with self._bench.stage(f"training {name}"):
            return train_gates(
                start,
                self.model,
                self.tokenizer,
                TrainingCourse(self._training, self._bench.seed),
                self._score,
                settings,
                lambda report: self._bench.log(
                    f"{name} {report.step + 1}/{settings.steps}: said {report.losses['said']:.2f}, "
                    f"{report.losses['open']:.1f} heads open, {report.seconds:.1f} s"
                ),
            )

    def export(self, gated: GatedEncoder, folder: Path, problems: int) -> dict[str, Any]:
        """Writes it without its closed heads, evaluated and with a threshold of its own; returns the manifest."""
        small = pruned(gated)
        world = World(self._bank, self.tokenizer, mix=Mix(real=0.0))
        figures = evaluate(
            small,
            self.model,
            self.tokenizer,
            world,
            self._score,
            problems=problems,
            seed=self._bench.seed,
            progress=lambda share: self._bench.log(f"evaluating {folder.name}: {share:.0%}"),
        )
        parent = {key: value for key, value in self.manifest.items() if key not in _OWN}
        manifest = {
            **parent,
            "calibration": {"grounded_threshold": figures["grounded_threshold"]},
            "figures": figures,
            "gates": {
                "parent": self.manifest["digest"],
                "open_heads": {str(layer): list(heads) for layer, heads in gated.open_heads().items()},
                "settings": asdict(self._plan.gates),
            },
        }
        save_encoder(small, folder, manifest)
        return manifest


def _remembered(score: Scorer) -> Scorer:
    """Variants of one encoder see the same problems and judge relations alike: texts are embedded once."""
    known: dict[tuple[tuple[str, ...], tuple[FactText, ...]], list[list[Evidence]]] = {}

    def look_up(texts: Sequence[str], facts: Sequence[FactText], meaning: Meaning) -> list[list[Evidence]]:
        key = (tuple(texts), tuple(facts))
        if key not in known:
            known[key] = score(texts, facts, meaning)
        return known[key]

    return look_up


def same_layers(found: Heads, heads: int, rng: random.Random) -> dict[int, tuple[int, ...]]:
    """In each layer as many as `found` has there: closed ones, and open ones only where there are too few."""
    chosen = {}
    for layer, opened in found.items():
        closed = [head for head in range(heads) if head not in opened]
        rng.shuffle(closed)
        spare = rng.sample(list(opened), len(opened))
        chosen[layer] = tuple(sorted([*closed, *spare][: len(opened)]))
    return chosen


def other_layers(
    found: Heads, layers: tuple[int, ...], heads: int, rng: random.Random
) -> dict[int, tuple[int, ...]]:
    """As many as `found` has, from layers where it has none; where that is not enough, from those where it has few."""
    closed = [
        (len(found.get(layer, ())), rng.random(), layer, head)
        for layer in layers
        for head in range(heads)
        if head not in found.get(layer, ())
    ]
    # By the number of open heads in the layer, at random within.
    wanted = sorted(closed)[: sum(len(opened) for opened in found.values())]
    return {
        layer: tuple(sorted(head for _, _, at, head in wanted if at == layer))
        for layer in layers
        if any(at == layer for _, _, at, _ in wanted)
    }
