"""HeadMap for a task of the user's own: heads located, maps over them trained, measured on what was held out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from circuits.discovery.scoring import Case
from circuits.headmap import Located, easiest, locate_heads
from circuits.lab import Lab
from editors.headmap.checkpoint import Checkpoint, run_name
from editors.headmap.choosing import choices
from editors.headmap.items import TaskItem, read_task, split
from editors.headmap.maps import Where, attached, headmap
from editors.headmap.storage import save_maps
from editors.headmap.training import TaskSettings, train_maps
from engines.models import Progress, load_model, model_digest, resolve_model

_CASES = 16  # that heads are located with: those that the model answers best
_ROWS = 8


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be made. `heads`: by layer; None: those that the search finds, `per_layer` in each."""

    model: str
    task: Path
    out: Path
    heads: Mapping[int, Sequence[int]] | None = None
    per_layer: int = 2
    rank: int = 16
    scaling: float = 1.0
    where: Where = Where.ATTENTION
    training: TaskSettings = field(default_factory=TaskSettings)


def enhance(wanted: Wanted, progress: Progress) -> dict[str, Any]:
    """Writes the maps to `out` and returns their notes. Blocks for minutes; begun anew it goes on with the training.

    ValueError for a task that cannot be read, and for heads that the model does not have.
    """
    training, held_out = split(read_task(wanted.task), wanted.training.seed)
    progress("loading", 0.0)
    path = resolve_model(wanted.model)
    model, tokenizer = load_model(path, dtype=torch.float32)
    digest = model_digest(model)
    lab = Lab(model, tokenizer, rows=_ROWS)
    heads = wanted.heads or _located(lab, training, wanted.per_layer, progress)
    torch.manual_seed(wanted.training.seed)
    maps = headmap(lab.spec, heads, wanted.rank, scaling=wanted.scaling, where=wanted.where)
    checkpoint = Checkpoint(
        wanted.out / "training.safetensors", run_name(maps, training, wanted.training, digest)
    )
    losses = train_maps(model, tokenizer, maps, training, wanted.training, progress, checkpoint)
    progress("measuring", 0.0)
    frozen = choices(model, tokenizer, held_out, _ROWS)
    with attached(lab.spec, maps):
        enhanced = choices(model, tokenizer, held_out, _ROWS)
    notes = {
        "model": path.name,
        "task": wanted.task.name,
        "items": len(training),
        "held_out": len(held_out),
        "heads": {str(layer): list(each) for layer, each in heads.items()},
        "parameters": maps.parameters_count,
        "training": asdict(wanted.training),
        "loss_first": losses[0],
        "loss_last": losses[-1],
        "accuracy_frozen": fmean(each.is_right for each in frozen),
        "accuracy_enhanced": fmean(each.is_right for each in enhanced),
    }
    save_maps(maps, wanted.out, digest, notes)
    checkpoint.path.unlink(missing_ok=True)
    return notes


def _located(lab: Lab, items: Sequence[TaskItem], per_layer: int, progress: Progress) -> Located:
    cases = []
    for item in items:
        head, tail = lab.prompts.encode_pair(item.text, " " + item.answer)
        cases.append(Case(tuple(head), tuple(tail)))
    progress("locating heads", 0.0)
    chosen = easiest(lab, cases, _CASES)
    found: Located = {}
    for layer in range(lab.layers):
        progress("locating heads", layer / lab.layers)
        found = locate_heads(lab, chosen, per_layer, layers=[layer], before=found).heads
    return found
