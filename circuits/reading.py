"""How injected facts are read: by which layers and heads, by which of their tokens, and what is without them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor

from circuits.errors import InvalidProbe
from circuits.interventions import Head, muted
from circuits.lab import Lab, Passes
from circuits.look import Look, look
from circuits.probe import Placed
from engines.contract import InjectedFact, KVAdapter


@dataclass(frozen=True, slots=True)
class HeadReading:
    """One head of a layer that reads facts. shares: attention on each fact where the answer begins; direct: logits
    that it adds to the answer's first token out of facts; delta: change of the answer's log-probability when the
    head alone is blind to facts."""

    head: Head
    shares: tuple[float, ...]
    direct: float
    delta: float


@dataclass(frozen=True, slots=True)
class FactReading:
    """What injected facts do to an answer. Log-probabilities of the whole answer.

    layers: per layer that reads facts, the change when all of its heads are blind. facts: the change without each
    fact; tokens: without each of its key/value tokens. plain: without any fact.
    """

    with_facts: float
    plain: float
    heads: tuple[HeadReading, ...]
    layers: tuple[tuple[int, float], ...]
    facts: tuple[float, ...]
    tokens: tuple[tuple[float, ...], ...]


def reading_cost(lab: Lab, facts: Sequence[InjectedFact]) -> Passes:
    """For one prompt."""
    layers = len(lab.adapter.layers) if lab.adapter else 0
    tokens = sum(fact.tokens.count for fact in facts)
    return Passes(forward=2 + layers * (1 + lab.spec.heads) + len(facts) + tokens)


def read_facts(lab: Lab, placed: Placed, tokens: Sequence[int], facts: Sequence[InjectedFact]) -> FactReading:
    """InvalidProbe without facts, or where the model has no encoder."""
    adapter = lab.adapter
    if adapter is None or not facts:
        raise InvalidProbe("facts", "there is nothing injected to be read")
    row = [*placed.ids, *tokens]
    seen = look(lab, row, [placed.last + at for at in range(len(tokens))], facts)
    whole = float(sum(seen.logits[at].log_softmax(-1)[token] for at, token in enumerate(tokens)))

    def change(
        chosen: Sequence[InjectedFact], through: KVAdapter = adapter, hidden: Sequence[int] = ()
    ) -> float:
        with lab.injected(1, chosen, since=placed.last, adapter=through, hidden=hidden):
            said = lab.said([row], [len(placed.ids)])[0]
        return float(said.sum()) - whole

    says = seen.direct(seen.through_facts(0), 0, [tokens[0]])[..., 0]
    heads = [Head(layer, head) for layer in adapter.layers for head in range(lab.spec.heads)]
    firsts = accumulate((fact.tokens.count for fact in facts), initial=0)
    return FactReading(
        with_facts=whole,
        plain=whole + change(()),
        heads=tuple(
            HeadReading(
                head,
                _by_fact(seen.on_facts[head.layer, 0, head.head], facts),
                float(says[head.layer, head.head]),
                change(facts, muted(adapter, [head])),
            )
            for head in heads
        ),
        layers=tuple(
            (layer, change(facts, muted(adapter, [each for each in heads if each.layer == layer])))
            for layer in adapter.layers
        ),
        facts=tuple(change([*facts[:at], *facts[at + 1 :]]) for at in range(len(facts))),
        tokens=tuple(
            # Hidden, not cut out: the fact's other tokens would take turns that are not theirs.
            tuple(change(facts, hidden=[first + token]) for token in range(fact.tokens.count))
            for first, fact in zip(firsts, facts, strict=False)
        ),
    )


def readers(seen: Look, token: int, count: int) -> list[tuple[Head, float, float]]:
    """The heads that say most to a token out of injected facts, at a look's first position: head, its share of
    attention on facts, logits that it adds. One look, nothing blocked."""
    says = seen.direct(seen.through_facts(0), 0, [token])[..., 0]
    shares = seen.on_facts[:, 0].sum(-1)
    best = says.flatten().topk(min(count, says.numel())).indices.tolist()
    places = [divmod(at, says.shape[1]) for at in best]
    return [(Head(*at), float(shares[at]), float(says[at])) for at in places if float(shares[at]) > 0]


def _by_fact(shares: Tensor, facts: Sequence[InjectedFact]) -> tuple[float, ...]:
    parts = torch.split(shares, [fact.tokens.count for fact in facts])
    return tuple(float(part.sum()) for part in parts)
