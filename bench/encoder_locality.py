"""What must not change: ordinary text with unrelated facts attached, and everything when nothing is stored."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.encoder_asking import Record
from bench.ordinary_text import PASSAGES
from bench.service_run import Ask, ScoreAsk, Service
from interleaf import Scores

ATTACHED = 16  # unrelated facts
_PROMPT_WORDS = 4
_PASSAGE_WORDS = 48
_ROUNDS = 2000


@dataclass(frozen=True, slots=True)
class Passage:
    """Text of which all but the first words is scored."""

    prompt: str
    rest: str

    @classmethod
    def cut(cls, text: str) -> Passage:
        """After the first words."""
        words = text.split()
        return cls(" ".join(words[:_PROMPT_WORDS]), " " + " ".join(words[_PROMPT_WORDS:]))


def passages(count: int, file: Path | None = None) -> list[Passage]:
    """The benchmark's own text, then that of a file, a paragraph's words at a time."""
    texts = list(PASSAGES)
    if file is not None:
        words = file.read_text(encoding="utf-8").split()
        texts += [
            " ".join(words[start : start + _PASSAGE_WORDS])
            for start in range(0, len(words) - _PASSAGE_WORDS, _PASSAGE_WORDS)
        ]
    return [Passage.cut(text) for text in texts[:count]]


async def measure_text(
    service: Service, record: Record, namespace: str, facts: Sequence[str], texts: Sequence[Passage]
) -> None:
    """`ppl_ratio_unrelated` with named facts attached to every passage, the hardest case: a name vouches for its
    subject; `ppl_ratio_retrieved` with whatever retrieval finds."""
    wanted = [ScoreAsk(namespace, text.prompt, (text.rest,), use_facts=False) for text in texts]
    plain = await service.score_all(wanted)
    named = await service.score_all(
        [ScoreAsk(namespace, text.prompt, (text.rest,), facts=tuple(facts)) for text in texts]
    )
    found = await service.score_all([ScoreAsk(namespace, text.prompt, (text.rest,)) for text in texts])
    record.keys |= ratio_keys("ppl_ratio_unrelated", _losses(named), _losses(plain))
    record.keys |= ratio_keys("ppl_ratio_retrieved", _losses(found), _losses(plain))
    record.keys["ppl_plain"] = math.exp(_mean(_losses(plain)))
    record.keys["ppl_tokens"] = sum(count for _, count in _losses(plain))


def ratio_keys(
    name: str, changed: Sequence[tuple[float, int]], plain: Sequence[tuple[float, int]]
) -> dict[str, float]:
    """The ratio of two perplexities over the same passages; the interval is over passages."""
    draw = np.random.default_rng(0)
    table = np.array([[loss, base, count] for (loss, count), (base, _) in zip(changed, plain, strict=True)])
    drawn = table[draw.integers(0, len(table), size=(_ROUNDS, len(table)))].sum(1)
    low, high = np.percentile(np.exp((drawn[:, 0] - drawn[:, 1]) / drawn[:, 2]), [2.5, 97.5])
    whole = table.sum(0)
    return {
        name: math.exp((whole[0] - whole[1]) / whole[2]),
        f"{name}_lo": float(low),
        f"{name}_hi": float(high),
    }


async def empty_scores(service: Service, texts: Sequence[Passage], *, use_facts: bool) -> list[list[float]]:
    """Every token's log-probability and, as far as they are the model's own, a greedy answer's length and text."""
    await service.space("empty").ensure_namespace("empty")
    scored = []
    for text in texts:  # one at a time: what is decoded beside it must play no part
        scores = await service.score(ScoreAsk("empty", text.prompt, (text.rest,), use_facts=use_facts))
        scored.append(list(scores.scores[0].token_log_probabilities))
    return scored


async def empty_answers(service: Service, texts: Sequence[Passage], *, use_facts: bool) -> list[str]:
    """Greedy continuations."""
    return [(await service.ask(Ask("empty", text.prompt, 16, use_facts=use_facts))).text for text in texts]


def _losses(scores: Sequence[Scores]) -> list[tuple[float, int]]:
    """Per passage the negative log-probability and the number of tokens."""
    return [
        (-score.scores[0].log_probability, len(score.scores[0].token_log_probabilities)) for score in scores
    ]


def _mean(losses: Sequence[tuple[float, int]]) -> float:
    return sum(loss for loss, _ in losses) / sum(count for _, count in losses)
