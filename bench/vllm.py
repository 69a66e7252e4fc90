"""The vLLM engine: exactness, throughput, isolation, survival, the encoder's table.

    python -m bench.vllm --size quick|full --seed N [--parts exact,speed,...] [--minutes M]

exact_*: answers with the same tokens as the transformers engine's, in batches, from the cache of prefixes, one joining
the other, read in chunks and preempted. rate_*: tokens per second of vLLM's engine; ratio_none_T_bB: T tokens of facts
against none in a batch of B; ratio_text_F_bB: F facts as tokens against the same as text in the prompt; ratios within
a repetition, whose runs follow each other in random order; median. canaries: answers with another tenant's word.
orphans: processes left after kill -9. table_CELL and table_CELL_transformers: a cell of bench.encoder on either engine.
Every piece is kept as soon as it is measured; a run that was ended goes on where it was.
"""

from __future__ import annotations

import argparse
import random
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from bench import (
    answers,
    encoder_asking,
    encoder_questions,
    encoder_world,
    ordinary_text,
    service_run,
    vllm_stand,
    vllm_table,
    vllm_trials,
)
from bench import vllm_exactness as exactness
from bench import vllm_speed as speed
from bench.common import Bench
from bench.kept import Kept, kept_arguments
from bench.kept_asking import product_digest
from bench.service_run import model_arguments
from bench.vllm_stand import Stand, stand
from engines.vllm.engine import VllmEngine

_FACTS = 150  # of the invented world
_QUICK = speed.Plan((8, 32), (0, 8, 64), ((32, 64),), 3, 1, 24)
_FULL = speed.Plan((1, 8, 32), (0, 8, 64, 512), ((1, 64), (8, 8), (32, 8), (32, 64)), 5, 3, 48)
_PART = 16  # requests of a piece of exactness
# What asks and judges. What answers is the whole product: rows that other code made are measured again.
_MADE_BY = (
    *(answers, encoder_asking, encoder_questions, encoder_world, ordinary_text, service_run),
    *(exactness, speed, vllm_stand, vllm_table, vllm_trials),
)


