"""How well a natural phrasing is matched with the relation that it asks for, among facts of the same subject.

    python -m bench.meaning --size quick|full --seed N

Every question is asked twice: among facts of its subject with the fact that it asks for (top1_X: that one is the
best match) and without it (auroc_X: the best score tells the two apart; kept_X: share of questions answered
rightly when the threshold lets 3% of those without an answer through). X is what matches:
key: cosine of the text and "relation of subject"; relation: cosine of what the text says of "it" and the relation;
meaning: the same against the background (editors.kv.meaning); judged: the same by the embedder as the shipped
encoder has changed it (editors.kv.matching); closer: text and relations read together (editors.kv.closer);
together: the last two, as the service weighs them. `_held` are the relations that training never saw.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from bench.answers import auroc
from bench.common import Bench, share_keys
from editors.kv.closer import CloserLook, weighed
from editors.kv.contract import spoken
from editors.kv.phrases import PhraseBank, Relation, load
from editors.kv.states import bind_to_model
from editors.kv.trained import load_encoder
from engines.embedder import SentenceEmbedder
from engines.models import DEFAULT_MODEL, default_model_path, load_model
from kb_store.keys import key_text
from kb_store.scoring import Question
from service.encoders.background import background
from service.serving.judging import JudgeVectors, judging

_FACTS = 10
_FALSE_ALARMS = 0.03
_WAYS = ("key", "relation", "meaning", "judged", "closer", "together")
_AT_ONCE = 64  # texts


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the benchmark."""
    bench = Bench("meaning", description=__doc__ or "", argv=argv)
    embedder, bank = SentenceEmbedder.load(), load()
    judged = load_encoder("default", DEFAULT_MODEL).meaning
    bind_to_model(judged.states, *load_model(default_model_path(), dtype=torch.float32))
    judge = background(bank, JudgeVectors(embedder, {}, None))
    judged_by, look = judging(embedder, judged)
    asked = _questions(bank, bench, each=22 if bench.full else 1, at_most=None if bench.full else 1000)
    with bench.stage(f"{len(asked)} questions"):
        texts = embedder.embed([text for _, text, _ in asked])
        about = [Question(text).about(subject)[0] for subject, text, _ in asked]
        said = embedder.embed(about)
    with bench.stage("relations"):
        names = {relation.name: place for place, relation in enumerate(bank.relations)}
        relations = embedder.embed(list(names))
        fits = judge(torch.from_numpy(said), torch.from_numpy(relations)).numpy()
        better_fits = judged(judged_by.texts(about), judged_by.names(list(names))).numpy()
    arounds = [[wanted.name, *(item.name for item in _rivals(bank, bench, wanted))] for *_, wanted in asked]
    with bench.stage("a closer look"):
        odds = _looked(look, about, arounds, bench)
        without = _looked(look, about, [around[1:] for around in arounds], bench)
    rows: list[dict[str, Any]] = []
    for place, (subject, text, wanted) in enumerate(asked):
        around = arounds[place]
        keys = embedder.embed([key_text(name, subject) for name in around])
        columns = [names[name] for name in around]
        judged_row = better_fits[place][columns]
        apart = {
            "key": keys @ texts[place],
            "relation": relations[columns] @ said[place],
            "meaning": fits[place][columns],
            "judged": judged_row,
        }
        # What is read together is judged otherwise where the right one is not there.
        scores = {name: (row, row[1:]) for name, row in apart.items()} | {
            "closer": (odds[place], without[place]),
            "together": (_both(judged_row, odds[place]), _both(judged_row[1:], without[place])),
        }
        rows.append({"text": text, "relation": wanted.name, "held": wanted.split == "held_out"} | scores)
        if place % 200 == 0:
            bench.log(f"{place} of {len(asked)}")
    keys_out: dict[str, Any] = {"facts": _FACTS}
    for suffix, chosen in (("", rows), ("_held", [row for row in rows if row["held"]])):
        for name in _WAYS:
            keys_out |= _figures(f"{name}{suffix}", [row[name] for row in chosen], bench.seed)
    bench.finish(keys_out, n=len(rows), model=f"all-MiniLM-L6-v2 {embedder.digest}", rows=[])


def _looked(
    look: CloserLook | None, texts: Sequence[str], names: Sequence[Sequence[str]], bench: Bench
) -> list[list[float]]:
    """The log-odds of names in their places; nothing but zeros where no closer look was taught."""
    if look is None:
        return [[0.0] * len(row) for row in names]
    # The right one is the first: the places of a sheet must not tell.
    orders = [bench.random.sample(range(len(row)), len(row)) for row in names]
    sheets = [
        (text, tuple(spoken(row[place]) for place in order))
        for text, row, order in zip(texts, names, orders, strict=True)
    ]
    found = []
    for start in range(0, len(sheets), _AT_ONCE):
        found += look(sheets[start : start + _AT_ONCE])
    return [
        [odds[order.index(place)] for place in range(len(order))]
        for odds, order in zip(found, orders, strict=True)
    ]


def _questions(
    bank: PhraseBank, bench: Bench, each: int, at_most: int | None
) -> list[tuple[str, str, Relation]]:
    """Subject, text, and the relation asked for: natural phrasings of relations with enough rivals, or of so many."""
    found = []
    relations = [relation for relation in bank.relations if len(_same_kind(bank, relation)) >= _FACTS]
    for relation in bench.random.sample(relations, min(at_most or len(relations), len(relations))):
        phrasings = [*relation.train_phrasings, *relation.held_out_phrasings]
        for phrasing in bench.random.sample(phrasings, min(each, len(phrasings))):
            subject = bank.subject(relation.subject_kind, bench.random, held_out=True)
            user, start = phrasing.filled(subject, relation.name, "")
            found.append((subject, user or start, relation))
    return found


def _same_kind(bank: PhraseBank, relation: Relation) -> list[Relation]:
    return [item for item in bank.relations if item.subject_kind == relation.subject_kind]


def _rivals(bank: PhraseBank, bench: Bench, wanted: Relation) -> list[Relation]:
    others = [item for item in _same_kind(bank, wanted) if item.name != wanted.name]
    return bench.random.sample(others, _FACTS - 1)


def _both(fits: Sequence[float], odds: Sequence[float]) -> list[float]:
    return [weighed(float(fit), each) for fit, each in zip(fits, odds, strict=True)]


def _figures(name: str, scores: Sequence[Any], seed: int) -> dict[str, Any]:
    """Of each pair: the scores of all, of which the first is the fact that was asked for; those of the others without
    it."""
    right = np.array([row[0] for row, _ in scores])
    best_other = np.array([max(row[1:]) for row, _ in scores])
    absent = np.array([max(row) for _, row in scores])
    found = right > best_other
    threshold = np.quantile(absent, 1 - _FALSE_ALARMS)
    present = np.maximum(right, best_other)
    return (
        share_keys(f"top1_{name}", found.tolist(), seed=seed)
        | {f"auroc_{name}": auroc(present.tolist(), absent.tolist())}
        | share_keys(f"kept_{name}", (found & (right > threshold)).tolist(), seed=seed)
    )


if __name__ == "__main__":
    main()
