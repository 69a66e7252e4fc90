"""Every kind of work that is done in a process of its own, as one line of JSON and back.

A class is named here, not imported: the server only describes the work, the process imports what it needs.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from dataclasses import asdict

from service.encoder_jobs import Job

_KINDS: Mapping[str, str] = {
    "train": "service.encoder_jobs:TrainJob",
    "evaluate": "service.encoder_jobs:EvaluateJob",
    "calibrate": "service.encoder_jobs:CalibrateJob",
    "sweep": "service.encoder_jobs:SweepJob",
    "edit": "service.edit_jobs:EditJob",
    "compare-edits": "service.compare_job:CompareJob",
}


def to_json(job: Job) -> str:
    """One line."""
    named = f"{type(job).__module__}:{type(job).__qualname__}"
    kind = next(kind for kind, name in _KINDS.items() if name == named)
    return json.dumps({"kind": kind, "job": asdict(job)})  # type: ignore[call-overload]


def from_json(line: str) -> Job:
    """The inverse."""
    values = json.loads(line)
    module, _, name = _KINDS[values["kind"]].partition(":")
    job: Job = getattr(importlib.import_module(module), name)(**values["job"])
    return job
