"""Circuits of LRE relations: what a tenth of the nodes keeps of the model's answers, beside random circuits.

    python -m bench.circuits --data FOLDER --size quick|full --seed N [--ablation zero|mean|resample] [--minutes N]

FOLDER (INTERLEAF_LRE names it too) has factual/*.json: relations with subjects, objects and prompt templates. Of each
relation, by its first template, a circuit is found with validation subjects whose object's first token is among the
model's ten best (a fourth of the usual number must be), and judged with other subjects, whatever the model answers.
hit10_*: share of test subjects whose object's first token is among the ten best of the model, of the circuit alone,
and of random circuits with as many heads and MLPs and no more edges; what is cut carries its stand-in by --ablation.
keeps: hit10_circuit / hit10_model; keeps_N_nodes: that of the circuits on the way there, which are larger, or were
not yet made better by exchanging nodes. HOW_*: the same
circuits judged under each ablation, with faithfulness and completeness of the log-probability of the whole object.
spearman_*: estimates against exact cuts of edges drawn at random. Relations and cuts are kept as they come
(bench/kept.py): a run that was ended goes on where it was, and edges_compared says how many there was time for.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from bench.circuits_agreement import agreement
from bench.circuits_data import Relation
from bench.circuits_data import relations as relations_of
from bench.common import Bench, share_keys
from bench.hallucination_data import data_argument
from bench.kept import Kept, Row, kept_arguments
from circuits.discovery import choosing, exchange, gates, judging, ledger, scoring, wiring
from circuits.discovery.choosing import Budget, discovery_cost, joined, narrowed
from circuits.discovery.circuit import Circuit, among
from circuits.discovery.graph import Graph
from circuits.discovery.judging import Judgement, behave, judge
from circuits.discovery.picture import picture
from circuits.discovery.scoring import stand_ins
from circuits.interventions import Ablation
from circuits.lab import Lab
from engines.models import load_model, model_digest, resolve_model


@dataclass(frozen=True, slots=True)
class _Size:
    relations: int
    cases: int  # of each half
    randoms: int
    others: int  # prompts of other relations that stand-ins are read off
    edges: int  # cut exactly
    cut_cases: int


_QUICK = _Size(relations=2, cases=6, randoms=3, others=6, edges=120, cut_cases=2)
_FULL = _Size(relations=12, cases=20, randoms=5, others=24, edges=2000, cut_cases=4)


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the benchmark; ends with 2 where there are no data, or no figures yet."""
    bench = Bench("circuits", description=__doc__ or "", argv=argv, add_arguments=_arguments)
    size = _FULL if bench.full else _QUICK
    path = resolve_model(bench.args.model)
    model, tokenizer = load_model(path, dtype=torch.float32)
    lab = Lab(model, tokenizer, rows=20)
    graph = Graph.of(lab.spec)
    chosen = Ablation(bench.args.ablation)
    budget = Budget(nodes=bench.args.nodes, edges=bench.args.edges, rounds=bench.args.rounds)
    by, decides = (judging, ledger, scoring, wiring), {"model": model_digest(model), "how": chosen.value}
    kept = Kept(bench, (choosing, exchange, gates, *by), size=size, budget=budget, **decides)
    # What the model knows and what cuts do is the same however circuits are chosen.
    plain = Kept(bench, by, size=size, **decides)
    with bench.stage("what the model knows"):
        relations = relations_of(bench, lab, graph, plain, count=size.relations, cases=size.cases)
    rows: list[Row] = []
    for relation in relations:
        texts = [case.prompt for other in relations if other is not relation for case in other.found_with]
        others = random.Random(f"{bench.seed} {relation.name}").sample(texts, min(size.others, len(texts)))
        row = kept.row(
            f"circuit {relation.name}",
            partial(_studied, bench, lab, graph, size, budget, relation, others),
        )
        if row is None:
            bench.log(f"time is up: {len(rows)} of {len(relations)} relations")
            break
        rows.append(row)
        bench.log(f"{relation.name}: {row}")
    if not rows:
        print(f"bench.{bench.name}: no circuit was found in this time", file=sys.stderr)
        raise SystemExit(2)
    keys: dict[str, Any] = {
        "ablation": chosen.value,
        "relations": len(rows),
        "nodes_share": statistics.fmean(row["nodes"] / graph.nodes for row in rows),
        "edges_share": statistics.fmean(row["edges"] / int(graph.possible.sum()) for row in rows),
        **_hits("hit10", [row[chosen.value] for row in rows], bench.seed),
    }
    keys["keeps"] = keys["hit10_circuit"] / keys["hit10_model"] if keys["hit10_model"] else None
    keys |= _sizes([row["sizes"] for row in rows], sum(row[chosen.value]["model"] for row in rows))
    for how in Ablation:
        keys |= _under(how, [row[how.value] for row in rows], bench.seed)
    with bench.stage(f"{size.edges} edges cut exactly"):
        compared = relations[0].found_with[: size.cut_cases]
        keys |= agreement(lab, graph, compared, chosen, size.edges, f"{bench.seed}", plain)
    keys["seconds_per_relation"] = statistics.fmean(row["seconds"] for row in rows)
    passes = discovery_cost(size.cases, budget)
    keys |= {"passes_forward": passes.forward, "passes_backward": passes.backward}
    keys["peak_gb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    bench.finish(
        keys,
        n=sum(row["tested"] for row in rows),
        model=path.name,
        rows=rows,
        configuration={
            "rounds": budget.rounds,
            "steps": budget.steps,
            "exchanges": budget.exchanges,
            "nodes": budget.nodes,
            "edges": budget.edges,
            "score": budget.method.value,
        },
    )


