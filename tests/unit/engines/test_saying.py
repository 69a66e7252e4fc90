"""An answer says a fact token by token, and then no more."""

from __future__ import annotations

import random

import torch

from engines.contract import InjectedFact, KVTokens
from engines.kv_batch import KVBatch
from engines.saying import AWAY, PATIENCE, TOLD, WAITS, Saying, turns_along


def _fact(said: tuple[int, ...], count: int, bias: float = 0.0, order: int = 0) -> InjectedFact:
    empty = torch.zeros(1, count, 1, 1)
    return InjectedFact(KVTokens(str(said), "e", empty, empty, said), bias, order)


def test_turns_follow_what_the_answer_ends_with() -> None:
    saying = Saying([(1, 2, 3), (2,), ()])
    seen = [saying.turns]
    for token in (9, 1, 2, 1, 2, 3, 7, 1):
        saying.add(token)
        seen.append(saying.turns)
    assert seen == [
        (0, 0, 0),
        (0, 0, 0),
        (1, WAITS, WAITS),
        (2, 1, WAITS),
        (1, TOLD, WAITS),  # begun anew; the second was said, and a token more
        (2, TOLD, WAITS),
        (3, TOLD, WAITS),  # said: what closes it comes next
        (TOLD, TOLD, WAITS),
        (TOLD, TOLD, WAITS),
    ]
    assert turns_along((9, 1, 2, 1, 2, 3, 7, 1), [(1, 2, 3), (2,), ()]) == seen


def test_a_beginning_inside_of_a_beginning_counts() -> None:
    """ "a a b" after "a a a": the last two are a beginning."""
    saying = Saying([(1, 1, 2)])
    for token in (1, 1, 1):
        saying.add(token)
    assert saying.turns == (2,)


def test_adding_says_whether_a_turn_changed() -> None:
    saying = Saying([(1, 2)])
    assert [saying.add(token) for token in (9, 1, 2, 5, 5)] == [False, True, True, True, False]
    assert not Saying([]).add(1)


def test_facts_that_were_asked_for_together_come_one_after_the_other() -> None:
    saying = Saying([(1,), (2, 3), (4,)], [2, 1, 0])
    seen = [(saying.turns, saying.owing)]
    for token in (9, 2, 3, 9, 1, 9, 4):
        saying.add(token)
        seen.append((saying.turns, saying.owing))
    assert seen == [
        ((WAITS, 0, WAITS), False),  # nothing was said: the model may answer otherwise
        ((WAITS, 0, WAITS), False),
        ((WAITS, 1, WAITS), False),
        ((WAITS, 2, WAITS), True),
        ((0, TOLD, WAITS), True),  # closed: now the next
        ((1, TOLD, WAITS), False),
        ((TOLD, TOLD, WAITS), False),
        ((TOLD, TOLD, 1), False),  # what was not asked for can be said, as ever
    ]


def test_whichever_comes_first_the_other_follows() -> None:
    saying = Saying([(1,), (2,)], [1, 2])
    for token in (2, 9):
        saying.add(token)
    assert (saying.turns, saying.owing) == ((0, TOLD), True)


def test_an_answer_that_does_not_come_to_the_next_fact_may_end() -> None:
    saying = Saying([(1,), (2,)], [1, 2])
    saying.add(1)
    owing = []
    for _ in range(PATIENCE + 1):
        saying.add(9)
        owing.append(saying.owing)
    assert owing == [True] * PATIENCE + [False]


def test_a_fact_that_says_nothing_is_not_waited_for() -> None:
    saying = Saying([(), (1,)], [1, 2])
    assert saying.turns == (WAITS, 0)
    saying.add(1)
    assert not saying.owing


def test_tokens_stand_back_until_it_is_their_turn_and_the_told_is_hidden() -> None:
    rows = [[_fact((1, 2), 3, 0.5), _fact((3,), 2)], [_fact((1, 2), 3, 0.5)]]
    batch = KVBatch.pack(rows, [0])
    hidden = float("-inf")
    assert batch.saying([(1, TOLD), (0,)]).bias.tolist() == [
        [0.5 - AWAY, 0.5, 0.5 - AWAY, hidden, hidden],
        [0.5, 0.5 - AWAY, 0.5 - AWAY, hidden, hidden],
    ]
    assert batch.saying([(2, 0), (TOLD,)]).sees.tolist() == [True, False]


def test_hidden_tokens_leave_the_others_their_turns() -> None:
    batch = KVBatch.pack([[_fact((1, 2), 3), _fact((), 1)], [_fact((1, 2), 3)]], [0])
    seen = batch.hiding([0, 3])
    hidden = float("-inf")
    assert seen.saying([(1, 0), (2,)]).bias.tolist() == [
        [hidden, 0, -AWAY, hidden],
        [hidden, -AWAY, 0, hidden],
    ]
    assert torch.equal(batch.hiding([]).bias, batch.bias)
    assert not batch.hiding(range(4)).sees.any()


def test_a_text_is_read_as_it_would_have_been_generated() -> None:
    rng = random.Random(3)
    said = [tuple(rng.choices(range(3), k=count)) for count in (1, 2, 3)]
    rows = [[_fact(each, len(each) + 1, i / 4, 3 - i) for i, each in enumerate(said)], [_fact(said[1], 2)]]
    ids = torch.tensor([rng.choices(range(3), k=9) for _ in rows])
    since = [2, 5]
    batch = KVBatch.pack(rows, [0]).seen_from(since)
    whole = batch.read(ids).bias
    assert whole.shape[:2] == ids.shape
    sayings = [Saying([fact.tokens.said for fact in row], [fact.order for fact in row]) for row in rows]
    for at in range(min(since), ids.shape[1]):
        step = batch.saying([saying.turns for saying in sayings]).bias
        for row, begin in enumerate(since):
            if at >= begin:
                assert torch.equal(whole[row, at], step[row])
                if at + 1 < ids.shape[1]:
                    sayings[row].add(int(ids[row, at + 1]))


def test_facts_that_are_seen_everywhere_have_no_turns() -> None:
    batch = KVBatch.pack([[_fact((1, 2), 3)]], [0])
    assert batch.read(torch.tensor([[1, 2, 1]])) is batch
