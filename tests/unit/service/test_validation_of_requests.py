from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import pytest
from google.protobuf import timestamp_pb2

from engines.contract import Message
from interleaf.v1 import facts_pb2, inference_pb2
from kb_store.errors import InvalidInput, LimitExceeded
from service import validation
from service.commands.answering import queries_of
from service.convert.answers import Asks
from service.limits import LimitSettings

ASKS = Asks(LimitSettings(), 8)
PARENT = "namespaces/n"


def refused(**fields: Any) -> str:
    with pytest.raises(InvalidInput) as caught:
        ASKS.ask(inference_pb2.GenerateRequest(**{"parent": PARENT, **fields}))
    return caught.value.field


def chat(*turns: tuple[str, str]) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": content} for role, content in turns]}


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({}, "input"),
        ({"parent": "n", "prompt": "x"}, "parent"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": " \n"}, "prompt"),
        ({"prompt": "a\0b"}, "prompt"),
        ({"prompt": "x" * 40_000}, "prompt"),
        ({"chat": {}}, "chat.messages"),
        ({"chat": chat(*[("user", "x")] * 257)}, "chat.messages"),
        ({"chat": chat(*[("user", "x" * 20_000)] * 2)}, "chat.messages"),
        ({"chat": chat(("robot", "x"))}, "chat.messages[0].role"),
        ({"chat": chat(("user", ""))}, "chat.messages[0].content"),
        ({"chat": chat(("user", "x"), ("assistant", "y"))}, "chat.messages[1].role"),
        ({"prompt": "x", "sampling": {"max_tokens": -1}}, "sampling.max_tokens"),
        ({"prompt": "x", "sampling": {"max_tokens": 1025}}, "sampling.max_tokens"),
        ({"prompt": "x", "sampling": {"temperature": math.nan}}, "sampling.temperature"),
        ({"prompt": "x", "sampling": {"temperature": math.inf}}, "sampling.temperature"),
        ({"prompt": "x", "sampling": {"temperature": -0.1}}, "sampling.temperature"),
        ({"prompt": "x", "sampling": {"temperature": 11}}, "sampling.temperature"),
        ({"prompt": "x", "sampling": {"top_p": math.nan}}, "sampling.top_p"),
        ({"prompt": "x", "sampling": {"top_p": 1.1}}, "sampling.top_p"),
        ({"prompt": "x", "sampling": {"seed": -1}}, "sampling.seed"),
        ({"prompt": "x", "sampling": {"stop": [""]}}, "sampling.stop[0]"),
        ({"prompt": "x", "sampling": {"stop": ["x"] * 17}}, "sampling.stop"),
        ({"prompt": "x", "sampling": {"stop": ["x" * 129]}}, "sampling.stop[0]"),
        ({"prompt": "x", "retrieval": {"top_k": -1}}, "retrieval.top_k"),
        ({"prompt": "x", "retrieval": {"top_k": 65}}, "retrieval.top_k"),
        ({"prompt": "x", "retrieval": {"min_revision": -1}}, "retrieval.min_revision"),
        ({"prompt": "x", "retrieval": {"facts": ["namespaces/other/facts/f"]}}, "retrieval.facts[0]"),
        ({"prompt": "x", "retrieval": {"facts": [f"{PARENT}/facts/f"] * 2}}, "retrieval.facts[1]"),
        ({"prompt": "x", "retrieval": {"facts": [f"{PARENT}/facts/f"], "disabled": True}}, "retrieval.facts"),
    ],
)
def test_questions_that_are_refused(fields: dict[str, Any], field: str) -> None:
    assert refused(**fields) == field


def test_defaults_of_a_question() -> None:
    ask = ASKS.ask(inference_pb2.GenerateRequest(parent=PARENT, prompt="x"))
    assert (ask.namespace, ask.prompt) == ("n", "x")
    assert (ask.sampling.max_tokens, ask.sampling.temperature, ask.sampling.top_p) == (64, 0.0, 1.0)
    assert ask.sampling.seed is None
    assert (ask.retrieval.top_k, ask.retrieval.fact_ids) == (8, ())


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({}, "continuations"),
        ({"continuations": ["x"] * 65}, "continuations"),
        ({"continuations": ["x", ""]}, "continuations[1]"),
        ({"continuations": ["x" * 5000]}, "continuations[0]"),
        ({"continuations": ["x"], "prompt": ""}, "prompt"),
    ],
)
def test_scores_that_are_refused(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        ASKS.score(inference_pb2.ScoreRequest(**{"parent": PARENT, "prompt": "x", **fields}))
    assert caught.value.field == field


def test_limits_are_named() -> None:
    with pytest.raises(LimitExceeded) as caught:
        ASKS.ask(inference_pb2.GenerateRequest(parent=PARENT, prompt="x", sampling={"max_tokens": 9999}))
    assert caught.value.details == {
        "field": "sampling.max_tokens",
        "limit": "max_tokens",
        "maximum": "1024",
        "actual": "9999",
    }


def test_times() -> None:
    fact = facts_pb2.Fact(valid_from=timestamp_pb2.Timestamp(seconds=1, nanos=1999))
    assert validation.moment("f", fact, "valid_from") == datetime(1970, 1, 1, 0, 0, 1, 1, tzinfo=UTC)
    assert validation.moment("f", fact, "valid_to") is None
    edges = [(-62_135_596_800, 0), (253_402_300_799, 999_999_999)]
    for seconds, nanos in edges:
        edge = facts_pb2.Fact(valid_from=timestamp_pb2.Timestamp(seconds=seconds, nanos=nanos))
        assert validation.moment("f", edge, "valid_from") is not None
    for seconds, nanos in [(-62_135_596_801, 0), (253_402_300_800, 0), (0, 10**9), (0, -1), (2**63 - 1, 0)]:
        beyond = facts_pb2.Fact(valid_from=timestamp_pb2.Timestamp(seconds=seconds, nanos=nanos))
        with pytest.raises(InvalidInput):
            validation.moment("f", beyond, "valid_from")


def test_what_is_retrieved_for_a_chat() -> None:
    assert queries_of("a prompt", 100) == ("a prompt",)
    assert queries_of("a prompt", 6) == ("prompt",)
    assert queries_of((Message("system", "s"), Message("user", "only")), 100) == ("only",)
    turns = (Message("system", "s"), Message("user", "Who is Anna?"), Message("assistant", "A shipwright."))
    assert queries_of((*turns, Message("user", "Where?")), 100) == (
        "Where?",
        "Who is Anna?\nA shipwright.\nWhere?",
    )
