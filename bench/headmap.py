"""HeadMap's enhancement on a commonsense task, LoRA with no more parameters beside it, and the frozen model.

    python -m bench.headmap --data FOLDER --heads FILE --size quick|full --seed N [--task ARC-Easy]

FOLDER (INTERLEAF_COMMONSENSE names it too) has a folder for each task with test.json: items with `instruction`, whose
last line names the possible answers, and `answer`. They are split into training and test items by the seed: what is
tested was never trained on. FILE: located heads as JSON, {"layer": [head, ...]}; locating is the diagnostics' part.
gain_enhanced, gain_lora: accuracy with the trained maps less that of the frozen model (accuracy_frozen), by the
likeliest of the possible answers, with intervals over the test items.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch

from bench.common import Bench, sample_keys, share_keys
from editors.headmap.maps import SideMaps, attached, headmap, lora_beside
from editors.headmap.training import TaskItem, TaskSettings, choose, train_maps
from engines.architectures import spec_for
from engines.models import load_model, resolve_model

ENVIRONMENT = "INTERLEAF_COMMONSENSE"
_QUICK, _FULL = (16, 16), (1000, 1000)  # training and test items
_FORMAT = "Answer format:"
_LONGEST = 1500  # characters of an instruction: longer ones are left out


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the benchmark; ends with 2 where data or heads are missing."""
    bench = Bench("headmap", description=__doc__ or "", argv=argv, add_arguments=_arguments)
    located = _located(bench)
    items = bench.random.sample(read_items(_file(bench)), sum(_FULL if bench.full else _QUICK))
    count = (_FULL if bench.full else _QUICK)[0]
    training, test = items[:count], items[count:]
    path = resolve_model(bench.args.model)
    model, tokenizer = load_model(path, dtype=torch.float32)
    spec = spec_for(model)
    torch.manual_seed(bench.seed)
    enhanced = headmap(spec, located, bench.args.rank)
    rivals = {"enhanced": enhanced, "lora": lora_beside(spec, enhanced)}
    settings = TaskSettings(epochs=bench.args.epochs, seed=bench.seed)
    with bench.stage("the frozen model"):
        frozen = _right(model, tokenizer, None, test)
    keys: dict[str, Any] = dict(share_keys("accuracy_frozen", frozen))
    rows: list[dict[str, Any]] = []
    for name, maps in rivals.items():
        with bench.stage(f"{name}: {maps.parameters_count} parameters, {len(training)} items"):
            losses = train_maps(model, tokenizer, maps, training, settings)
            right = _right(model, tokenizer, maps, test)
        keys |= share_keys(f"accuracy_{name}", right)
        keys |= sample_keys(f"gain_{name}", [now - then for now, then in zip(right, frozen, strict=True)])
        keys[f"parameters_{name}"] = maps.parameters_count
        rows.append({"maps": name, "losses": [round(loss, 4) for loss in losses], "right": right})
    bench.finish(
        keys,
        n=len(test),
        model=path.name,
        rows=rows,
        configuration={"task": bench.args.task, "heads": {str(k): list(v) for k, v in located.items()}},
    )


def read_items(file: Path) -> list[TaskItem]:
    """ValueError, naming the item, where one is not what it should be. Too long ones are left out."""
    found = []
    for number, entry in enumerate(json.loads(file.read_text(encoding="utf-8"))):
        text, answer = str(entry["instruction"]), str(entry["answer"])
        choices = tuple(text.rpartition(_FORMAT)[2].strip().split("/"))
        if answer not in choices:
            raise ValueError(f"{file.name}, item {number}: {answer!r} is none of {choices}")
        if len(text) <= _LONGEST:
            found.append(TaskItem(f"{text}\n\nThe correct answer is", answer, choices))
    return found


def _arguments(parser: argparse.ArgumentParser) -> None:
    given = os.environ.get(ENVIRONMENT)
    parser.add_argument("--model", default="default", help="`default`, or a folder")
    parser.add_argument("--data", type=Path, default=Path(given) if given else None, help="the tasks")
    parser.add_argument("--task", default="ARC-Easy", help="a folder of them")
    parser.add_argument("--heads", type=Path, help="located heads")
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=2)


def _file(bench: Bench) -> Path:
    data: Path | None = bench.args.data
    file = None if data is None else data.joinpath(str(bench.args.task), "test.json")
    if file is None or not file.is_file():
        print(f"bench.headmap: give the tasks' folder with --data or {ENVIRONMENT}", file=sys.stderr)
        raise SystemExit(2)
    return file


def _located(bench: Bench) -> dict[int, tuple[int, ...]]:
    file: Path | None = bench.args.heads
    if file is None or not file.is_file():
        print('bench.headmap: give located heads with --heads FILE: {"layer": [head, ...]}', file=sys.stderr)
        raise SystemExit(2)
    data = json.loads(file.read_text(encoding="utf-8"))
    return {int(layer): tuple(heads) for layer, heads in data.items()}


def _right(model: Any, tokenizer: Any, maps: SideMaps | None, items: Sequence[TaskItem]) -> list[int]:
    with attached(spec_for(model), maps) if maps is not None else nullcontext():
        return [int(choose(model, tokenizer, item) == item.answer) for item in items]


if __name__ == "__main__":
    main()
