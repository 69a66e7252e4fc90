"""HeadMap on a commonsense task: what silencing the located heads costs, and what passing them on gains.

    python -m bench.headmap --data FOLDER --size quick|full --seed N [--task ARC-Easy] [--form words] [--minutes M]

FOLDER (INTERLEAF_COMMONSENSE names it too) has a folder for each task with test.json: items with `instruction`, whose
last line names the possible answers, and `answer`. With `--form words` the answers are not the labels but what stands
behind them (bench/headmap_data.py), and the result is called headmap_words. Items are split into training and test
items by the seed: what is tested was never trained on, nor searched with. Heads are located layer by layer
(circuits/headmap.py) with the training items that the model answers with the lowest loss; or read with `--heads FILE`,
{"layer": [head, ...]}. drop_located, drop_random, drop_unconditioned: accuracy on the test items less that with these
heads silent; loss_*: the mean loss of the right answer. gain_enhanced, gain_lora: accuracy with the trained maps, and
with LoRA of no more parameters, less that of the frozen model (accuracy_frozen). Rows are kept (bench/kept.py),
trainings have checkpoints: a run that was ended goes on. What was not reached is null.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from bench import headmap_data
from bench.common import Bench, sample_keys, share_keys
from bench.kept import Kept, Row, kept_arguments
from circuits import headmap as locating
from circuits.discovery.scoring import Case
from circuits.headmap import Located, locate_heads, random_heads, silenced
from circuits.lab import Lab
from editors.headmap import choosing, training
from editors.headmap import maps as side_maps
from editors.headmap.checkpoint import Checkpoint, run_name
from editors.headmap.choosing import choices
from editors.headmap.items import TaskItem
from editors.headmap.maps import SideMaps, attached, headmap, lora_beside
from editors.headmap.training import TaskSettings, train_maps
from engines.models import Progress, file_digest, load_model, model_digest, resolve_model

ENVIRONMENT = "INTERLEAF_COMMONSENSE"
_CHUNK = 20  # test items between two kept rows
_SILENT = ("located", "random", "unconditioned")
_MAPS = ("enhanced", "lora")


@dataclass(frozen=True, slots=True)
class _Size:
    training: int
    test: int
    cases: int  # that heads are located with
    every: int  # layers: each, every second, ...


_QUICK, _FULL = _Size(16, 16, 2, 6), _Size(600, 400, 16, 1)


class _TimeIsUp(Exception):
    """Ends a training behind its last checkpoint."""


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the benchmark; ends with 2 where data are missing."""
    bench = Bench("headmap", description=__doc__ or "", argv=argv, add_arguments=_arguments)
    size = _FULL if bench.full else _QUICK
    if bench.args.form == "words":
        bench.name += "_words"
    there = headmap_data.read_items(_file(bench), bench.args.form)
    items = bench.random.sample(there, min(len(there), size.training + size.test))
    split = len(items) * size.training // (size.training + size.test)
    path = resolve_model(bench.args.model)
    model, tokenizer = load_model(path, dtype=torch.float32)
    kept = Kept(
        bench,
        (headmap_data, locating, choosing, side_maps, training),
        model=model_digest(model),
        items=file_digest(_file(bench)),
        size=str(size),
        heads=_given_heads(bench),
        maps=[bench.args.per_layer, bench.args.rank, bench.args.epochs],
    )
    run = _Run(bench, size, kept, Lab(model, tokenizer, rows=8), items[:split], items[split:])
    located = run.heads()
    run.judge("frozen", nullcontext())
    for name, heads in located.items():
        run.judge(name, silenced(run.lab, heads))
    if "located" in located:
        run.train(located["located"])
    bench.finish(
        run.keys(),
        n=len(run.outcomes("frozen")),
        model=path.name,
        rows=[{"state": name, "items": run.outcomes(name)} for name in ("frozen", *_SILENT, *_MAPS)],
        configuration={
            "task": bench.args.task,
            "form": bench.args.form,
            "heads": {name: {str(k): list(v) for k, v in heads.items()} for name, heads in located.items()},
        },
    )


