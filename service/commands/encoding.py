"""Encoders: listed, and worked on as long-running operations, each in a process of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from kb_store.contract import Store
from kb_store.errors import InvalidInput, WrongState
from kb_store.factbank import parse_pairs
from kb_store.model import OperationRecord
from service.config import EncoderSettings
from service.encoders.facts import examples_of, sample_of_facts
from service.encoders.jobs import CalibrateJob, EvaluateJob, Job, Progress, SweepJob, TrainJob
from service.encoders.process import run_in_process
from service.encoders.recipe_file import RecipeError, parse_recipe, recipe_values
from service.encoders.shelf import Shelf, Shelved
from service.errors import EncoderWorkOff, TooBusy
from service.operations import Operations
from service.workers import Workers

_RETRY_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Work:
    """A piece of work as its operation's metadata describes it. `encoder_id` is empty for sweeps."""

    encoder_id: str
    model: str
    progress: Progress
    start_time: datetime


@dataclass(frozen=True, slots=True)
class Asked:
    """How a piece of work was asked for."""

    request_id: str
    validate_only: bool


@dataclass(frozen=True, slots=True)
class TrainAsk:
    """What TrainEncoder is given."""

    encoder_id: str
    model: str
    recipe: str
    steps: int
    exclude_pairs: str


@dataclass(frozen=True)
class Packing:
    """Packs metadata and results; unpacks which encoder and model kept metadata is about."""

    work: Callable[[Work], bytes]
    subject: Callable[[bytes], tuple[str, str]]
    encoder: Callable[[Shelved], bytes]
    evaluation: Callable[[str, dict[str, Any]], bytes]
    calibration: Callable[[str, dict[str, Any]], bytes]
    sweep: Callable[[dict[str, Any]], bytes]


# Makes the packed response of a result; blocks.
Finish = Callable[[dict[str, Any]], bytes]


