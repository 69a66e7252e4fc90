"""CounterFact with all edits live at once, as facts in one namespace.

    python -m bench.counterfact --data FILE --size quick|full --seed N [--edits N] [--edits-weight N] [--minutes M]

The file is a JSON list of records with prompt, subject, target_new, ground_truth, rephrase_prompt, locality_prompt
and locality_ground_truth; INTERLEAF_COUNTERFACT names it too. A continuation's probability is the mean
log-probability of its tokens. es: target_new beats ground_truth after the prompt; ps: after the paraphrase; ns:
locality_ground_truth beats target_new after the neighbour's prompt; s: their harmonic mean. *_unedited: without
facts. *_icl: the facts that were injected, as text before the prompt instead; with --rag also *_rag: all that
retrieval found, whether or not they speak of the prompt's subject. s_bound: 3 / (2 + 1 / ns_unedited).
es_possible: the same without edits that another live edit contradicts. s_ftm, s_rrome: these editors with
edits_weight edits at once, scored on those. A full run keeps what it has scored (bench/kept.py): the same
command goes on where it was ended, and --minutes tells of the records that there are; all edits are live all the time.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import hashlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bench import counterfact_records, counterfact_relations, text_facts
from bench.common import Bench, share_keys
from bench.counterfact_editors import EDITORS, edited_weights
from bench.counterfact_records import (
    KINDS,
    Record,
    contradicted,
    read_records,
    relations,
    score_keys,
)
from bench.kept import Kept, kept_arguments
from bench.kept_asking import product_digest
from bench.service_run import ScoreAsk, Service, concurrently, model_arguments, running
from bench.text_facts import Spoken, before
from interleaf import Citation, ContinuationScore, Fact, Scores

ENVIRONMENT = "INTERLEAF_COUNTERFACT"
_NAMESPACE = "counterfact"
_QUICK = 150
_WEIGHT_QUICK, _WEIGHT_FULL = 3, 100
_CHUNK = 250  # records between two lines of progress
Table = list[list[bool]]


@dataclass(slots=True)
class Scored:
    """What was found of the records so far, in their order."""

    tables: dict[str, Table] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    injected: list[bool] = field(default_factory=list)

    def add(self, chunk: dict[str, Any]) -> None:
        """Some more."""
        for suffix, table in chunk["tables"].items():
            self.tables.setdefault(suffix, []).extend(table)
        self.rows += chunk["rows"]
        self.injected += chunk["injected"]

    def keys(self, records: Sequence[Record]) -> dict[str, Any]:
        """The figures; `records`: all that are live."""
        keys: dict[str, Any] = {"edits": len(records), "scored": len(self.rows)}
        for suffix, table in self.tables.items():
            keys |= score_keys(suffix, table)
        keys["s_bound"] = 3 / (2 + 1 / keys["ns_unedited"]) if keys["ns_unedited"] else 0.0
        keys["s_of_bound"] = keys["s"] / keys["s_bound"] if keys["s_bound"] else 0.0
        keys["ns_change"] = keys["ns"] - keys["ns_unedited"]
        keys |= share_keys("injected", self.injected)
        impossible = contradicted(records)
        keys["contradicted"] = len(impossible)
        of_these = zip(self.tables[""], records, strict=False)
        possible = [row[0] for row, record in of_these if record.case not in impossible]
        if possible:
            keys |= share_keys("es_possible", possible)
        return keys


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the benchmark; ends with 2 where there are no data."""
    bench = Bench("counterfact", description=__doc__ or "", argv=argv, add_arguments=_arguments)
    records = _records(bench)
    found, model = asyncio.run(_measure(bench, records))
    bench.finish(
        found.keys(records) | _weights(bench, records[: len(found.rows)]),
        n=len(found.rows) * len(KINDS),
        model=model,
        rows=_failures_first(found.rows),
        configuration={"data": bench.args.data.name, "relations": relations(records)},
    )


def _arguments(parser: argparse.ArgumentParser) -> None:
    model_arguments(parser)
    kept_arguments(parser)
    given = os.environ.get(ENVIRONMENT)
    parser.add_argument("--data", type=Path, default=Path(given) if given else None, help="the records")
    parser.add_argument("--edits", "--n", type=int, help="edits instead of the usual number")
    parser.add_argument("--edits-weight", type=int, help="edits given to the editors of weights; 0: none")
    parser.add_argument("--rag", action="store_true", help="also: everything retrieved as text")
    parser.add_argument("--specs", type=Path, help="folder of measured settings of the editors of weights")


def _records(bench: Bench) -> list[Record]:
    path: Path | None = bench.args.data
    if path is None or not path.is_file():
        where = f"{path} is not a file" if path else "no file is named"
        sys.exit(_refuse(f"{where}: give the CounterFact records with --data or {ENVIRONMENT}"))
    try:
        records = read_records(path)
    except ValueError as error:
        sys.exit(_refuse(str(error)))
    count = bench.args.edits or (len(records) if bench.full else _QUICK)
    return bench.random.sample(
        records, min(count, len(records))
    )  # drawn: of a run that was ended any part will do


def _refuse(message: str) -> int:
    print(f"bench.counterfact: {message}", file=sys.stderr)
    return 2