class _Run:
    """Everything is kept under names that begin with what it is of."""

    def __init__(
        self,
        bench: Bench,
        size: _Size,
        kept: Kept,
        lab: Lab,
        training: Sequence[TaskItem],
        test: Sequence[TaskItem],
    ) -> None:
        self.bench, self.size, self.kept, self.lab = bench, size, kept, lab
        self.training, self.test = training, test
        self._given = _given_heads(bench)
        self._parameters: dict[str, int] = {}

    def heads(self) -> dict[str, Located]:
        """Located, random and unconditioned ones, as far as the search has come to its end."""
        found: dict[str, Located] = {}
        if self._given is not None:
            found["located"] = self._given
        else:
            for name, conditioned in (("located", True), ("unconditioned", False)):
                with self.bench.stage(f"locating heads, {name}"):
                    heads = self._search(conditioned)
                if heads is not None:
                    found[name] = heads
        if "located" in found:
            found["random"] = random_heads(self.lab, found["located"], random.Random(self.bench.seed))
        return found

    def _search(self, conditioned: bool) -> Located | None:
        easiest = self._easiest()
        if easiest is None:
            return None
        found: dict[int, tuple[int, ...]] = {}
        for layer in range(0, self.lab.layers, self.size.every):
            name = f"heads/{conditioned}/{layer}"
            row = self.kept.row(name, partial(self._searched, layer, easiest, dict(found), conditioned))
            if row is None:
                return None
            found[layer] = tuple(row["heads"])
        return found

    def _searched(self, layer: int, cases: list[Case], before: Located, conditioned: bool) -> Row:
        per_layer = min(self.bench.args.per_layer, self.lab.spec.heads)
        found = locate_heads(
            self.lab, cases, per_layer, layers=[layer], conditioned=conditioned, before=before
        )
        self.bench.log(f"layer {layer}: heads {found.heads[layer]}")
        return {"heads": list(found.heads[layer]), "losses": found.losses[layer].tolist()}

    def _easiest(self) -> list[Case] | None:
        """The training items with the lowest loss, as what the search reads."""
        losses: list[float] = []
        for start in range(0, len(self.training), _CHUNK):
            part = self.training[start : start + _CHUNK]
            row = self.kept.row(f"training/{start}", partial(self._chosen, part))
            if row is None:
                return None
            losses += [loss for _, loss in row["items"]]
        best = sorted(range(len(losses)), key=losses.__getitem__)[: self.size.cases]
        return [self._case(self.training[at]) for at in best]

    def _case(self, item: TaskItem) -> Case:
        head, tail = self.lab.prompts.encode_pair(item.text, " " + item.answer)
        return Case(tuple(head), tuple(tail))

    def judge(self, name: str, state: AbstractContextManager[Any]) -> None:
        """Outcomes of the test items in this state of the model."""
        with self.bench.stage(f"{name} on {len(self.test)} items"), state:
            for start in range(0, len(self.test), _CHUNK):
                part = self.test[start : start + _CHUNK]
                self.kept.row(f"test/{name}/{start}", partial(self._chosen, part))

    def _chosen(self, items: Sequence[TaskItem]) -> Row:
        found = choices(self.lab.model, self.lab.tokenizer, items)
        return {"items": [[choice.is_right, choice.loss] for choice in found]}

    def train(self, heads: Located) -> None:
        """The maps over these heads, and LoRA beside them."""
        torch.manual_seed(self.bench.seed)
        maps = headmap(self.lab.spec, heads, self.bench.args.rank)
        settings = TaskSettings(epochs=self.bench.args.epochs, seed=self.bench.seed)
        for name, each in zip(_MAPS, (maps, lora_beside(self.lab.spec, maps)), strict=True):
            self._parameters[name] = each.parameters_count
            if self._trained(name, each, settings):
                self.judge(name, attached(self.lab.spec, each))

    def _trained(self, name: str, maps: SideMaps, settings: TaskSettings) -> bool:
        run = run_name(maps, self.training, settings, str(self.bench.seed))
        checkpoint = Checkpoint(self.kept.path.with_suffix(f".{name}.safetensors"), run)
        title = f"{name}: {maps.parameters_count} parameters, {len(self.training)} items"
        try:
            with self.bench.stage(title):
                losses = train_maps(
                    self.lab.model,
                    self.lab.tokenizer,
                    maps,
                    self.training,
                    settings,
                    self._until(),
                    checkpoint,
                )
        except _TimeIsUp:
            return False
        self.bench.log(f"{name}: loss {losses[0]:.3f} to {losses[-1]:.3f}")
        return True

    def _until(self) -> Progress:
        def progress(what: str, share: float) -> None:
            if self.kept.time_is_up:
                raise _TimeIsUp

        return progress

    def outcomes(self, name: str) -> list[list[Any]]:
        """As far as they are there: whether right, and the loss."""
        rows = [self.kept.get(f"test/{name}/{start}") for start in range(0, len(self.test), _CHUNK)]
        return [item for row in rows if row for item in row["items"]]

    def keys(self) -> dict[str, Any]:
        """Differences are over the items that both states have answered."""
        frozen = self.outcomes("frozen")
        keys: dict[str, Any] = {f"drop_{name}": None for name in _SILENT}
        keys |= {f"gain_{name}": None for name in _MAPS} | {"accuracy_frozen": None}
        if frozen:
            keys |= share_keys("accuracy_frozen", [right for right, _ in frozen])
        for name in ("frozen", *_SILENT, *_MAPS):
            if mine := self.outcomes(name):
                keys |= sample_keys(f"loss_{name}", [loss for _, loss in mine])
        for name in (*_SILENT, *_MAPS):
            pairs = list(zip(self.outcomes(name), frozen, strict=False))
            if pairs:
                sign, title = (1, "gain") if name in _MAPS else (-1, "drop")
                keys |= sample_keys(f"{title}_{name}", [sign * (now[0] - then[0]) for now, then in pairs])
                keys |= share_keys(f"accuracy_{name}", [now[0] for now, _ in pairs])
        return keys | {f"parameters_{name}": count for name, count in self._parameters.items()}


