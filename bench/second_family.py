"""From nothing to a served encoder on another model family: a GPT-NeoX made here, its encoder, the service.

    python -m bench.second_family --size quick|full --seed N [--folder FOLDER]

A small GPT-NeoX is trained from scratch (scripts.small_model), then an encoder for it as `interleaf encoder train`
does, then invented facts are asked for through a running service. With --folder both are kept, and what was interrupted
goes on. Subjects and objects are always of the held-out side, unknown to the model and to the encoder. For each CELL:
none_CELL: without facts; right_CELL: with the facts; shuffled_truth_CELL and shuffled_follows_CELL: with the objects
permuted among facts whose objects are of one kind, the true object or the stored wrong one. The whole object must
begin the answer (in a chat: occur in it); *_first: the first token alone. known: built-in facts that the model has
read, asked for without a store.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.answers import says_first
from bench.common import Bench
from bench.encoder_asking import Asking, Record, judge_said, relations_of
from bench.encoder_questions import Asker, Case
from bench.encoder_world import Invented, InventedWorld, invented_world
from bench.service_run import Ask, Service, running, tokenizer_of
from editors.kv.features import object_ids
from editors.kv.phrases import load
from interleaf import Answer
from scripts.small_model import SIZES, Size, TrainedModel, recipe_path, train_small_model
from service.encoders.jobs import Progress, TrainJob
from service.encoders.recipe_file import differences, read_recipe, recipe_values
from service.encoders.shelf import MANIFEST, Shelf
from service.encoders.training import real_relations

CELLS = ("right_seen", "right_phrasing", "right_relation", "right_relation_named", "right_chat")
_QUICK, _FULL = (30, 300), (300, 2000)  # questions of a cell, facts stored
_ROOM = 12  # tokens for a built-in object
_EVERY = 20


@dataclass(frozen=True, slots=True)
class _Made:
    """What was trained, and how."""

    model: TrainedModel
    encoder: Path
    manifest: dict[str, Any]


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the benchmark."""
    bench = Bench("second_family", description=__doc__ or "", argv=argv, add_arguments=_arguments)
    measure(bench, SIZES[bench.size], recipe_values(read_recipe(recipe_path(bench.size))))


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--folder", type=Path, help="keeps model and encoder, and goes on with them")
    parser.add_argument("--n", type=int, help="questions in a cell instead of the usual")
    parser.add_argument("--facts", type=int, help="facts stored instead of the usual")


def measure(bench: Bench, size: Size, recipe: dict[str, Any]) -> dict[str, Any]:
    """The whole way with a model and a recipe."""
    if bench.args.folder:
        return _measure(bench, bench.args.folder, size, recipe)
    with tempfile.TemporaryDirectory() as folder:
        return _measure(bench, Path(folder), size, recipe)


def _measure(bench: Bench, folder: Path, size: Size, recipe: dict[str, Any]) -> dict[str, Any]:
    usual = _FULL if bench.full else _QUICK
    count, facts = bench.args.n or usual[0], bench.args.facts or usual[1]
    made = _make(bench, folder, size, recipe)
    record = asyncio.run(_ask(bench, made, count, facts))
    figures = made.manifest["figures"]
    record.keys |= {
        "parameters": made.model.parameters,
        "model_loss": sum(made.model.losses[-_EVERY:]) / len(made.model.losses[-_EVERY:]),
        "model_minutes": made.model.seconds / 60,
        "encoder_minutes": made.manifest["run"]["minutes"],
    }
    record.keys |= {f"evaluated_{name}": value for name, value in figures.items() if name[0] in "ra"}
    return bench.finish(
        record.keys,
        n=record.asked,
        model=f"GPT-NeoX {made.manifest['model_digest']}, {size.layers} layers, hidden {size.hidden}",
        rows=record.rows,
        configuration={
            "per_cell": count,
            "facts": facts,
            "layers": json.loads((made.encoder / "manifest.json").read_text())["shape"]["layers"],
            "recipe": made.manifest["recipe"],
            "phrases": load().digest,
        },
    )


def _make(bench: Bench, folder: Path, size: Size, recipe: dict[str, Any]) -> _Made:
    def note(step: int, loss: float) -> None:
        if (step + 1) % _EVERY == 0:
            bench.log(f"step {step + 1} of {size.steps}: loss {loss:.2f}")

    def on_progress(progress: Progress) -> None:
        if progress.stage == "training" and progress.step % _EVERY == 0:
            losses = ", ".join(f"{name} {value:.2f}" for name, value in progress.losses.items())
            bench.log(f"step {progress.step} of {progress.steps}: {losses}")

    with bench.stage("the model"):
        model = train_small_model(folder / "model", size, bench.seed, note)
    values = recipe | {"model": str(model.folder), "train": recipe["train"] | {"seed": bench.seed}}
    with bench.stage("its encoder"):
        encoder = folder / "encoder"
        manifest = _trained_before(encoder, values)
        if not manifest:
            manifest = TrainJob(str(encoder), values).run(on_progress, lambda: False)["manifest"]
    return _Made(model, encoder, dict(manifest))


