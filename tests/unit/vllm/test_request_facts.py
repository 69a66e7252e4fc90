"""When a fact goes out of a request's sight."""

from __future__ import annotations

import random
from dataclasses import replace

import torch

from engines.contract import GenerateRequest, InjectedFact, KVTokens, Sampling
from engines.kv_batch import KVBatch
from engines.request import ActiveRequest
from engines.saying import AWAY
from engines.vllm.request_facts import EXTRA, HIDDEN, RequestFacts, extra_arguments
from engines.words import Words

_PROMPT = 5


def _facts(said: list[tuple[int, ...]], counts: list[int], order: list[int] | None = None) -> RequestFacts:
    first = 0
    spans = []
    for count in counts:
        spans.append((first, count))
        first += count
    biases = [index / 2 for index in range(len(said))]
    return RequestFacts.of(extra_arguments("r", "s", spans, biases, said, _PROMPT - 1, order or ())[EXTRA])


def test_biases_are_each_facts_own_and_its_turns_until_it_is_out_of_sight() -> None:
    facts = _facts([(1, 2), (), (3,)], [2, 1, 1])
    assert facts.slots.tolist() == [0, 1, 2, 3]
    begun = [0.0, -AWAY, 0.5, 1.0]
    assert facts.biases(0, 3).tolist() == [begun]
    facts.note([1, 2, 9])
    gone, waiting = HIDDEN, [0.5 - AWAY, 1.0 - AWAY]
    # The answer's second token, at position 6, ends what the first fact says; one more is read in its sight.
    assert facts.biases(4, 9).tolist() == [
        begun,
        [-AWAY, 0.0, *waiting],
        [-AWAY, -AWAY, *waiting],
        [gone, gone, *waiting],
        [gone, gone, *waiting],
    ]


def test_facts_take_turns_just_as_in_the_other_engine() -> None:
    rng = random.Random(0)
    for _ in range(100):
        said = [tuple(rng.choices(range(3), k=rng.randint(0, 3))) for _ in range(4)]
        answer = rng.choices(range(3), k=12)
        order = rng.choice([[0] * 4, [2, 0, 1, 3]])
        empty = torch.zeros(1, 1, 1, 1)
        tokens = [
            InjectedFact(KVTokens(str(i), "e", empty, empty, told), order=order[i])
            for i, told in enumerate(said)
        ]
        request = GenerateRequest("p", tuple(tokens), Sampling(max_tokens=99))
        words = Words(torch.zeros(4, 10, dtype=torch.bool))
        active = ActiveRequest(request, [0] * _PROMPT, lambda ids: "", frozenset(), 999, words)
        stepwise, at_once = _facts(said, [1] * 4, order), _facts(said, [1] * 4, order)
        at_once.note(answer)
        for length, token in enumerate(answer):
            stepwise.note(answer[:length])
            position = _PROMPT - 1 + length  # of the token that is read to choose this one
            packed = KVBatch.pack([[replace(own, bias=i / 2) for i, own in enumerate(tokens)]], [0])
            wanted = packed.saying([active.turns]).bias[0]
            for facts in (stepwise, at_once):
                seen = facts.biases(position, position + 1)[0]
                assert torch.equal(seen.masked_fill(seen == HIDDEN, float("-inf")), wanted)
            active.accept(token, 0.0, [0.0] * 4)
