"""What a core refuses, and what keys the cache of prefixes. vLLM is not needed for it."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from engines.vllm.core_requests import CoreRequest, Refused, UsedFact, check, check_rows, salt_of
from engines.vllm.plugin import keyed_by_facts
from engines.vllm.request_facts import extra_arguments
from engines.vllm.row_ledger import Row

_GOOD = CoreRequest([1, 2, 3], [UsedFact("a", 0.5), UsedFact("b", 0.0)], scope="mine")


def test_a_good_request_passes() -> None:
    check(_GOOD, 10, 4)
    check(replace(_GOOD, score_from=1), 10, 3)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"prompt": []}, "prompt"),
        ({"prompt": [10]}, "prompt"),
        ({"prompt": [-1]}, "prompt"),
        ({"prompt": [True]}, "prompt"),
        ({"prompt": [1, 2, 3, 4]}, "prompt"),
        ({"end_tokens": [99]}, "end_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"top_p": 0.0}, "top_p"),
        ({"top_p": float("nan")}, "top_p"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**64}, "seed"),
        ({"score_from": 0}, "score_from"),
        ({"score_from": 3}, "score_from"),
        ({"facts": [UsedFact("a", float("inf"))]}, "facts"),
        ({"facts": [UsedFact("a", 0.0, -1)]}, "facts"),
        ({"facts": [UsedFact("a", 0.0, True)]}, "facts"),
    ],
)
def test_what_would_make_vllm_fail_is_refused(change: dict[str, Any], field: str) -> None:
    with pytest.raises(Refused) as caught:
        check(replace(_GOOD, **change), 10, 4)
    assert caught.value.field == field


def test_more_facts_than_there_is_memory_for_are_refused() -> None:
    rows = [Row(0, 6, ()), Row(6, 5, ())]
    check_rows(rows, 11)
    with pytest.raises(Refused, match="11 tokens; a request may see 10"):
        check_rows(rows, 10)


def test_prefixes_are_shared_within_a_scope_whatever_the_facts() -> None:
    a, b = _GOOD.facts
    alike = [
        replace(_GOOD, facts=[a]),
        replace(_GOOD, facts=[b, a]),
        replace(_GOOD, facts=[replace(a, bias=0.25), b]),
        replace(_GOOD, prompt=[4], max_tokens=9),  # vLLM's part
    ]
    assert {salt_of(request) for request in alike} == {salt_of(_GOOD)}
    # Requests without facts leave nothing from which a sum over their keys could be made.
    others = [replace(_GOOD, scope="theirs"), replace(_GOOD, scope=""), replace(_GOOD, facts=[])]
    assert len({salt_of(_GOOD), *map(salt_of, others)}) == 1 + len(others)


def _keys(request: Any, start: int, end: int) -> Any:
    patched = keyed_by_facts(lambda request, start, end, start_mm: (request.own, start_mm + 1))
    keys, after = patched(request, start, end, 7)
    assert after == 8
    return keys


def _request(own: Any = None) -> Any:
    extra = extra_arguments("r1", "salt", [(0, 1)], [0.0], [[1]], 39)
    parameters = SimpleNamespace(extra_args=extra)
    return SimpleNamespace(sampling_params=parameters, num_prompt_tokens=40, own=own)


def test_the_first_block_is_keyed_by_the_salt_and_those_that_see_facts_by_their_request() -> None:
    request = _request()
    assert _keys(request, 0, 16) == (("interleaf", "salt"),)
    assert _keys(request, 16, 32) is None  # it follows the first one
    assert _keys(request, 32, 48) == (("interleaf-answer", "r1"),)
    assert _keys(request, 32, 40) == (("interleaf-answer", "r1"),)  # the prompt's last token sees facts
    assert _keys(request, 32, 39) is None
    assert _keys(_request(own=(("lora", "x"),)), 0, 16) == (("lora", "x"), ("interleaf", "salt"))


def test_requests_that_are_not_ours_keep_vllms_keys() -> None:
    for parameters in (None, SimpleNamespace(extra_args=None), SimpleNamespace(extra_args={"other": 1})):
        request = SimpleNamespace(sampling_params=parameters, num_prompt_tokens=4, own=("x",))
        assert _keys(request, 0, 16) == ("x",)
