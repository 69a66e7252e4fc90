"""Tiny models in folders that vLLM can load, and the requests that both engines answer."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engines.contract import GenerateRequest, Generation, InjectedFact, Sampling
from engines.transformers_engine import TransformersEngine
from engines.vllm.engine import VllmEngine, VllmSettings, host_words
from tests.unit.engines.tiny_models import RandomAdapter, byte_tokenizer, tiny_model

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv-vllm" / "bin" / "python"
TOLERANCE = 1e-4
CONTEXT = 512

# vLLM's attention on CPUs takes heads of 32 numbers and more.
_SHAPES: dict[str, dict[str, Any]] = {
    "llama": {"hidden_size": 64, "head_dim": 32, "attention_bias": False},
    "gpt_neox": {"hidden_size": 128},
}
TIE = 1e-5  # of log-probabilities of different tokens
_WORDS = "river tower market yellow seven winter bridge old queen paper".split()


@dataclass(frozen=True)
class Pair:
    """The same model twice."""

    vllm: VllmEngine
    reference: TransformersEngine
    adapter: RandomAdapter

    def close(self) -> None:
        self.vllm.close()
        self.reference.close()


def start(folder: Path, kind: str = "llama", *, host: Sequence[str] = (), **settings: Any) -> Pair:
    """Both engines of a tiny model. `host`: the words that start vLLM's process."""
    model = tiny_model(kind, max_position_embeddings=CONTEXT, **_SHAPES[kind])
    tokenizer = byte_tokenizer()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    adapter = RandomAdapter.of(model)
    options = {"block_size": 32, **settings.pop("options", {})}
    chosen = {"cache_bytes": 2**26, "fact_tokens": 4096, "max_batch": 16, **settings}
    words = tuple(host) or host_words(str(PYTHON))
    engine = VllmEngine(
        folder, model, tokenizer, adapter, VllmSettings(words, options=options, **chosen), name=kind
    )
    try:
        engine.wait_ready()
    except BaseException:
        engine.close()
        raise
    return Pair(engine, TransformersEngine(model, tokenizer, adapter, name=kind), adapter)


def text(rng: random.Random, words: int) -> str:
    return " ".join(rng.choices(_WORDS, k=words))


def mixed_requests(adapter: RandomAdapter, count: int, seed: int = 0) -> list[GenerateRequest]:
    """Prompts of 1 to 300 tokens; facts with 0 to 40 tokens together; some facts are said by the answer."""
    rng = random.Random(seed)
    shared = text(rng, 25)
    requests = []
    for number in range(count):
        facts: list[InjectedFact] = []
        wanted = rng.choice((0, 1, 3, 8, 20, 40))
        while wanted > 0:
            size = min(wanted, rng.randint(1, 6))
            facts.append(adapter.fact(f"{seed}-{number}-{len(facts)}", size, bias=rng.uniform(-2, 2)))
            wanted -= size
        prompt = text(rng, rng.choice((1, 2, 6, 40)))
        if number % 3 == 0:  # the same long beginning: the prefix cache finds it
            prompt = f"{shared} {prompt}"
        requests.append(GenerateRequest(prompt, tuple(facts), Sampling(max_tokens=rng.choice((1, 4, 12)))))
    return requests


def check_equal(got: Generation, wanted: Generation) -> None:
    """Same tokens, same probabilities, same attention, same text; up to where two tokens are equally likely."""
    if got.token_ids != wanted.token_ids and _is_tie(got, wanted):
        return  # from there on they are different texts
    assert got.token_ids == wanted.token_ids
    assert got.text == wanted.text
    assert got.finish_reason is wanted.finish_reason
    assert got.prompt_tokens == wanted.prompt_tokens
    _check_near(got.log_probabilities, wanted.log_probabilities)
    assert got.attention.keys() == wanted.attention.keys()
    assert got.pieces == wanted.pieces
    for key, masses in wanted.attention.items():
        _check_near(got.attention[key], masses)
    assert got.layer_attention.keys() == wanted.layer_attention.keys()
    for key, shares in wanted.layer_attention.items():
        # Two tokens may be the highest within rounding: then either engine may have taken either.
        if _has_one_peak(wanted.attention[key]):
            assert got.layer_attention[key].keys() == shares.keys()
            _check_near(list(got.layer_attention[key].values()), list(shares.values()))


def _is_tie(got: Generation, wanted: Generation) -> bool:
    """Whether they part at two tokens that the model holds for equally likely: rounding decides between these, and how
    much is rounded depends on who shares the batch."""
    pairs = enumerate(zip(got.token_ids, wanted.token_ids, strict=False))
    at = next((at for at, (one, other) in pairs if one != other), None)
    if at is None:
        return False
    _check_near(got.log_probabilities[:at], wanted.log_probabilities[:at])
    return abs(got.log_probabilities[at] - wanted.log_probabilities[at]) < TIE


def _has_one_peak(masses: Sequence[float]) -> bool:
    ordered = sorted(masses)
    return len(ordered) == 1 or ordered[-1] - ordered[-2] > TOLERANCE


def _check_near(got: Sequence[float], wanted: Sequence[float]) -> None:
    assert len(got) == len(wanted)
    assert max((abs(a - b) for a, b in zip(got, wanted, strict=True)), default=0.0) < TOLERANCE
