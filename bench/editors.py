"""Editors on CounterFact records: each record edited alone by every method, and many edits in one model.

    python -m bench.editors --data FILE --size quick|full --seed N [--edits N] [--minutes M] [--methods rrome,ftm,kv]

The file is as for bench.counterfact (INTERLEAF_COUNTERFACT names it too). All methods edit the first record, then the
second: what has been measured so far is always the same records for all (n; edits_M where a method has fewer). Rows are
kept as they come (bench/kept.py): a run that was ended, or had its minutes, is carried on by the same command.

es, ps, ns, s: as in ROME's evaluation, teacher-forced, by mean token log-likelihood; es_none ...: the unedited model.
reliability, generality, locality: teacher-forced, by tokens. free_M, free_paraphrase_M: the share of prompts behind
which the model freely says the new object; unchanged_M: of neighbours whose text is that of the unedited model;
fluency_M: entropy of what it goes on to say. seconds_M, cpu_seconds_M (of the
processor: what a busy machine does not change), peak_mb_M: means of computing one edit. facts_per_s_1, _16:
values found alone and sixteen together. seqN_M: S over the same N records after all were edited one on top of the
other, ppl_seqN_M: perplexity of ordinary text then over that of the unedited model; massN_memit, massN_kv: N at once.
undo_exact: after undo_tries tries, every second with an exception thrown inside the computation, every tensor had its
first digest. layer*: see bench/editors_layers.py. What nobody has measured yet is null.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from bench import editors_data, editors_many, editors_single
from bench.common import Bench
from bench.counterfact import ENVIRONMENT
from bench.counterfact_records import read_records
from bench.editors_cost import batched_values, cost_keys
from bench.editors_keys import many_keys, single_keys
from bench.editors_kv import POINTS as KV_POINTS
from bench.editors_kv import Served, mass_facts
from bench.editors_layers import by_layer, layer_keys, trajectories
from bench.editors_many import MASS_POINTS, SEQUENCE_POINTS, in_sequence, mass_edit
from bench.editors_ring import KV, RIVALS, Ring, facts_beside, settings_of
from bench.editors_single import PLAIN, single_rows
from bench.editors_undo import undo_keys, undo_tries
from bench.kept import Kept, kept_arguments
from editors.metrics.counterfact import EditCase
from editors.weights import finetune, memit, optimise, rome
from editors.weights.contract import Means
from editors.weights.model import EditableModel
from editors.weights.session import user_specs
from editors.weights.statistics import KeyStatistics
from engines.models import cache_dir, file_digest, load_model, resolve_model
from service.edits.tuning import key_text

_SEQUENCES = ("rome", "rrome", "ftm")
# What a kept row depends on besides its settings: older code makes older rows.
_MADE_BY = (editors_single, editors_many, editors_data, finetune, memit, optimise, rome)


@dataclass(frozen=True, slots=True)
class _Round:
    """All parts up to here, before any goes further: a run that is ended has something of everything."""

    edits: int
    sequence: int = 0
    mass: int = 0
    facts: int = 0
    layers: int = 0
    undo: int = 0
    repeats: int = 0


_QUICK = (_Round(edits=2, sequence=1, mass=1, layers=1, undo=4),)
_FULL = (
    _Round(edits=10),
    _Round(edits=30, sequence=10, mass=10, facts=10, layers=5, undo=20, repeats=1),
    _Round(edits=100, sequence=10, mass=100, facts=1000, layers=20, undo=100, repeats=2),
    _Round(edits=300, sequence=100, mass=1000, facts=10_000, layers=50, undo=100, repeats=3),
)


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the benchmark; ends with 2 where there are no data."""
    bench = Bench("editors", description=__doc__ or "", argv=argv, add_arguments=_arguments)
    cases = _cases(bench)
    path = resolve_model(bench.args.model)
    editable = EditableModel(*load_model(path, dtype=torch.float32))
    means = Means(KeyStatistics(key_text(), bench.args.key_tokens, cache_dir() / "keys"))
    settings = settings_of(bench, editable.digest, bench.args.methods, bench.args.specs)
    facts = facts_beside(bench, editable, path.name) if KV in bench.args.methods else (None, "")
    ring = Ring(editable, means, settings, *facts)
    kept = Kept(
        bench,
        _MADE_BY,
        model=editable.digest,
        data=file_digest(bench.args.data),
        key_tokens=bench.args.key_tokens,
    )
    rounds = _QUICK if not bench.full else _FULL
    if bench.args.edits:
        rounds = (_Round(edits=bench.args.edits),)
    for number, size in enumerate(rounds, 1):
        if not kept.time_is_up:
            with bench.stage(f"round {number} of {len(rounds)}: {size}"):
                _measure(bench, ring, kept, cases, size)
    _finish(bench, ring, kept, cases, rounds[-1], path.name)