def _studied(
    bench: Bench,
    lab: Lab,
    graph: Graph,
    size: _Size,
    budget: Budget,
    relation: Relation,
    others: Sequence[Sequence[int]],
) -> Row:
    ways = {how: stand_ins(lab, graph, how, others) for how in Ablation}
    started = time.perf_counter()
    instead = ways[Ablation(bench.args.ablation)]
    rounds = list(narrowed(lab, graph, relation.found_with, instead, budget))
    circuit = joined(lab, graph, relation.found_with, instead, budget, rounds[-1])
    seconds = time.perf_counter() - started
    found = {
        how: judge(lab, circuit, relation.tested_with, instead, size.randoms, bench.seed)
        for how, instead in ways.items()
    }
    if bench.args.pictures:
        _draw(bench.args.pictures, relation, circuit)
    row = _row(relation, circuit, found, seconds)
    row["sizes"] = []
    for nodes in rounds[:-1]:
        behaviour = behave(lab, graph, relation.tested_with, instead, among(graph, nodes).float())
        hits, mean = sum(behaviour.hits()), round(behaviour.mean, 3)
        row["sizes"].append({"nodes": int(nodes.sum()), "circuit": hits, "log_probability": mean})
    return row


def _sizes(found: Sequence[Sequence[Row]], model: int) -> dict[str, float | None]:
    """Of the circuits that the rounds left, all of their edges there."""
    rounds = zip(*found, strict=True)
    return {
        f"keeps_{each[0]['nodes']}_nodes": sum(row["circuit"] for row in each) / model if model else None
        for each in rounds
    }


def _arguments(parser: argparse.ArgumentParser) -> None:
    data_argument(parser)
    parser.add_argument("--model", default="default", help="`default`, or a folder")
    parser.add_argument("--ablation", choices=[how.value for how in Ablation], default=Ablation.MEAN.value)
    parser.add_argument("--nodes", type=float, default=0.1, help="share of the graph's nodes")
    parser.add_argument("--edges", type=float, default=1.0, help="share of the graph's edges")
    parser.add_argument("--rounds", type=int, default=Budget().rounds)
    parser.add_argument("--pictures", type=Path, help="folder for a picture and the data of each circuit")
    kept_arguments(parser)


def _row(relation: Relation, circuit: Circuit, found: dict[Ablation, Judgement], seconds: float) -> Row:
    row: Row = {
        "relation": relation.name,
        "cases": len(relation.found_with),
        "tested": len(relation.tested_with),
        "tokens": sum(len(case.row) for case in relation.found_with),
        "nodes": circuit.node_count,
        "edges": circuit.edge_count,
        "mlps": sum(bool(circuit.nodes[circuit.graph.mlp(layer)]) for layer in range(circuit.graph.layers)),
        "seconds": round(seconds, 1),
    }
    for how, each in found.items():
        row[how.value] = {
            "model": sum(each.model.hits()),
            "circuit": sum(each.circuit.hits()),
            "circuit_whole": sum(each.circuit.whole_hits()),
            "rest": sum(each.rest.hits()),
            "random": [sum(one.hits()) for one in each.random],
            "of": len(relation.tested_with),
            "log_probability": [
                round(one.mean, 3) for one in (each.model, each.circuit, each.rest, each.nothing)
            ],
            "faithfulness": each.faithfulness,
            "completeness": each.completeness,
        }
    return row


def _hits(name: str, judged: Sequence[Row], seed: int) -> dict[str, float]:
    hits = {which: _each(judged, which) for which in ("model", "circuit", "random")}
    return {
        key: value
        for which, outcomes in hits.items()
        for key, value in share_keys(f"{name}_{which}", outcomes, seed=seed).items()
    }


def _each(judged: Sequence[Row], which: str) -> list[bool]:
    """Counts as outcomes, one for each question."""
    found: list[bool] = []
    for row in judged:
        for count in row[which] if which == "random" else [row[which]]:
            found += [True] * count + [False] * (row["of"] - count)
    return found


def _under(how: Ablation, judged: Sequence[Row], seed: int) -> dict[str, Any]:
    found: dict[str, Any] = dict(_hits(f"{how.value}_hit10", judged, seed))
    for name in ("faithfulness", "completeness"):
        values = [row[name] for row in judged if row[name] is not None]
        found[f"{how.value}_{name}"] = statistics.median(values) if values else None
    return found


def _draw(folder: Path, relation: Relation, circuit: Circuit) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    name = relation.name.replace(" ", "-")
    title = f"{relation.name}: {relation.template.replace('{}', '…')}"
    (folder / f"circuit-{name}.svg").write_text(picture(circuit, title), encoding="utf-8")
    (folder / f"circuit-{name}.json").write_text(json.dumps(circuit.as_json(), indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