def _arguments(parser: argparse.ArgumentParser) -> None:
    given = os.environ.get(ENVIRONMENT)
    parser.add_argument("--model", default="default", help="`default`, or a folder")
    parser.add_argument("--data", type=Path, default=Path(given) if given else None, help="the tasks")
    parser.add_argument("--task", default="ARC-Easy", help="a folder of them")
    parser.add_argument("--form", choices=headmap_data.FORMS, default="labels", help="what an answer is")
    parser.add_argument("--heads", type=Path, help="located heads, instead of a search")
    parser.add_argument("--per-layer", type=int, default=2, help="heads to locate in each layer")
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=2)
    kept_arguments(parser)


def _file(bench: Bench) -> Path:
    data: Path | None = bench.args.data
    file = None if data is None else data.joinpath(str(bench.args.task), "test.json")
    if file is None or not file.is_file():
        print(f"bench.headmap: give the tasks' folder with --data or {ENVIRONMENT}", file=sys.stderr)
        raise SystemExit(2)
    return file


def _given_heads(bench: Bench) -> Located | None:
    file: Path | None = bench.args.heads
    if file is None:
        return None
    if not file.is_file():
        print(f"bench.headmap: {file} is not a file", file=sys.stderr)
        raise SystemExit(2)
    data = json.loads(file.read_text(encoding="utf-8"))
    return {int(layer): tuple(heads) for layer, heads in data.items()}


if __name__ == "__main__":
    main()