async def _measure(bench: Bench, records: Sequence[Record]) -> tuple[Scored, str]:
    """The service's figures, those of the plain model, and those of the same facts as text."""
    kept = _kept(bench, records)
    found = Scored()
    async with running(model=bench.args.model, encoder=bench.args.encoder) as service:
        with bench.stage(f"storing {len(records)} edits"):
            # Some subjects have several twin cities: all edits live, contradictory ones too.
            contents = list(dict.fromkeys(record.content for record in records))
            await service.store(_NAMESPACE, contents, contradictory=True)
        for start in range(0, len(records), _CHUNK):
            part = records[start : start + _CHUNK]
            name = f"{start}"
            row = kept.get(name)
            if row is None:
                if kept.time_is_up:
                    break
                with bench.stage(f"edits {start + 1} to {start + len(part)} of {len(records)}"):
                    row = await _chunk(service, part, rag=bench.args.rag)
                    if bench.full:
                        kept.keep(name, row)
            found.add(row)
        answer = await service.space(_NAMESPACE).ask("The end", complete=True, max_tokens=1)
    return found, f"{answer.model}, encoder {answer.encoder}"


def _kept(bench: Bench, records: Sequence[Record]) -> Kept:
    """Of one run: the whole product decides about an answer, and all edits that are live."""
    cases = hashlib.sha256(repr([(record.case, record.content) for record in records]).encode()).hexdigest()
    arguments = bench.args
    return Kept(
        bench,
        (sys.modules[__name__], counterfact_records, counterfact_relations, text_facts),
        model=arguments.model,
        product=product_digest(arguments.encoder),
        records=cases,
        rag=arguments.rag,
    )


async def _chunk(service: Service, part: Sequence[Record], *, rag: bool) -> dict[str, Any]:
    """All conditions for some records."""
    edited = await service.score_all(_asks(part, use_facts=True))
    plain = await service.score_all(_asks(part, use_facts=False))
    injected = [item.citations for item in edited]
    scores = {"": edited, "_unedited": plain, "_icl": await _with_text(service, part, injected, plain)}
    if rag:
        text = await concurrently(functools.partial(_retrieved, service), _prompts(part))
        scores["_rag"] = await _with_text(service, part, text, plain)
    holds = [_holds(item.citations, r) for r, item in zip(part, edited[:: len(KINDS)], strict=True)]
    return {
        "tables": {suffix: _outcomes(found) for suffix, found in scores.items()},
        "rows": _rows(part, edited),
        "injected": holds,
    }


def _asks(records: Sequence[Record], *, use_facts: bool) -> list[ScoreAsk]:
    """Both continuations of the three prompts of every record, in that order."""
    asks = []
    for record in records:
        for prompt, kind in zip(record.prompts, KINDS, strict=True):
            first, second = record.pair(kind)
            asks.append(ScoreAsk(_NAMESPACE, prompt, (f" {first}", f" {second}"), use_facts=use_facts))
    return asks


async def _with_text(
    service: Service, records: Sequence[Record], facts: Sequence[Sequence[Spoken]], plain: Sequence[Scores]
) -> list[Scores]:
    """The plain model, with facts for each prompt as text before it; where there are none it has answered already."""
    places = [place for place, held in enumerate(facts) if held]
    asks = _asks(records, use_facts=False)
    scored = await service.score_all(
        [replace(asks[place], prompt=before(asks[place].prompt, facts[place])) for place in places]
    )
    return list((dict(enumerate(plain)) | dict(zip(places, scored, strict=True))).values())


def _prompts(records: Sequence[Record]) -> list[str]:
    return [prompt for record in records for prompt in record.prompts]


async def _retrieved(service: Service, prompt: str) -> list[Fact]:
    """As many facts as a question sees by default, the best first."""
    return [hit.fact for hit in await service.space(_NAMESPACE).search(prompt)]


def _outcomes(scores: Sequence[Scores]) -> Table:
    """One row of es, ps, ns for each record."""
    won = [_mean(item.scores[0]) > _mean(item.scores[1]) for item in scores]
    return [won[start : start + len(KINDS)] for start in range(0, len(won), len(KINDS))]


def _mean(score: ContinuationScore) -> float:
    return score.log_probability / len(score.tokens)


def _holds(citations: Sequence[Citation], record: Record) -> bool:
    content = record.content
    return any((c.subject, c.object) == (content.subject, content.object) for c in citations)


def _rows(records: Sequence[Record], edited: Sequence[Scores]) -> list[dict[str, Any]]:
    rows = []
    for number, record in enumerate(records):
        own = edited[number * len(KINDS) : (number + 1) * len(KINDS)]
        outcomes = dict(zip(KINDS, _outcomes(own)[0], strict=True))
        rows.append(
            {
                "case": record.case,
                "relation": record.content.relation,
                **outcomes,
                "injected": [len(item.citations) for item in own],
            }
        )
    return rows


def _failures_first(rows: list[dict[str, Any]], kept: int = 500) -> list[dict[str, Any]]:
    """Records by number only, those that failed first; the file itself stays where it is."""
    return sorted(rows, key=lambda row: bool(row["es"]) + bool(row["ps"]))[:kept]


def _weights(bench: Bench, records: Sequence[Record]) -> dict[str, Any]:
    """The editors of weights on the first records; null for one whose settings were not measured on the model."""
    wanted = bench.args.edits_weight
    count = min(len(records), (_WEIGHT_FULL if bench.full else _WEIGHT_QUICK) if wanted is None else wanted)
    keys: dict[str, Any] = {"edits_weight": count}
    for suffix in EDITORS:
        table = None
        if count:
            with bench.stage(f"{suffix} with {count} edits"):
                table = edited_weights(suffix, bench.args.model, records[:count], bench.args.specs)
        keys |= {f"s_{suffix}": None} if table is None else score_keys(f"_{suffix}", table)
    return keys


if __name__ == "__main__":
    main()
