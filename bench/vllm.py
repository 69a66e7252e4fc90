"""The vLLM engine: exactness, throughput, isolation, survival.

    python -m bench.vllm --size quick|full --seed N [--parts exact,speed,isolation,survival]

exact_*: answers with the same tokens as the transformers engine's, in batches, one joining the other, from the cache
of prefixes, read in chunks and preempted. rate_*: tokens per second of vLLM's engine; ratio_none_T_bB: T tokens of
facts against none in a batch of B; ratio_text_F_bB: F facts as tokens against the same as text in the prompt; ratios
within a repetition, median. canaries: answers with another tenant's word. orphans: processes left after kill -9.
"""

from __future__ import annotations

import argparse
import random
import statistics
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench import vllm_exactness as exactness
from bench import vllm_speed as speed
from bench import vllm_trials as trials
from bench.common import Bench
from bench.service_run import model_arguments
from bench.vllm_stand import Stand, stand
from engines.vllm.engine import VllmEngine

_PARTS = ("exact", "speed", "isolation", "survival")
_FACTS = 150  # of the invented world
_QUICK = speed.Plan((8, 32), (0, 8, 64), ((32, 64),), 3, 1, 24)
_FULL = speed.Plan((1, 8, 32), (0, 8, 64, 512), ((1, 64), (8, 8), (32, 8), (32, 64)), 5, 3, 48)


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the benchmark."""
    bench = Bench("vllm", description=__doc__ or "", argv=argv, add_arguments=_arguments)
    keys: dict[str, Any] = {}
    rows: list[dict[str, Any]] = []
    arguments = bench.args
    with stand(arguments.model, arguments.encoder, _FACTS, bench.seed, arguments.threads) as made:
        with bench.stage("starting vLLM"):
            engine = _start(made, arguments)
        try:
            _measure(bench, made, engine, keys, rows)
        finally:
            engine.close()
        if "exact" in arguments.parts:
            _tight(bench, made, keys, rows)
        name = f"{made.reference.model_name}, encoder {made.encoder.digest}"
    bench.finish(
        keys,
        n=keys.get("exact_requests", len(rows)),
        model=name,
        rows=rows,
        configuration={"parts": arguments.parts, "threads": arguments.threads, "compile": arguments.compile},
    )


def _arguments(parser: argparse.ArgumentParser) -> None:
    model_arguments(parser)
    parser.add_argument("--parts", type=lambda text: text.split(","), default=list(_PARTS), help="some only")
    parser.add_argument("--threads", type=int, help="of each engine")
    parser.add_argument("--compile", action="store_true", help="let vLLM compile the model")
    parser.add_argument("--python", type=Path, help="interpreter of the environment that has vLLM")


def _start(made: Stand, arguments: argparse.Namespace, **settings: Any) -> VllmEngine:
    return made.start(
        python=arguments.python, threads=arguments.threads, eager=not arguments.compile, **settings
    )


def _measure(
    bench: Bench, made: Stand, engine: VllmEngine, keys: dict[str, Any], rows: list[dict[str, Any]]
) -> None:
    parts = bench.args.parts
    if "exact" in parts:
        with bench.stage("exactness"):
            requests = exactness.mixed(made, 128 if bench.full else 64, random.Random(bench.seed), 12)
            wanted = made.reference.generate(requests)
            compared = exactness.compare("together", engine, requests, wanted)
            compared += exactness.compare("from the cache of prefixes", engine, requests, wanted)
            few = len(requests) if bench.full else 16
            compared += exactness.compare_joining(engine, requests[:few], wanted[:few])
            _exact_keys(keys, rows, compared)
    if "speed" in parts:
        with bench.stage("throughput"):
            plan = _FULL if bench.full else _QUICK
            runs = speed.measure(made, engine, plan, bench.seed, bench.log)
            keys |= speed.keys_of(runs)
            rows += [{"part": "speed", **asdict(run)} for run in runs]
    if "isolation" in parts:
        with bench.stage("isolation"):
            found = trials.isolation(made, engine, 500 if bench.full else 20, bench.seed)
            keys |= {"tenant_generations": found.generations, "canaries": found.canaries}
            keys |= {"tenant_unlike_alone": found.unlike, "tenant_own_word": found.own / found.generations}
    if "survival" in parts:
        with bench.stage("survival"):
            requests = exactness.mixed(made, 8, random.Random(bench.seed + 1), 8)
            wanted = made.reference.generate(requests)
            kills, hostile = (5, 200) if bench.full else (1, 40)
            survived = trials.survival(engine, requests, wanted, hostile, kills, bench.seed, bench.log)
            keys |= {"hostile_requests": survived.hostile, "engines_restarted": survived.restarts}
            keys |= {"restart_seconds": statistics.median(survived.seconds)}
            keys |= {"wrong_after": survived.wrong, "orphans": survived.orphans}


def _tight(bench: Bench, made: Stand, keys: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    """Another engine, which must read in chunks and preempt."""
    with bench.stage("exactness in chunks, with preemption"):
        requests = exactness.mixed(made, 32 if bench.full else 12, random.Random(bench.seed + 2), 32)
        wanted = made.reference.generate(requests)
        engine = _start(made, bench.args, max_context=512, options=exactness.TIGHT)
        try:
            _exact_keys(keys, rows, exactness.compare("chunks", engine, requests, wanted))
        finally:
            engine.close()


def _exact_keys(
    keys: dict[str, Any], rows: list[dict[str, Any]], compared: Sequence[exactness.Compared]
) -> None:
    keys["exact_requests"] = keys.get("exact_requests", 0) + len(compared)
    keys["exact_equal"] = keys.get("exact_equal", 0) + sum(item.equal for item in compared)
    furthest = max(item.max_dlogprob for item in compared)
    keys["max_dlogprob"] = max(keys.get("max_dlogprob", 0.0), furthest)
    rows += [{"part": "exact", **asdict(item)} for item in compared]


if __name__ == "__main__":
    main()
