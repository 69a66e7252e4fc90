"""Computing an edit on a copy of the served model, as plain values that can be sent to another process.

The copy carries the applied edits, in the precision of the served model: the delta is for exactly those bytes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from service.encoders.jobs import Cancelled, Note, stages

if TYPE_CHECKING:
    from editors.weights.contract import Means
    from editors.weights.model import EditableModel

Stage = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class LabModel:
    """The served model as work on it finds it again."""

    name: str  # as the configuration has it
    digest: str
    dtype: str
    layers: int  # how many it has
    encoder: str = ""  # folder of the encoder, empty where there is none
    calibration: str = ""


@dataclass(frozen=True, slots=True)
class Lab:
    """How to set up the copy. `applied`: folders of deltas, with whether each was combined."""

    model: str
    dtype: str
    applied: list[list[Any]] = field(default_factory=list)
    corpus: str = ""  # a file; empty: the built-in text
    key_tokens: int = 50_000
    statistics: str = ""  # the folder that key statistics are kept in; empty: nowhere

    def set_up(self, stage: Stage) -> tuple[EditableModel, Means]:
        """Loads the model and puts the applied edits in place."""
        import torch

        from editors.weights.contract import Means
        from editors.weights.corpus import file_corpus
        from editors.weights.delta_files import load_delta
        from editors.weights.model import EditableModel
        from editors.weights.statistics import KeyStatistics
        from engines.models import load_model, resolve_model
        from service.edits.tuning import key_text

        stage("loading", 0.0)
        editable = EditableModel(*load_model(resolve_model(self.model), getattr(torch, self.dtype)))
        for folder, combine in self.applied:
            editable.apply(load_delta(Path(folder)), combine=combine)
        corpus = file_corpus(Path(self.corpus)) if self.corpus else key_text()
        folder = Path(self.statistics) if self.statistics else None
        statistics = KeyStatistics(corpus, self.key_tokens, folder, stage)
        return editable, Means(statistics, stage)


@dataclass(frozen=True, slots=True)
class EditJob:
    """Computes an edit into a folder, with its receipt."""

    folder: str
    lab: Mapping[str, Any]  # of Lab
    asked: Mapping[str, Any]  # of AskedEdit

    def run(self, note: Note, cancelled: Cancelled) -> dict[str, Any]:
        """The delta's digest and the receipt's problems."""
        from editors.metrics.receipt import Watch
        from editors.metrics.speaking import ModelSpeaker
        from editors.weights.delta_files import save_delta
        from editors.weights.methods import named_method
        from editors.weights.session import compute
        from service.edits.shelf import AskedEdit, case_of, write_asked

        stage = stages(note, cancelled)
        asked = AskedEdit(**self.asked)
        cases = [case_of(values) for values in asked.cases]
        editable, means = Lab(**self.lab).set_up(stage)
        method, fixed = named_method(asked.method)
        began = time.perf_counter()
        delta = compute(
            editable, method, [case.request for case in cases], means, {**asked.settings, **fixed}
        )
        seconds = time.perf_counter() - began
        stage("receipt", 0.0)
        watch, speaker = Watch(cases), ModelSpeaker(editable.model, editable.tokenizer)
        before = watch.read(speaker)
        stage("receipt", 0.5)
        with editable.applied(delta):
            receipt = watch.receipt(before, watch.read(speaker))
        save_delta(delta, Path(self.folder))
        write_asked(Path(self.folder), asked, seconds, receipt.plain())
        return {"digest": delta.digest, "problems": list(receipt.problems)}


def names_of(folders: Sequence[tuple[Path, bool]]) -> list[list[Any]]:
    """For `Lab.applied`."""
    return [[str(folder), combine] for folder, combine in folders]
