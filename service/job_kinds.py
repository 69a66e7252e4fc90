"""Every kind of work that is done in a process of its own, as one line of JSON and back.

A class is named here, not imported: the server only describes the work, the process imports what it needs.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from dataclasses import asdict

from service.encoders.jobs import Job

_KINDS: Mapping[str, str] = {
    "train": "service.encoders.jobs:TrainJob",
    "evaluate": "service.encoders.jobs:EvaluateJob",
    "calibrate": "service.encoders.jobs:CalibrateJob",
    "sweep": "service.encoders.jobs:SweepJob",
    "edit": "service.edits.jobs:EditJob",
    "compare-edits": "service.edits.comparing:CompareJob",
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