def _measure(bench: Bench, ring: Ring, kept: Kept, cases: Sequence[EditCase], size: _Round) -> None:
    for number, case in enumerate(cases[: size.edits], 1):
        names = [name for name in ring.names if _single(ring, name, case) not in kept]
        if kept.time_is_up:
            return
        if names or _single(ring, PLAIN, case) not in kept:
            for name, row in single_rows(ring, case, names).items():
                kept.keep(_single(ring, name, case), row)
            bench.log(f"record {number} of {size.edits}: {', '.join(names)}")
    for name in _SEQUENCES:
        if name in ring.settings and size.sequence:
            points = [point for point in SEQUENCE_POINTS if point <= size.sequence]
            with bench.stage(f"{name}: {points} edits one after the other"):
                in_sequence(ring, kept, name, cases, points)
    if "memit" in ring.settings and size.mass:
        with bench.stage(f"memit: up to {size.mass} edits at once"):
            mass_edit(ring, kept, cases, [point for point in MASS_POINTS if point <= size.mass])
    with bench.stage(f"rome against ft_m by layer: {size.layers} facts"):
        by_layer(ring, kept, cases[: size.layers])
    with bench.stage(f"undo: {size.undo} tries"):
        undo_tries(ring, kept, cases, size.undo)
    with bench.stage(f"values together: {size.repeats} repeats"):
        batched_values(ring, kept, cases, size.repeats)
    if ring.facts and size.facts:
        with bench.stage(f"facts: up to {size.facts} in a service"):
            points = [point for point in KV_POINTS if point <= size.facts]
            mass_facts(kept, Served(bench.args.model, ring.facts_digest), cases, points)


def _finish(
    bench: Bench, ring: Ring, kept: Kept, cases: Sequence[EditCase], size: _Round, model: str
) -> None:
    """From what was kept, of this run and of earlier ones."""
    chosen = cases[: size.edits]
    rows = {
        name: [row for case in chosen if (row := kept.get(_single(ring, name, case)))]
        for name in (*RIVALS, PLAIN)
    }
    layers, studied = layer_keys(ring, kept, cases[: size.layers])
    keys = {
        **single_keys(rows),
        **many_keys(ring, kept, _SEQUENCES),
        **cost_keys(ring, kept, size.repeats),
        **undo_keys(kept, size.undo),
        **layers,
    }
    pictures: Path | None = bench.args.pictures
    if pictures is not None and studied:
        pictures.mkdir(parents=True, exist_ok=True)
        for layer in studied[0]["rrome"]:
            (pictures / f"layer-{layer}.svg").write_text(trajectories(studied, layer), encoding="utf-8")
    counts = {len(rows[name]) for name in ring.names}
    keys["records_wanted"] = size.edits
    keys |= {f"edits_{name}": len(rows[name]) for name in ring.names}
    bench.finish(
        keys,
        n=min(counts, default=0),
        model=model,
        rows=[{"method": name, **row} for name, mine in rows.items() for row in mine] + studied,
        configuration={
            "data": bench.args.data.name,
            "settings": {name: dict(ring.settings[name]) for name in ring.settings},
            "encoder": ring.facts_digest,
        },
    )


def _single(ring: Ring, name: str, case: EditCase) -> str:
    return f"{ring.row('single', name)}/{case.request.prompt}|{case.request.target}"


def _arguments(parser: argparse.ArgumentParser) -> None:
    given = os.environ.get(ENVIRONMENT)
    parser.add_argument("--model", default="default", help="`default`, or a folder")
    parser.add_argument("--data", type=Path, default=Path(given) if given else None, help="the records")
    parser.add_argument("--edits", type=int, help="so many single edits, and nothing else")
    parser.add_argument("--methods", type=_methods, default=list(RIVALS), help="some of them, with commas")
    parser.add_argument("--specs", type=Path, default=user_specs(), help="folder of measured settings")
    parser.add_argument("--key-tokens", type=int, default=50_000, help="of text, for key statistics")
    parser.add_argument(
        "--pictures", type=Path, help="folder for ranks by layer, a chart for each edited one"
    )
    kept_arguments(parser)


def _methods(text: str) -> list[str]:
    names = text.split(",")
    if not set(names) <= set(RIVALS):
        raise argparse.ArgumentTypeError(f"{text!r}: there are {', '.join(RIVALS)}")
    return names


def _cases(bench: Bench) -> list[EditCase]:
    """All records, in an order that the seed alone decides: more of them begin with the same."""
    path: Path | None = bench.args.data
    if path is None or not path.is_file():
        print(f"bench.editors: give the CounterFact records with --data or {ENVIRONMENT}", file=sys.stderr)
        raise SystemExit(2)
    records = read_records(path)
    return editors_data.edit_cases(bench.random.sample(records, len(records)))


if __name__ == "__main__":
    main()