class Encoding:
    """Belongs to one event loop."""

    def __init__(
        self,
        shelf: Shelf,
        settings: EncoderSettings,
        served_model: str,
        store: Store,
        operations: Operations,
        workers: Workers,
        packing: Packing,
    ) -> None:
        self._shelf, self._settings, self._served_model = shelf, settings, served_model
        self._store, self._operations, self._workers = store, operations, workers
        self._packing = packing
        self._busy: dict[str, str] = {}  # operation -> encoder

    async def page(self, *, limit: int, after: str) -> tuple[tuple[Shelved, ...], str]:
        """A page in the order of their ids, and where the next one begins (empty: there is none)."""
        found = await self._workers.reads.run(self._shelf.list)
        rest = [item for item in found if item.encoder_id > after]
        page = tuple(rest[:limit])
        return page, page[-1].encoder_id if len(rest) > limit else ""

    async def get(self, encoder_id: str) -> Shelved:
        """One; NotFound."""
        return await self._workers.reads.run(self._shelf.get, encoder_id)

    async def train(self, ask: TrainAsk, asked: Asked) -> OperationRecord:
        """Begins a training, or goes on with it."""
        recipe = _recipe(ask)
        model = self._model(ask.model)
        values = recipe_values(replace(recipe, model=model))

        def prepared() -> Job:
            _check_pairs(ask.exclude_pairs)
            folder = self._shelf.place(ask.encoder_id, values, ask.exclude_pairs)
            if recipe.maps_from:  # callers name no paths
                self._shelf.trained(recipe.maps_from)
            return TrainJob(str(folder), values, ask.exclude_pairs)

        def finished(result: dict[str, Any]) -> bytes:
            return self._packing.encoder(self._shelf.get(ask.encoder_id))

        return await self._start("train", ask.encoder_id, model, prepared, finished, asked)

    async def evaluate(self, encoder_id: str, problems: int, seed: int, asked: Asked) -> OperationRecord:
        """Measures a trained encoder."""
        found = await self._trained(encoder_id)

        def finished(result: dict[str, Any]) -> bytes:
            return self._packing.evaluation(encoder_id, result)

        job = EvaluateJob(str(found.folder), found.model, problems, seed)
        return await self._start("evaluate", encoder_id, found.model, lambda: job, finished, asked)

    async def calibrate(
        self, encoder_id: str, namespace: str, questions: int, seed: int, asked: Asked
    ) -> OperationRecord:
        """Fits a trained encoder's calibration."""
        found = await self._trained(encoder_id)

        def prepared() -> Job:
            facts = sample_of_facts(self._store, namespace, seed) if namespace else []
            examples = examples_of(self._store, namespace) if namespace else {}
            return CalibrateJob(
                str(found.folder),
                found.model,
                str(found.calibration_folder),
                facts,
                namespace,
                questions,
                seed,
                examples,
            )

        def finished(result: dict[str, Any]) -> bytes:
            return self._packing.calibration(encoder_id, result["calibration"])

        return await self._start("calibrate", encoder_id, found.model, prepared, finished, asked)

    async def sweep(self, model: str, pairs: int, seed: int, asked: Asked) -> OperationRecord:
        """Measures the layers of a model."""
        named = self._model(model)
        job = SweepJob(named, pairs, seed)
        return await self._start("sweep", "", named, lambda: job, self._packing.sweep, asked)

    async def _trained(self, encoder_id: str) -> Shelved:
        self._check_allowed()
        return await self._workers.reads.run(self._shelf.trained, encoder_id)

    def _check_allowed(self) -> None:
        if not self._settings.work:
            raise EncoderWorkOff

    def _model(self, name: str) -> str:
        """Callers name no paths: only models that the configuration has."""
        self._check_allowed()
        if name and name not in (self._served_model, *self._settings.models):
            raise InvalidInput("model", "must be empty (the served model) or one of encoders.models")
        return name or self._served_model

    async def _start(
        self,
        kind: str,
        encoder_id: str,
        model: str,
        prepared: Callable[[], Job],
        finished: Finish,
        asked: Asked,
    ) -> OperationRecord:
        """The operation; the one that the request_id named before, if there is one."""

        async def begin(operation_id: str) -> OperationRecord:
            begun = Work(encoder_id, model, Progress("waiting"), datetime.now(UTC))
            if asked.validate_only:
                await self._workers.reads.run(prepared)
                return OperationRecord("", kind, True, self._packing.work(begun))
            self._take(operation_id, encoder_id)

            def free() -> None:
                self._busy.pop(operation_id, None)

            try:
                job = await self._workers.reads.run(prepared)
            except BaseException:
                free()
                raise

            async def work(note: Callable[[bytes], None]) -> bytes:
                result = await run_in_process(
                    job, lambda progress: note(self._packing.work(replace(begun, progress=progress)))
                )
                return await self._workers.reads.run(finished, result)

            return await self._operations.start(operation_id, kind, self._packing.work(begun), work, free)

        return await self._operations.once(
            kind, asked.request_id, begin, lambda kept: self._packing.subject(kept) == (encoder_id, model)
        )

    def _take(self, operation_id: str, encoder_id: str) -> None:
        if encoder_id and encoder_id in self._busy.values():
            name = f"encoders/{encoder_id}"
            raise WrongState(f"{name} is being worked on already", kind="encoder", name=name)
        if len(self._busy) >= self._settings.jobs:
            raise TooBusy(
                "pieces of work on encoders run (encoders.jobs)", self._settings.jobs, _RETRY_SECONDS
            )
        self._busy[operation_id] = encoder_id


def _recipe(ask: TrainAsk) -> Any:
    try:
        recipe = parse_recipe(ask.recipe)
    except RecipeError as error:
        raise InvalidInput("recipe", str(error)) from None
    if recipe.model != "default":
        raise InvalidInput("recipe", "model: name it in the request's `model`")
    if ask.steps:
        recipe = replace(recipe, train=replace(recipe.train, steps=ask.steps))
    return recipe


def _check_pairs(text: str) -> None:
    try:
        parse_pairs(text)
    except ValueError as error:
        raise InvalidInput("exclude_pairs", str(error)) from None
