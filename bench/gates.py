"""Which heads of an encoder have to look at facts, and whether any others would do as well.

    python -m bench.gates --size quick|full --seed N [--encoder FOLDER --model FOLDER] [--export FOLDER] [--minutes M]

Hard-Concrete gates (editors.kv.gates) are trained on an encoder with two penalties: `light` and `heavy`. quick leaves
everything but the gates as it is; full trains the encoder's maps beside them, and for comparison those of an encoder
with all heads (`longer`) for as many steps. `all` is the encoder as it was. For each X of these: open_X heads in
layers_X layers, kv_bytes_X for each object token; right_X_N: the whole object is said among N candidates (the right
one and its worst rivals; subjects, objects and phrasings that training never shows); loss_X_N: `all` less X, question
by question; unchanged_X: the plain model's first token where the fact is not among the candidates.

Are heads interchangeable? right_X_same, right_X_other: among eight candidates, as many heads chosen at random from
those that X closed in its own layers, and in layers that X does without; means over draws. In full also
right_X_same_trained, right_X_other_trained: one draw each, its maps trained for as many steps. shared: of heavy's open
heads, those that light has open too.

Writes a picture of the gates beside the result. --export: the sparse encoders, stored as any encoder is. A full run
keeps what it has trained and asked (bench/kept.py): one that was ended is carried on by the same command. What was not
reached is null.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from bench.common import Bench, sample_keys, share_keys
from bench.gates_picture import Panel, picture
from bench.gates_questions import right, unchanged
from bench.gates_variants import Plan, Variants, other_layers, same_layers
from bench.kept import Row, kept_arguments
from editors.kv.gate_training import GateSettings
from editors.kv.gates import GatedEncoder, Heads
from editors.kv.reading import Known
from editors.kv.world import Mix

_PENALTIES = {"light": 0.01, "heavy": 0.05}
_AMONG = 8  # candidates where only one number is tried
_QUICK = Plan(GateSettings(steps=24, learning_rate=0.5), Mix(facts=24, questions=8, real=0.0))
_FULL = Plan(
    GateSettings(steps=150, learning_rate=0.1, map_learning_rate=3e-4, bias_learning_rate=2e-2),
    Mix(real=0.0),
)
# Problems of 64 questions, numbers of candidates, random draws of heads, problems for an export's evaluation.
_ASKED = {"quick": (1, (2, 8, 32), 2, 1), "full": (16, (1, 2, 4, 8, 16, 32), 5, 4)}


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the benchmark."""
    bench = Bench("gates", description=__doc__ or "", argv=argv, add_arguments=_arguments)
    problems, candidates, draws, evaluated = _ASKED[bench.size]
    problems = bench.args.problems or problems
    plan = _FULL if bench.full else _QUICK
    if bench.args.steps:
        plan = Plan(replace(plan.gates, steps=bench.args.steps), plan.mix)
    variants = Variants(bench, bench.args.model, bench.args.encoder, plan, _PENALTIES)
    with bench.stage("reading the questions"):
        measured = _Measured(bench, variants, variants.questions(problems), candidates)
    config = variants.encoder.config
    everything = {layer: tuple(range(config.heads)) for layer in config.layers}
    whole = variants.with_heads(everything)
    keys = measured.variant("all", whole)
    rows: list[dict[str, Any]] = [_row("all", whole)]
    if bench.full:
        longer = variants.trained_with("longer", everything)
        keys |= measured.variant("longer", longer) if longer else {}
    found: dict[str, Heads] = {}
    for name, penalty in _PENALTIES.items():
        made = variants.sparse(name, penalty)
        if made is None:
            break
        gated, curve = made
        found[name] = gated.open_heads()
        rows.append(_row(name, gated) | {"penalty": penalty, "curve": curve})
        keys |= measured.variant(name, gated)
        keys |= measured.controls(name, gated, draws, trained=bench.full)
        if bench.args.export and found[name]:
            with bench.stage(f"exporting {name}"):
                variants.export(gated, bench.args.export / name, evaluated)
    keys["shared"] = _shared(found["heavy"], found["light"]) if len(found) == len(_PENALTIES) else None
    if found:
        target = bench.args.results / f"gates-{bench.size}.svg"
        bench.args.results.mkdir(parents=True, exist_ok=True)
        target.write_text(_drawn(variants.model_name, config.layers, rows), encoding="utf-8")
    bench.finish(
        keys,
        n=len(measured.asked) * len(measured.asked[0].problem.questions),
        model=variants.model_name,
        rows=rows,
        configuration={"plan": asdict(plan), "penalties": _PENALTIES, "encoder": variants.manifest["digest"]},
    )


