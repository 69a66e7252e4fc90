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
_Kind = tuple[str, list[GenerateRequest]]


@dataclass(frozen=True)
class Plan:
    """What is run. `tokens`: of facts, per request. `texts`: batch and facts that are written before the prompt."""

    batches: Sequence[int]
    tokens: Sequence[int]
    texts: Sequence[tuple[int, int]]
    repetitions: int
    text_repetitions: int
    answer: int  # tokens


class Speed:
    """Every request has its own prompt and facts, and nothing is found in the cache of prefixes.

    A piece is one repetition of one batch: all that it is compared with runs right before or after it.
    """

    def __init__(
        self,
        stand: Stand,
        engine: Callable[[], VllmEngine],
        plan: Plan,
        seed: int,
        log: Callable[[str], None],
    ) -> None:
        self._stand, self._engine, self._plan = stand, engine, plan
        self._seed, self._log = seed, log
        self._held: list[InjectedFact] = []

    @property
    def pieces(self) -> list[str]:
        """Facts against none first: text takes its time."""
        plan = self._plan
        names = [f"{repetition}-{batch}" for repetition in range(plan.repetitions) for batch in plan.batches]
        for repetition in range(plan.text_repetitions):
            names += [f"{repetition}-{batch}-{count}" for batch, count in plan.texts]
        return names

    def piece(self, name: str) -> dict[str, Any]:
        """`name`: repetition and batch, and facts where they are compared with text."""
        repetition, batch, *count = (int(part) for part in name.split("-"))
        if not self._held:
            self._held = self._stand.unrelated(self._stand.world)
            for size in self._plan.batches:  # an engine's first steps are slower, and facts are sent once
                self._run(-1, size, self._kinds(-1, size))
        kinds = self._both_ways(repetition, batch, count[0]) if count else self._kinds(repetition, batch)
        return {"batch": batch, "rates": self._run(repetition, batch, kinds)}

    def _run(self, repetition: int, batch: int, kinds: Sequence[_Kind]) -> dict[str, float]:
        engine, rates = self._engine(), {}
        for what, requests in kinds:
            began = time.perf_counter()
            answers = engine.generate(requests)
            seconds = time.perf_counter() - began
            rates[what] = sum(len(answer.token_ids) for answer in answers) / seconds
            self._log(f"{repetition}: batch {batch}, {what}: {rates[what]:.1f} tokens/s")
        return rates

    def _kinds(self, repetition: int, batch: int) -> list[_Kind]:
        """In random order."""
        plan, rng = self._plan, random.Random(f"{self._seed}/{repetition}/{batch}")
        prompts = passages(batch, rng, lambda: _WORDS)
        kinds: list[_Kind] = []
        for tokens in plan.tokens:
            facts = [self._of_size(tokens, rng) for _ in prompts]
            kinds.append((f"kv{tokens}", _requests(prompts, facts, plan.answer, f"{repetition}-{tokens}")))
        rng.shuffle(kinds)
        return kinds

    def _both_ways(self, repetition: int, batch: int, count: int) -> list[_Kind]:
        """The same facts as tokens and as sentences before the prompt."""
        rng = random.Random(f"{self._seed}/{repetition}/{batch}/{count}")
        prompts, scope = passages(batch, rng, lambda: _WORDS), f"{repetition}-{count}"
        chosen = [rng.sample(range(len(self._held)), count) for _ in prompts]
        injected = [[self._held[at] for at in own] for own in chosen]
        written = [
            before(prompt, [self._stand.world[at] for at in own])
            for prompt, own in zip(prompts, chosen, strict=True)
        ]
        nothing: list[list[InjectedFact]] = [[] for _ in prompts]
        kinds = [
            (f"facts{count}", _requests(prompts, injected, self._plan.answer, f"{scope}-f")),
            (f"text{count}", _requests(written, nothing, self._plan.answer, f"{scope}-t")),
        ]
        rng.shuffle(kinds)
        return kinds

    def _of_size(self, tokens: int, rng: random.Random) -> list[InjectedFact]:
        """Facts with so many tokens together, or just over."""
        chosen: list[InjectedFact] = []
        order = iter(rng.sample(self._held, len(self._held)))
        while sum(fact.tokens.count for fact in chosen) < tokens:
            chosen.append(next(order))
        return chosen


def keys_of(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Rates, and ratios to no facts and to text of the same batch and repetition."""
    keys: dict[str, Any] = {}
    for batch in sorted({row["batch"] for row in rows}):
        taken = [row["rates"] for row in rows if row["batch"] == batch]
        for what in sorted({name for rates in taken for name in rates}):
            samples = [rates[what] for rates in taken if what in rates]
            keys[f"rate_{what}_b{batch}"] = statistics.median(samples)
            if what.startswith("kv") and what != "kv0":
                keys |= _ratio(f"ratio_none_{what.removeprefix('kv')}_b{batch}", taken, what, "kv0")
            elif what.startswith("text"):
                count = what.removeprefix("text")
                keys |= _ratio(f"ratio_text_{count}_b{batch}", taken, f"facts{count}", what)
            if what == "kv0":
                keys[f"repetitions_b{batch}"] = len(samples)
    return keys


def _ratio(name: str, taken: Sequence[dict[str, float]], above: str, below: str) -> dict[str, float]:
    samples = [rates[above] / rates[below] for rates in taken if above in rates and below in rates]
    return sample_keys(name, samples, statistic=statistics.median) if samples else {}


def _requests(
    prompts: Sequence[str], facts: Sequence[Sequence[InjectedFact]], answer: int, scope: str
) -> list[GenerateRequest]:
    return [greedy(prompt, own, answer, scope) for prompt, own in zip(prompts, facts, strict=True)]