def _trained_before(encoder: Path, values: dict[str, Any]) -> Mapping[str, Any]:
    """The manifest of an encoder that an earlier run has finished by this recipe; else nothing."""
    if not (encoder / MANIFEST).is_file():
        return {}
    known = Shelf(encoder.parent).named(str(encoder), "")
    return {} if differences(known.recipe, values) else known.manifest


async def _ask(bench: Bench, made: _Made, count: int, facts: int) -> Record:
    record, model = Record(), str(made.model.folder)
    world, tokenizer = invented_world(load(), facts, bench.seed), tokenizer_of(model)
    present = Asker(world, load(), tokenizer, bench.seed).present(count)
    moved = shuffled(world)
    async with running(model=model, encoder=str(made.encoder)) as service:
        with bench.stage(f"storing {facts} facts twice"):
            await service.store("told", world.contents(facts))
            await service.store("shuffled", [moved[fact].content for fact in world.facts])
        asking = Asking(service, tokenizer)
        for cell in CELLS:
            cases = present[cell]
            name = cell.removeprefix("right_")
            with bench.stage(f"{name}: {len(cases)} questions"):
                plain = await asking.answers("told", cases, use_facts=False)
                told = await asking.answers("told", cases)
                # Where a wrong object could not be found there is nothing to follow.
                others = [case for case in cases if moved[case.facts[0]].object != case.objects[0]]
                misled = await asking.answers("shuffled", others)
            wrong = [replace(case, objects=(moved[case.facts[0]].object,)) for case in others]
            _judge(record, tokenizer, f"none_{name}", cases, plain)
            _judge(record, tokenizer, f"right_{name}", cases, told)
            _judge(record, tokenizer, f"shuffled_truth_{name}", others, misled)
            _judge(record, tokenizer, f"shuffled_follows_{name}", wrong, misled)
        with bench.stage("what the model has read"):
            await _known(bench, service, record, count)
    return record


def shuffled(world: InventedWorld) -> dict[Invented, Invented]:
    """Every fact with the object of another, of the same kind where there are two of it, else of any. Each group of
    objects, sorted, moves on by as many places as its commonest object has: none meets itself unless it has to."""
    kinds: dict[str, list[Invented]] = {}
    for fact in world.facts:
        kinds.setdefault(fact.relation.object_kind, []).append(fact)
    alone = [kind for kind, facts in kinds.items() if len({fact.object for fact in facts}) == 1]
    groups = [[fact for kind in alone for fact in kinds.pop(kind)], *kinds.values()]
    found: dict[Invented, Invented] = {}
    for facts in groups:
        facts.sort(key=lambda fact: fact.object)
        values = [fact.object for fact in facts]
        places = max((values.count(value) for value in set(values)), default=0)
        for place, fact in enumerate(facts):
            found[fact] = replace(fact, object=values[(place + places) % len(values)])
    return found


def says_first_token(tokenizer: Any, answer: str, value: str) -> bool:
    """Whether an answer, cut into tokens again, begins as the value does."""
    said = object_ids(tokenizer, answer.strip())
    return said[:1] == object_ids(tokenizer, value)[:1]


def _judge(
    record: Record, tokenizer: Any, name: str, cases: Sequence[Case], answers: Sequence[Answer]
) -> None:
    judge_said(record, name, cases, answers)
    asked = [(case, answer) for case, answer in zip(cases, answers, strict=True) if not case.chat]
    if asked:
        first = [says_first_token(tokenizer, answer.text, case.objects[0]) for case, answer in asked]
        record.share(f"{name}_first", first, relations_of([case for case, _ in asked]))


async def _known(bench: Bench, service: Service, record: Record, count: int) -> None:
    """In phrasings that the model has read; every relation as often as any other."""
    asked, read = [], real_relations()
    for _ in range(count):
        relation = bench.random.choice(read)
        subject, value = bench.random.choice(relation.facts)
        _, prompt = bench.random.choice(relation.phrasings).filled(subject, relation.name, value)
        asked.append((prompt, value, relation.name))
    answers = await service.ask_all(
        [Ask("told", prompt, _ROOM, complete=True, use_facts=False) for prompt, _, _ in asked]
    )
    said = [says_first(answer.text, value) for answer, (_, value, _) in zip(answers, asked, strict=True)]
    record.share("known", said, [relation for _, _, relation in asked])
    record.keep(
        [
            {"cell": "known", "prompt": prompt, "objects": [value], "answer": answer.text, "good": good}
            for (prompt, value, _), answer, good in zip(asked, answers, said, strict=True)
        ]
    )


if __name__ == "__main__":
    main()
