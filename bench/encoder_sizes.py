"""The same questions in knowledge bases of growing size: accuracy, and where the time goes.

A base smaller than the number of questions exists as often as it takes for every asked fact to be in one. Larger ones
have more relations as well as more facts, and each relation may be what a text asks for instead.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from bench.common import Bench
from bench.encoder_asking import Asking, Record, judge_present
from bench.encoder_questions import Case
from bench.encoder_world import InventedWorld
from bench.service_run import Service
from kb_store.model import Content

_NAMES = {10: "1e1", 100: "1e2", 1_000: "1e3", 10_000: "1e4", 100_000: "1e5", 1_000_000: "1e6"}


def size_name(size: int) -> str:
    """As it stands in keys: 1000 is 1e3."""
    return _NAMES.get(size, str(size))


async def measure_sizes(
    bench: Bench,
    service: Service,
    asking: Asking,
    record: Record,
    world: InventedWorld,
    cases: Sequence[Case],
    sizes: Sequence[int],
    timed: int,
) -> None:
    """`kb_SIZE` for every size (null where it is not measured), how many relations a base has, and medians of retrieval
    and of the first token, one question at a time."""
    medians = []
    record.keys |= {f"kb_{name}": None for name in _NAMES.values()}
    for size in sizes:
        name = size_name(size)
        with bench.stage(f"{size} facts"):
            stored = await _stored(service, world, cases, size)
            places = [(namespace, part) for namespace, part, _ in stored]
            right: list[Case] = []
            answers = []
            for namespace, part in places:
                right += part
                answers += await asking.answers(namespace, part)
        judge_present(record, f"kb_{name}", right, answers)
        record.keys[f"kb_{name}_relations"] = statistics.mean(relations for _, _, relations in stored)
        first, retrieval = await _timed(asking, places, timed)
        medians.append(first)
        record.keys |= {f"kb_{name}_first_ms": first * 1000, f"kb_{name}_retrieval_ms": retrieval * 1000}
    if medians:
        record.keys["kb_first_ratio"] = max(medians) / min(medians)


async def _stored(
    service: Service, world: InventedWorld, cases: Sequence[Case], size: int
) -> list[tuple[str, list[Case], int]]:
    """Namespaces of this size, each with the questions whose facts it holds, and with how many relations it has."""
    places = []
    for start in range(0, len(cases), size):
        part = list(cases[start : start + size])
        facts = {fact.content: None for case in part for fact in case.facts}
        namespace = f"size-{size}-{start // size}"
        filled = _filled(facts, world, size)
        await service.store(namespace, filled)
        places.append((namespace, part, len({content.relation for content in filled})))
    return places


def _filled(facts: dict[Content, None], world: InventedWorld, size: int) -> list[Content]:
    """These facts and as many others of the world as there is room for."""
    for fact in world.facts:
        if len(facts) >= size:
            break
        facts.setdefault(fact.content)
    return list(facts)


async def _timed(asking: Asking, places: Sequence[tuple[str, list[Case]]], count: int) -> tuple[float, float]:
    """Median seconds to the first token and of retrieval, unloaded; each is asked once before, so that its facts are
    compiled."""
    first, retrieval = [], []
    chosen = [(namespace, case) for namespace, part in places for case in part][:count]
    for namespace, case in chosen:
        await asking.answer_now(namespace, case)
        answer = await asking.answer_now(namespace, case)
        first.append(answer.timings.first_token)
        retrieval.append(answer.timings.retrieval)
    return statistics.median(first), statistics.median(retrieval)
