"""The trial of isolation reaches the cache of prefixes, and sees what crosses over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import pytest

from bench.vllm_trials import Isolation, isolation_keys
from engines.contract import Engine, GenerateRequest, InjectedFact
from kb_store.model import Content
from tests.unit.engines.tiny_models import RandomAdapter, byte_tokenizer, tiny_model

BLOCK = 32  # of the cache of prefixes


@dataclass
class Said:
    text: str
    log_probabilities: tuple[float, ...] = (-0.5,)

    @property
    def token_ids(self) -> tuple[int, ...]:
        return tuple(self.text.encode())


class Reference:
    """Says the object of the first fact."""

    def __init__(self, change: Callable[[GenerateRequest, Said], Said] = lambda _, said: said) -> None:
        self._change = change

    def generate(self, requests: Sequence[GenerateRequest]) -> list[Said]:
        return [
            self._change(each, Said(" " + each.facts[0].tokens.key.rpartition("-")[2])) for each in requests
        ]


class Stand:
    tokenizer = byte_tokenizer()
    reference = Reference()

    def __init__(self) -> None:
        self._adapter = RandomAdapter.of(tiny_model("llama"))

    def compile(self, contents: Sequence[Content]) -> list[InjectedFact]:
        return [self._adapter.fact(content.object, 2) for content in contents]


@pytest.fixture(scope="module")
def trial() -> Isolation:
    return Isolation(cast("Any", Stand()), 10, 0)


def found(trial: Isolation, engine: Reference) -> dict[str, Any]:
    return isolation_keys([trial.piece(cast("Engine", engine), name) for name in trial.pieces])


def test_an_answer_fills_a_block_from_which_others_go_on(trial: Isolation) -> None:
    first, then = trial.questions(trial.pieces[0])
    tokens = [len(Stand.tokenizer(str(each.request.prompt)).input_ids) for each in first]
    assert all(
        BLOCK < count < 2 * BLOCK <= count + 7 for count in tokens
    )  # the last token is not read any more
    for one, other in zip(first, then, strict=True):
        (answer,) = Stand.reference.generate([one.request])
        assert str(other.request.prompt).startswith(f"{one.request.prompt}{answer.text}")
        assert other.request.scope == f"tenant-{other.tenant}"
    assert any(one.tenant != other.tenant for one, other in zip(first, then, strict=True))


def test_tenants_who_are_answered_as_if_alone_have_seen_nothing(trial: Isolation) -> None:
    keys = found(trial, Reference())
    assert keys == {
        "tenant_generations": 80,
        "tenant_going_on": 40,
        "canaries": 0,
        "tenant_unlike_alone": 0,
        "tenant_max_dlogprob": 0.0,
        "tenant_own_word": 1.0,
    }


def test_words_and_probabilities_of_others_are_seen(trial: Isolation) -> None:
    def told_of_another(request: GenerateRequest, said: Said) -> Said:
        return Said(f"{said.text} quagmire velodrome") if "Once more" in str(request.prompt) else said

    def a_little_off(request: GenerateRequest, said: Said) -> Said:
        return Said(said.text, (-0.6,))

    assert found(trial, Reference(told_of_another))["canaries"] == 40
    off = found(trial, Reference(a_little_off))
    assert (off["canaries"], off["tenant_unlike_alone"]) == (0, 80)
