"""Tokens per second with facts as tokens, with the same facts as text, and with none; ratios within a repetition."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bench.common import sample_keys
from bench.text_facts import before
from bench.vllm_stand import Stand, greedy, passages
from engines.contract import GenerateRequest, InjectedFact
from engines.vllm.engine import VllmEngine

_WORDS = 12  # of a prompt


@dataclass(frozen=True)
class Run:
    """One batch, from the first request sent to the last answer."""

    repetition: int
    batch: int
    what: str
    tokens: int
    seconds: float

    @property
    def rate(self) -> float:
        """Tokens per second."""
        return self.tokens / self.seconds


@dataclass(frozen=True)
class Plan:
    """What is run."""

    batches: Sequence[int]
    tokens: Sequence[int]  # of facts, per request
    texts: Sequence[tuple[int, int]]  # batch and facts that are written before the prompt
    repetitions: int
    text_repetitions: int
    answer: int  # tokens


def measure(stand: Stand, engine: VllmEngine, plan: Plan, seed: int, log: Callable[[str], None]) -> list[Run]:
    """Every request has its own prompt and facts, and nothing is found in the cache of prefixes."""
    rng = random.Random(seed)
    held = stand.unrelated(stand.world)
    runs: list[Run] = []
    for repetition in range(-1, plan.repetitions):  # the first one warms up and is not counted
        for batch in plan.batches:
            prompts = passages(batch, rng, lambda: _WORDS)
            kinds: list[tuple[str, list[GenerateRequest]]] = []
            for tokens in plan.tokens:
                facts = [_of_size(held, tokens, rng) for _ in prompts]
                kinds.append(
                    (f"kv{tokens}", _requests(prompts, facts, plan.answer, f"{repetition}-{tokens}"))
                )
            for at, count in plan.texts:
                if at == batch and 0 <= repetition < plan.text_repetitions:
                    kinds += _both_ways(
                        stand, held, prompts, count, plan.answer, f"{repetition}-{count}", rng
                    )
            rng.shuffle(kinds)
            for what, requests in kinds:
                run = _timed(engine, repetition, batch, what, requests)
                log(f"{repetition}: batch {batch}, {what}: {run.rate:.0f} tokens/s")
                if repetition >= 0:
                    runs.append(run)
    return runs


def keys_of(runs: Sequence[Run]) -> dict[str, Any]:
    """Rates, and ratios to no facts and to text of the same batch and repetition."""
    rates = {(run.batch, run.what, run.repetition): run.rate for run in runs}
    keys: dict[str, Any] = {}
    for batch, what in sorted({(run.batch, run.what) for run in runs}):
        samples = [rate for (at, kind, _), rate in rates.items() if (at, kind) == (batch, what)]
        keys[f"rate_{what}_b{batch}"] = statistics.median(samples)
        if what.startswith("kv") and what != "kv0":
            size = what.removeprefix("kv")
            keys |= _ratio(f"ratio_none_{size}_b{batch}", rates, batch, what, "kv0")
    for batch, what in sorted({(run.batch, run.what) for run in runs if run.what.startswith("text")}):
        count = what.removeprefix("text")
        keys |= _ratio(f"ratio_text_{count}_b{batch}", rates, batch, f"facts{count}", what)
    return keys


def _ratio(name: str, rates: Any, batch: int, above: str, below: str) -> dict[str, float]:
    samples = [
        rate / rates[batch, below, repetition]
        for (at, what, repetition), rate in rates.items()
        if (at, what) == (batch, above) and (batch, below, repetition) in rates
    ]
    return sample_keys(name, samples, statistic=statistics.median) if samples else {}


def _requests(
    prompts: Sequence[str], facts: Sequence[Sequence[InjectedFact]], answer: int, scope: str
) -> list[GenerateRequest]:
    return [greedy(prompt, own, answer, scope) for prompt, own in zip(prompts, facts, strict=True)]


def _both_ways(
    stand: Stand,
    held: Sequence[InjectedFact],
    prompts: Sequence[str],
    count: int,
    answer: int,
    scope: str,
    rng: random.Random,
) -> list[tuple[str, list[GenerateRequest]]]:
    """The same facts as tokens and as sentences before the prompt."""
    chosen = [rng.sample(range(len(held)), count) for _ in prompts]
    injected = [[held[at] for at in own] for own in chosen]
    written = [
        before(prompt, [stand.world[at] for at in own]) for prompt, own in zip(prompts, chosen, strict=True)
    ]
    nothing: list[list[InjectedFact]] = [[] for _ in prompts]
    return [
        (f"facts{count}", _requests(prompts, injected, answer, f"{scope}-f")),
        (f"text{count}", _requests(written, nothing, answer, f"{scope}-t")),
    ]


def _of_size(facts: Sequence[InjectedFact], tokens: int, rng: random.Random) -> list[InjectedFact]:
    """Facts with so many tokens together, or just over."""
    chosen: list[InjectedFact] = []
    order = iter(rng.sample(list(facts), len(facts)))
    while sum(fact.tokens.count for fact in chosen) < tokens:
        chosen.append(next(order))
    return chosen


def _timed(
    engine: VllmEngine, repetition: int, batch: int, what: str, requests: Sequence[GenerateRequest]
) -> Run:
    began = time.perf_counter()
    answers = engine.generate(requests)
    seconds = time.perf_counter() - began
    return Run(repetition, batch, what, sum(len(answer.token_ids) for answer in answers), seconds)
