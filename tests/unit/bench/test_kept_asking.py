"""Answers of a long run are asked once, and read back as what they were."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bench.common import Bench
from bench.kept import Kept
from bench.kept_asking import KeptAnswers, product_digest
from interleaf import Answer, Citation, FinishReason, Grounding, Timings, ValueCheck

ANSWER = Answer(
    text="Sør-Østlandet\n",
    finish_reason=FinishReason.STOP,
    citations=(
        Citation("f", "u", 3, "Ana", "home", "Sør-Østlandet", 0.75, 0.5, ValueCheck.EXACT, {12: 0.75}),
    ),
    grounding=Grounding.GROUNDED,
    prompt_tokens=4,
    generated_tokens=5,
    injected_tokens=6,
    timings=Timings(0.1, 0.2, 0.3, 0.4, 0.5),
    namespace_revision=7,
    model="m",
    encoder="e",
)


def kept(**decides: object) -> KeptAnswers:
    return KeptAnswers(Kept(Bench("kept_asking", argv=[]), (), **decides))


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("bench.kept.cache_dir", lambda: tmp_path)


def test_a_later_run_reads_the_very_answer_and_asks_nothing() -> None:
    asked: list[str] = []

    async def ask() -> Answer:
        asked.append("Where is Ana at home?")
        return ANSWER

    first = asyncio.run(kept()("Where is Ana at home?", ask))
    again = asyncio.run(kept()("Where is Ana at home?", ask))
    assert first == again == ANSWER
    assert again.citations[0].layer_attention == {12: 0.75}
    assert len(asked) == 1


def test_another_question_or_another_product_is_asked_anew() -> None:
    asked = 0

    async def ask() -> Answer:
        nonlocal asked
        asked += 1
        return ANSWER

    asyncio.run(kept(product="a")("Where?", ask))
    asyncio.run(kept(product="a")("Who?", ask))
    asyncio.run(kept(product="b")("Where?", ask))
    assert asked == 3


def test_the_product_is_also_the_encoder_that_is_asked(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{}", encoding="utf-8")
    shipped, own = product_digest("default"), product_digest(str(tmp_path))
    (tmp_path / "manifest.json").write_text("{ }", encoding="utf-8")
    assert len({shipped, own, product_digest(str(tmp_path))}) == 3
    assert shipped == product_digest("default")
