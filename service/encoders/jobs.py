"""The four kinds of work on encoders, as plain values that can be sent to another process.

The command line runs them where it is; the server sends them to `service.encoders.worker`, so that a crash, the
memory and the cores of a training are not its own. Both get the same progress and the same result. What needs
PyTorch is imported where it runs: the server only describes the work.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol


class Stopped(Exception):
    """The work was told to stop, and did."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a piece of work stands. `share` is of the stage."""

    stage: str
    share: float = 0.0
    step: int = 0
    steps: int = 0
    losses: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0  # that the step took


Note = Callable[[Progress], None]
Cancelled = Callable[[], bool]


class Job(Protocol):
    """A piece of work. Its fields are what JSON can hold."""

    def run(self, note: Note, cancelled: Cancelled) -> dict[str, Any]:
        """Does it; Stopped when it was told to. The result is what JSON can hold."""
        ...


@dataclass(frozen=True, slots=True)
class TrainJob:
    """Trains, or goes on. `recipe` as `service.encoders.recipe_file.recipe_values` gives it."""

    folder: str
    recipe: dict[str, Any]
    exclude_pairs: str = ""  # the text of such a list; none: the one that was kept, where it goes on

    def run(self, note: Note, cancelled: Cancelled) -> dict[str, Any]:
        """The manifest, and the paths of the record. WrongState when the folder is taken, or another recipe's."""
        from service.encoders.shelf import alone_in, begin, check_goes_on, forget_if_empty

        folder = Path(self.folder)
        with alone_in(folder):
            check_goes_on(folder, self.recipe, self.exclude_pairs)
            begin(folder, self.recipe, self.exclude_pairs)
            try:
                return self._train(folder, note, cancelled)
            except Stopped:
                raise
            except Exception:
                forget_if_empty(folder)  # the name is free for what was meant
                raise

    def _train(self, folder: Path, note: Note, cancelled: Cancelled) -> dict[str, Any]:
        from editors.kv.train import StepReport
        from engines.models import resolve_model
        from service.encoders.excluded import EXCLUDED, kept_pairs
        from service.encoders.models import model_folder
        from service.encoders.recipe_file import recipe_of
        from service.encoders.run_record import Sitting, write_record
        from service.encoders.shelf import Shelf
        from service.encoders.training import train_encoder

        recipe, stage = recipe_of(self.recipe), stages(note, cancelled)
        stage("loading", 0.0)
        if recipe.model != "default":
            recipe = replace(recipe, model=str(model_folder(recipe.model)))
        maps_from = None
        if recipe.maps_from:
            beside = Shelf(folder.parent.parent)  # where it is called by its id
            maps_from = beside.named(recipe.maps_from, resolve_model(recipe.model).name).checked().folder
        sitting = Sitting(folder)

        def on_step(report: StepReport) -> None:
            sitting.step(report.step)
            done, steps = report.step + 1, recipe.train.steps
            note(Progress("training", done / steps, done, steps, dict(report.losses), report.seconds))

        exclude = folder / EXCLUDED if kept_pairs(folder) else None
        try:
            # Told to stop, the training ends between two steps; what would follow is then refused.
            manifest = train_encoder(recipe, folder, exclude, maps_from, stage, on_step, cancelled)
        finally:
            sitting.save()
        paths = write_record(folder, manifest)
        return {"manifest": manifest, "record": [str(path) for path in paths]}


@dataclass(frozen=True, slots=True)
class EvaluateJob:
    """Measures an encoder in every slice of the held-out world."""

    folder: str
    model: str
    problems: int = 8
    seed: int = 0

    def run(self, note: Note, cancelled: Cancelled) -> dict[str, Any]:
        """Rates by name, and how many questions each rests on."""
        from editors.kv.evaluate import evaluate
        from service.encoders.stand import set_up

        stage = stages(note, cancelled)
        stage("loading", 0.0)
        stand = set_up(self.model)
        encoder = stand.encoder(Path(self.folder))
        figures = evaluate(
            encoder,
            stand.model,
            stand.tokenizer,
            stand.world,
            stand.score,
            problems=self.problems,
            seed=self.seed,
            progress=lambda share: stage("evaluation", share),
        )
        questions = self.problems * stand.world.mix.questions
        return {"digest": encoder.digest, "figures": figures, "questions": questions}


@dataclass(frozen=True, slots=True)
class CalibrateJob:
    """Fits the calibration of an encoder and keeps it in `into`."""

    folder: str
    model: str
    into: str
    facts: list[list[str]] = field(
        default_factory=list
    )  # subject, relation, object; none: the held-out world
    namespace: str = ""
    questions: int = 96
    seed: int = 0
    examples: dict[str, list[str]] = field(default_factory=dict)  # of how relations are asked for

    def run(self, note: Note, cancelled: Cancelled) -> dict[str, Any]:
        """The calibration."""
        from editors.kv.calibration import save_calibration
        from editors.kv.contract import FactText
        from service.encoders.calibration import CalibrationSettings, calibrate
        from service.encoders.stand import set_up

        stage = stages(note, cancelled)
        stage("loading", 0.0)
        stand = set_up(self.model)
        encoder = stand.encoder(Path(self.folder))
        facts = [FactText("", subject, relation, spoken) for subject, relation, spoken in self.facts]
        settings = CalibrationSettings(questions=self.questions, seed=self.seed)
        found = calibrate(
            stand,
            encoder,
            facts,
            settings,
            self.namespace,
            lambda share: stage("calibration", share),
            self.examples,
        )
        path = save_calibration(found, Path(self.into))
        return {"calibration": asdict(found), "path": str(path)}


@dataclass(frozen=True, slots=True)
class SweepJob:
    """Measures every layer of a model."""

    model: str
    pairs: int = 1500
    seed: int = 0
    groups: int = 10

    def run(self, note: Note, cancelled: Cancelled) -> dict[str, Any]:
        """Scores by layer, and which layers they suggest."""
        from editors.kv.sweep import SweepSettings, sweep
        from service.encoders.stand import set_up

        stage = stages(note, cancelled)
        stage("loading", 0.0)
        stand = set_up(self.model)
        settings = SweepSettings(pairs=self.pairs, groups=self.groups, seed=self.seed)
        found = sweep(
            stand.model, stand.tokenizer, stand.bank, settings, lambda share: stage("layers", share)
        )
        return {"model": stand.name, **asdict(found)}


def stages(note: Note, cancelled: Cancelled) -> Callable[[str, float], None]:
    """Notes how far a stage is, unless the work was told to stop."""

    def on_stage(stage: str, share: float) -> None:
        if cancelled():
            raise Stopped
        note(Progress(stage, share))

    return on_stage
