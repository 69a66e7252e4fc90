"""So many edits as facts in one namespace of a running service: S over them, and what ordinary text makes of them."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench.kept import Kept
from bench.ordinary_text import PASSAGES
from bench.service_run import ScoreAsk, Service, running
from editors.metrics.counterfact import EditCase
from interleaf import Scores
from kb_store.model import Content

POINTS = (1, 10, 100, 1000, 10_000)
_ASKED = 100  # edits that are asked for, of however many there are
_PASSAGES = 10
_KINDS = 3


@dataclass(frozen=True, slots=True)
class Served:
    """What the service runs; `digest` is the encoder's."""

    model: str
    digest: str
    encoder: str = "default"


def mass_facts(kept: Kept, served: Served, cases: Sequence[EditCase], points: Sequence[int]) -> None:
    """Rows for these numbers of facts."""
    missing = [point for point in points if row_name(served.digest, point) not in kept]
    if missing and not kept.time_is_up:
        asyncio.run(_measure(kept, served, cases, missing))


def row_name(digest: str, point: int) -> str:
    """Of a kept row."""
    return f"mass/kv/{digest}/{point}"


async def _measure(kept: Kept, served: Served, cases: Sequence[EditCase], points: Sequence[int]) -> None:
    async with running(model=served.model, encoder=served.encoder) as service:
        for point in points:
            if kept.time_is_up:
                return
            space = f"facts-{point}"
            # Some subjects have several objects among so many edits: all are live.
            contents = dict.fromkeys(_content(case) for case in cases[:point])
            await service.store(space, contents, contradictory=True)
            asked = await service.score_all(_asks(space, cases[: min(point, _ASKED)]))
            won = [_mean(scores, 0) > _mean(scores, 1) for scores in asked]
            table = [won[start : start + _KINDS] for start in range(0, len(won), _KINDS)]
            ratio = await _perplexity_ratio(service, space)
            kept.keep(row_name(served.digest, point), {"outcomes": table, "perplexity": ratio})


def _content(case: EditCase) -> Content:
    return Content(case.request.subject, case.request.relation, case.request.target)


def _asks(space: str, cases: Sequence[EditCase]) -> list[ScoreAsk]:
    """Behind each prompt the object that should win, then the other."""
    asks = []
    for case in cases:
        new, true = f" {case.request.target}", f" {case.true}"
        (paraphrase,), (neighbour,) = case.paraphrases, case.neighbours
        asks += [
            ScoreAsk(space, case.request.prompt, (new, true)),
            ScoreAsk(space, paraphrase, (new, true)),
            ScoreAsk(space, neighbour, (true, new)),
        ]
    return asks


def _mean(scores: Scores, place: int) -> float:
    score = scores.scores[place]
    return float(score.log_probability / len(score.tokens))


async def _perplexity_ratio(service: Service, space: str) -> float:
    """Of the rest of ordinary passages behind their first sentence, with facts over without."""
    halves = [passage.partition(". ") for passage in PASSAGES[:_PASSAGES]]
    gained, count = 0.0, 0
    for start, stop, rest in halves:
        prompt, following = start + stop.strip(), (f" {rest}",)
        both: list[Any] = await service.score_all(
            [ScoreAsk(space, prompt, following, use_facts=used) for used in (True, False)]
        )
        seen, plain = (each.scores[0] for each in both)
        gained += seen.log_probability - plain.log_probability
        count += len(plain.tokens)
    return math.exp(-gained / count)
