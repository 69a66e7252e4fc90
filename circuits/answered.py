"""Probes with what the model answers to them by itself, judged: what heads and checks are calibrated on."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from circuits.errors import InvalidProbe
from circuits.lab import Lab, Passes
from circuits.probe import Placed, Probe, place
from engines.whole_words import standing

_TOKENS = 6  # that are said, and of them those before the clause ends are the answer
_ENDS = frozenset("\n.,;:?!()")
_ARTICLES = ("the ", "a ", "an ")
_MARKS = " \"'“”‘’*_"


@dataclass(frozen=True, slots=True)
class Answered:
    """A probe and the model's own greedy answer to it. `relation`: a name to group by."""

    probe: Probe
    relation: str
    placed: Placed
    tokens: tuple[int, ...]
    answer: str
    right: bool


def answered_cost(lab: Lab, probes: int, tokens: int = _TOKENS) -> Passes:
    """For all of them."""
    return Passes(forward=-(-probes // lab.rows) * tokens)


def answer_all(lab: Lab, probes: Sequence[tuple[str, Probe]], tokens: int = _TOKENS) -> Iterator[Answered]:
    """Each probe (with its relation's name) as the model answers it. Those whose subject cannot be placed are left
    out."""
    placed: list[tuple[str, Probe, Placed]] = []
    for name, probe in probes:
        try:
            placed.append((name, probe, place(lab, probe.prompt, probe.subject, probe.relation)))
        except InvalidProbe:
            continue
    for start in range(0, len(placed), lab.rows):
        part = placed[start : start + lab.rows]
        for (name, probe, where), said in zip(
            part, lab.say([each.ids for _, _, each in part], tokens), strict=True
        ):
            chosen = first_clause(lab, said)
            text = lab.tokenizer.decode(said)
            answer = lab.tokenizer.decode(chosen).strip()
            yield Answered(probe, name, where, tuple(chosen), answer, is_right(text, probe.object))


def first_clause(lab: Lab, tokens: Sequence[int]) -> list[int]:
    """The tokens before the first one that ends a clause; at least one."""
    for at, piece in enumerate(lab.prompts.pieces(tokens)):
        if at and _ENDS & set(piece.strip(" ")):
            return list(tokens[:at])
    return list(tokens)


def is_right(answer: str, wanted: str) -> bool:
    """Whether an answer begins with what is wanted as whole words; case, articles and quotation marks do not matter."""
    said, value = _folded(answer), _folded(wanted)
    return standing(value, said)[:1] == [(0, len(value))]


def _folded(text: str) -> str:
    folded = " ".join(unicodedata.normalize("NFKC", text).casefold().split()).strip(_MARKS)
    for article in _ARTICLES:
        folded = folded.removeprefix(article)
    return folded.strip(_MARKS)