class _Measured:
    """Asks variants the same questions, and remembers what `all` and each variant answered."""

    def __init__(
        self, bench: Bench, variants: Variants, asked: Sequence[Known], candidates: Sequence[int]
    ) -> None:
        self.asked = asked
        self._bench, self._variants, self._candidates = bench, variants, candidates
        self._whole: dict[int, list[bool] | None] = {}  # by number of candidates, what `all` has right

    def variant(self, name: str, gated: GatedEncoder) -> dict[str, Any]:
        """All figures of one encoder."""
        opened, config = gated.open_heads(), gated.config
        keys: dict[str, Any] = {
            f"open_{name}": sum(map(len, opened.values())),
            f"layers_{name}": len(opened),
            f"kv_bytes_{name}": len(opened) * config.kv_heads * config.head_dim * 2 * 2,
        }
        with self._bench.stage(f"asking {name}"):
            for count in self._candidates:
                answers = self._right(name, gated, count)
                keys |= _shares(f"right_{name}_{count}", answers)
                if name == "all":
                    self._whole[count] = answers
                else:
                    keys |= _difference(f"loss_{name}_{count}", self._whole[count], answers)
            silent = self._asked(
                f"{name} silent", lambda each: unchanged(gated, self._variants.model, each, _AMONG)
            )
            keys |= _shares(f"unchanged_{name}", silent)
        return keys

    def controls(self, name: str, gated: GatedEncoder, draws: int, *, trained: bool) -> dict[str, Any]:
        """As many other heads, in the same layers and in others."""
        opened, config = gated.open_heads(), gated.config
        keys: dict[str, Any] = {}
        for place in ("same", "other"):
            drawn = []
            for number in range(draws):
                rng = random.Random(f"{self._bench.seed}/{place}/{number}")
                if place == "same":
                    drawn.append(same_layers(opened, config.heads, rng))
                else:
                    drawn.append(other_layers(opened, config.layers, config.heads, rng))
            with self._bench.stage(f"{name}: heads at random, {place} layers"):
                answers = [
                    self._right(f"{name} {place} {number}", self._variants.with_heads(heads, gated), _AMONG)
                    for number, heads in enumerate(drawn)
                ]
            keys |= _means(f"right_{name}_{place}", answers)
            keys[f"layers_{name}_{place}"] = sum(map(len, drawn)) / draws
            if trained:
                label = f"{name} {place}"
                again = self._variants.trained_with(label, drawn[0])
                hits = self._right(f"{label} trained", again, _AMONG) if again else None
                keys |= _shares(f"right_{name}_{place}_trained", hits)
        return keys

    def _right(self, label: str, gated: GatedEncoder, candidates: int) -> list[bool] | None:
        model = self._variants.model
        return self._asked(f"{label} {candidates}", lambda each: right(gated, model, each, candidates))

    def _asked(self, label: str, ask: Callable[[Known], list[bool]]) -> list[bool] | None:
        """None where it is too late."""

        def make() -> Row:
            return {"answers": [hit for each in self.asked for hit in ask(each)]}

        kept = self._variants.kept
        row = make() if kept is None else kept.row(f"{len(self.asked)} problems: {label}", make)
        return None if row is None else list(row["answers"])


def _shares(name: str, answers: Sequence[bool] | None) -> dict[str, float | None]:
    return dict(share_keys(name, answers)) if answers else _nothing(name)


def _means(name: str, drawn: Sequence[Sequence[bool] | None]) -> dict[str, float | None]:
    answers = [each for each in drawn if each is not None]
    if len(answers) < len(drawn):
        return _nothing(name)
    return dict(sample_keys(name, [sum(of_one) / len(answers) for of_one in zip(*answers, strict=True)]))


def _difference(
    name: str, before: Sequence[bool] | None, after: Sequence[bool] | None
) -> dict[str, float | None]:
    if before is None or after is None:
        return _nothing(name)
    lost = [float(then) - float(now) for then, now in zip(before, after, strict=True)]
    return dict(sample_keys(name, lost))


def _nothing(name: str) -> dict[str, float | None]:
    return {name: None, f"{name}_lo": None, f"{name}_hi": None}


def _shared(few: Heads, many: Heads) -> float | None:
    """None where nothing is open."""
    places = [(layer, head) for layer, heads in few.items() for head in heads]
    if not places:
        return None
    return sum(head in many.get(layer, ()) for layer, head in places) / len(places)


def _row(name: str, gated: GatedEncoder) -> dict[str, Any]:
    gates = [[round(value, 4) for value in row] for row in gated.gates.settled().tolist()]
    return {"encoder": name, "layers": list(gated.config.layers), "gates": gates}


def _drawn(model: str, layers: Sequence[int], rows: Sequence[dict[str, Any]]) -> str:
    panels = []
    for row in rows[1:]:
        opened = sum(gate > 0 for gates in row["gates"] for gate in gates)
        total = len(layers) * len(row["gates"][0])
        panels.append(Panel(f"penalty {row['penalty']:g}", f"{opened} of {total} heads open", row["gates"]))
    return picture(f"Heads that look at facts, {model}", layers, panels)


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default="default", help="`default`, or a folder")
    parser.add_argument("--encoder", default="default", help="`default`, or an encoder's folder")
    parser.add_argument("--steps", type=int, help="of each training")
    parser.add_argument("--problems", type=int, help="of 64 questions each")
    parser.add_argument("--export", type=Path, help="folder for the sparse encoders")
    kept_arguments(parser)


if __name__ == "__main__":
    main()