class Run:
    """One run of the benchmark: what it measures on, and what it has found."""

    def __init__(self, bench: Bench, made: Stand) -> None:
        self.bench, self.made = bench, made
        arguments = bench.args
        self.kept = Kept(
            bench,
            _MADE_BY,
            model=made.reference.model_digest,
            encoder=made.encoder.digest,
            product=product_digest(arguments.encoder),
            size=bench.size,
            threads=arguments.threads,
            compile=arguments.compile,
        )
        self.keys: dict[str, Any] = {}
        self.rows: list[dict[str, Any]] = []
        self._engine: VllmEngine | None = None
        self._kind = ""

    def engine(self, kind: str = "usual", **settings: Any) -> VllmEngine:
        """One at a time, started when it is needed."""
        if self._engine is None or self._kind != kind:
            self.close()
            arguments = self.bench.args
            with self.bench.stage(f"starting vLLM ({kind})"):
                self._engine = self.made.start(
                    python=arguments.python,
                    threads=arguments.threads,
                    eager=not arguments.compile,
                    **settings,
                )
            self._kind = kind
        return self._engine

    def close(self) -> None:
        """The engine."""
        if self._engine is not None:
            self._engine.close()
            self._engine = None

    def pieces(self, part: str, names: Sequence[str], make: Callable[[str], dict[str, Any]]) -> list[Any]:
        """The rows of a part that there are, in order; those that are missing are made."""
        found = []
        for name in names:
            known = f"{part}/{name}" in self.kept
            row = self.kept.row(f"{part}/{name}", partial(make, name))
            if row is not None:
                found.append(row)
                self.rows.append({"part": part, "piece": name, **row})
                if not known:
                    self.bench.log(f"{part}: {name} is done")
        if len(found) < len(names):
            self.keys[f"{part}_missing"] = len(names) - len(found)
        return found


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the benchmark."""
    bench = Bench("vllm", description=__doc__ or "", argv=argv, add_arguments=_arguments)
    arguments = bench.args
    with _run(bench) as run:
        for part in arguments.parts:
            with bench.stage(part):
                _PARTS[part](run)
        name = f"{run.made.reference.model_name}, encoder {run.made.encoder.digest}"
        bench.finish(
            run.keys,
            n=run.keys.get("exact_requests", len(run.rows)),
            model=name,
            rows=run.rows,
            configuration={
                "parts": arguments.parts,
                "threads": arguments.threads,
                "compile": arguments.compile,
            },
        )


@contextmanager
def _run(bench: Bench) -> Iterator[Run]:
    arguments = bench.args
    with stand(arguments.model, arguments.encoder, _FACTS, bench.seed, arguments.threads) as made:
        run = Run(bench, made)
        try:
            yield run
        finally:
            run.close()


def _arguments(parser: argparse.ArgumentParser) -> None:
    model_arguments(parser)
    kept_arguments(parser)
    parser.add_argument("--parts", type=lambda text: text.split(","), default=list(_PARTS), help="some only")
    parser.add_argument("--threads", type=int, help="of each engine")
    parser.add_argument("--compile", action="store_true", help="let vLLM compile the model")
    parser.add_argument("--python", type=Path, help="interpreter of the environment that has vLLM")


def _exact(run: Run) -> None:
    full = run.bench.full
    usual = exactness.mixed(run.made, 128 if full else 64, random.Random(run.bench.seed), 12)
    tight = exactness.mixed(run.made, 32 if full else 16, random.Random(run.bench.seed + 2), 32)

    def together(name: str) -> dict[str, Any]:
        return exactness.in_turn(run.engine(), run.made.reference, usual[int(name) : int(name) + _PART])

    def chunks(name: str) -> dict[str, Any]:
        engine = run.engine("tight", max_context=512, options=exactness.TIGHT)
        return exactness.in_chunks(engine, run.made.reference, tight[int(name) : int(name) + _PART])

    found = run.pieces("exact", [str(at) for at in range(0, len(usual), _PART)], together)
    found += run.pieces("chunks", [str(at) for at in range(0, len(tight), _PART)], chunks)
    if found:
        run.keys |= exactness.keys_of(found)


def _speed(run: Run) -> None:
    plan = _FULL if run.bench.full else _QUICK
    measure = speed.Speed(run.made, run.engine, plan, run.bench.seed, run.bench.log)
    run.keys |= speed.keys_of(run.pieces("speed", measure.pieces, measure.piece))


def _isolation(run: Run) -> None:
    trial = vllm_trials.Isolation(run.made, 500 if run.bench.full else 20, run.bench.seed)
    found = run.pieces("isolation", trial.pieces, lambda name: trial.piece(run.engine(), name))
    if found:
        run.keys |= vllm_trials.isolation_keys(found)


def _survival(run: Run) -> None:
    kills, hostile = (5, 200) if run.bench.full else (1, 40)
    requests = exactness.mixed(run.made, 8, random.Random(run.bench.seed + 1), 8)
    trial = vllm_trials.Survival(
        run.made.reference, requests, hostile // (kills + 1) + 1, kills, run.bench.seed
    )
    names = [str(turn) for turn in range(kills + 1)]
    found = run.pieces("survival", names, lambda name: trial.piece(run.engine(), int(name)))
    if not found:
        return
    seconds = [row["seconds"] for row in found if row["seconds"] is not None]
    run.keys |= {"hostile_requests": sum(row["hostile"] for row in found), "engines_restarted": len(seconds)}
    run.keys |= {
        name: sum(row[name] for row in found) for name in ("wrong_after", "unasked_restarts", "orphans")
    }
    if seconds:
        run.keys |= {"restart_seconds": statistics.median(seconds), "restart_seconds_most": max(seconds)}


def _table(run: Run) -> None:
    run.close()  # each service starts its own
    table = vllm_table.Table(run.bench, 100 if run.bench.full else 4)
    table.measure(run.pieces)
    run.keys |= table.keys


_PARTS: dict[str, Callable[[Run], None]] = {
    "exact": _exact,
    "speed": _speed,
    "isolation": _isolation,
    "survival": _survival,
    "table": _table,
}

if __name__ == "__main__":
    main()
