"""What it brings to say how relations are asked for: questions in other words, about relations that nobody taught.

    python -m bench.described --size quick|full --seed N [--encoder FOLDER]

The shipped encoder on relations that neither it nor the embedder was trained on, each described by 0, 2, 5 or 8 of its
phrasings, as an application describes its own (`interleaf relations describe`), and asked for in phrasings that are
none of these; unseen subjects and objects, up to fifteen rivals, teacher-forced. right_K: the whole object, with K
examples a relation; kept_K: where the fact is absent, every token as the plain model's; intruded_K: another fact's
first token there. gain_K: right_K less right_0, of the same questions.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from bench.common import Bench, sample_keys, share_keys
from bench.service_run import model_arguments
from editors.kv.encoder import KVEncoder
from editors.kv.evaluate import SLICES, Judged, judge_known
from editors.kv.phrases import PhraseBank, load
from editors.kv.problems import Scorer, evidence_tensors
from editors.kv.reading import Known, read_problem
from editors.kv.states import bind_to_model
from editors.kv.storage import load_weights
from editors.kv.trained import load_encoder
from editors.kv.world import World
from engines.embedder import SentenceEmbedder
from engines.models import load_model, resolve_model
from kb_store.model import RelationExamples
from service.serving.evidence import scorer
from service.serving.examples import SUBJECT, Asking, asking

COUNTS = (0, 2, 5, 8)
_ASKED = SLICES["right_relation_phrasing"]
_VIEWS = {"right": _ASKED, "absent": replace(_ASKED, absent=1.0)}


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the benchmark."""
    bench = Bench("described", description=__doc__ or "", argv=argv, add_arguments=model_arguments)
    path = resolve_model(bench.args.model)
    model, tokenizer = load_model(path, dtype=torch.float32)
    encoder, _ = load_weights(load_encoder(bench.args.encoder, path.name).folder)
    bind_to_model(encoder.meaning.states, model, tokenizer)
    bank, embedder = load(), SentenceEmbedder.load()
    world = World(bank, tokenizer)
    scorers = {count: scorer(embedder, described(bank, count, bench.seed)) for count in COUNTS}
    keys: dict[str, Any] = {}
    outcomes: dict[str, list[bool]] = {}
    for name, view in _VIEWS.items():
        for number in range(16 if bench.full else 2):
            with bench.stage(f"{name} {number}"):
                problem = world.problem(random.Random(f"described/{bench.seed}/{name}/{number}"), view)
                known = read_problem(model, tokenizer, encoder.config, encoder.meaning, scorers[0], problem)
                for count, score in scorers.items():
                    judged = judge_known(encoder, model, _judged_by(known, score, encoder))
                    for key, found in _outcomes(judged, count, absent=bool(view.absent)).items():
                        outcomes.setdefault(key, []).extend(found)
    for key, found in outcomes.items():
        keys |= share_keys(key, found, seed=bench.seed)
    for count in COUNTS[1:]:
        pairs = zip(outcomes[f"right_{count}"], outcomes["right_0"], strict=True)
        keys |= sample_keys(
            f"gain_{count}", [float(with_) - without for with_, without in pairs], seed=bench.seed
        )
    bench.finish(keys, n=len(outcomes["right_0"]), model=f"{path.name}, encoder {encoder.digest}")


def described(bank: PhraseBank, count: int, seed: int) -> Asking:
    """So many phrasings of each held-out relation, under each name that it goes by. Questions have others."""
    rng = random.Random(f"examples/{seed}")
    said = []
    for relation in bank.relations_of("held_out"):
        drawn = rng.sample(relation.train_phrasings, len(relation.train_phrasings))[:count]
        turns = [phrasing.filled(SUBJECT, relation.name, "") for phrasing in drawn]
        texts = tuple(user or text for user, text in turns)
        if texts:
            said += [RelationExamples(name, texts) for name in (relation.name, *relation.also)]
    return asking(tuple(said))


def _judged_by(known: Known, score: Scorer, encoder: KVEncoder) -> Known:
    *figures, _ = evidence_tensors(known.problem, score, encoder.meaning)
    return replace(known, figures=tuple(figures))


def _outcomes(judged: Judged, count: int, *, absent: bool) -> dict[str, list[bool]]:
    if absent:
        return {f"kept_{count}": judged.kept.tolist(), f"intruded_{count}": judged.intruded.tolist()}
    return {f"right_{count}": judged.right.tolist()}


if __name__ == "__main__":
    main()
