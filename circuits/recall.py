"""How an attribute is recalled: what the subject's representation holds, which update says the answer, what heads
map a subject to, and which positions the answer rests on.

States are projected through the final norm and the unembedding, as the model itself would read them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from circuits.errors import InvalidProbe
from circuits.interventions import Change, Head, Part, Site, captured, replaced
from circuits.lab import Lab, Passes
from circuits.look import Look, look
from circuits.probe import Placed

_POOL, _KEPT = 500, 50  # tokens taken from the top, words kept of them (Geva et al. 2023)
_SHORTEST = 3


@dataclass(frozen=True, slots=True)
class Attributes:
    """Per layer, after it. rate: share of the kept words that are attributes. held: share of the attributes that are
    among the tokens of the pool."""

    rate: tuple[float, ...]
    held: tuple[float, ...]
    tokens: int  # first tokens of the attributes' words


@dataclass(frozen=True, slots=True)
class Extraction:
    """Per layer, whether the sub-layer's update at the last position says the answer's first token above all."""

    attention: tuple[bool, ...]
    mlp: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class Mapping:
    """What a head would write into the residual stream if it read the subject with all of its attention."""

    head: Head
    tokens: tuple[str, ...]
    logits: tuple[float, ...]


def attribute_tokens(lab: Lab, attributes: Iterable[str], ignored: Collection[str] = ()) -> frozenset[int]:
    """The first token of each word of the attributes, at the beginning of a word; short and ignored words are not."""
    found: set[int] = set()
    for word in {word for text in attributes for word in text.split()}:
        if len(word) < _SHORTEST or word.casefold() in ignored:
            continue
        for form in (f" {word}", word):
            found.add(lab.prompts.alone(form)[0])
    return frozenset(found)


def attributes_rate(
    lab: Lab, seen: Look, placed: Placed, attributes: Collection[int], ignored: Collection[str] = ()
) -> Attributes:
    """Of the subject's last token, from a look at its prompt. `ignored`: words that mean nothing."""
    if not attributes:
        raise InvalidProbe("attributes", "none of them has a word of three letters")
    states = seen.residual[1:, placed.subject[-1]]
    rates, held = [], []
    for top in seen.lens(states).topk(min(_POOL, lab.spec.vocabulary)).indices.tolist():
        words = [
            token
            for token, piece in zip(top, lab.prompts.pieces(top), strict=True)
            if len(piece.strip()) >= _SHORTEST and piece.strip().casefold() not in ignored
        ][:_KEPT]
        rates.append(sum(token in attributes for token in words) / max(1, len(words)))
        held.append(len(set(attributes).intersection(top)) / len(attributes))
    return Attributes(tuple(rates), tuple(held), len(attributes))


def extraction(seen: Look, token: int) -> Extraction:
    """From a look whose first position is the prompt's last."""
    at = seen.positions[0]
    return Extraction(
        tuple((seen.lens(seen.attention[:, at]).argmax(-1) == token).tolist()),
        tuple((seen.lens(seen.mlp[:, at]).argmax(-1) == token).tolist()),
    )


def head_mappings(
    lab: Lab, seen: Look, placed: Placed, heads: Sequence[Head], count: int = 10
) -> list[Mapping]:
    """W_VO on what each head's layer holds of the subject's last token."""
    groups, at = lab.spec.heads // lab.spec.kv_heads, placed.subject[-1]
    mappings = []
    for head in heads:
        weight = lab.spec.output_projection(head.layer).float()
        size = lab.spec.head_dim
        value = seen.values[head.layer, head.head // groups, at].float()
        written = weight[:, head.head * size : (head.head + 1) * size] @ value
        top = seen.lens(written).topk(count)
        mappings.append(Mapping(head, lab.prompts.pieces(top.indices.tolist()), tuple(top.values.tolist())))
    return mappings


def gradient_times_input(lab: Lab, placed: Placed, tokens: Sequence[int]) -> Tensor:
    """[L + 1, prompt tokens]: how much each position's state, as each layer reads it, carries of the answer's
    log-probability, to first order. One pass forward, one backward."""
    sites = [Site(Part.RESIDUAL, layer) for layer in range(lab.layers + 1)]
    row = [*placed.ids, *tokens]
    with (
        replaced(lab.spec, [Change(sites[0], lambda passing: passing.detach().requires_grad_())]),
        captured(lab.spec, sites) as seen,
    ):
        said = lab.said([row], [len(placed.ids)], gradients=True)[0]
        states = [seen[site] for site in sites]
        gradients = lab.gradients(said.sum(), states)
    found = [(state * slope).sum(-1)[0] for state, slope in zip(states, gradients, strict=True)]
    return torch.stack(found)[:, : len(placed.ids)].detach().float().cpu()


def recall_cost() -> Passes:
    """Of looking at the prompt, and of gradient x input, for one probe."""
    return Passes(forward=2, backward=1)


def look_at_prompt(lab: Lab, placed: Placed) -> Look:
    """One pass over the prompt, looked at from its last position."""
    return look(lab, placed.ids, [placed.last])
