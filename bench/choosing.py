"""How many relations an encoder must hear of before it recognises those that it never heard of.

    python -m bench.choosing --size quick|full --seed N

The encoder's start (editors.kv.start) and its rehearsal (editors.kv.rehearsal), nothing after it: each question
looks among all tokens of all facts of its subject (up to ten) for the token that answers. Asked on subjects,
objects and relations of the held-out side. start_X: before the rehearsal; choose_P_X: after one on P percent of the
training relations, from as many subjects each time. X is `states` (the model's states alone) or `all` (with the
retriever's evidence, judged by the shipped encoder's embedder).
"""

from __future__ import annotations

import copy
import random
from collections.abc import Sequence
from dataclasses import replace

import torch

from bench.common import Bench, share_keys
from editors.kv.encoder import KVEncoder
from editors.kv.phrases import PhraseBank, load
from editors.kv.rehearsal import ReadSubject, RehearsalSettings, choices, read_subjects, rehearse
from editors.kv.start import StartSettings, closed_form_start
from editors.kv.states import bind_to_model
from editors.kv.trained import load_encoder
from editors.kv.world import World
from engines.embedder import SentenceEmbedder
from engines.models import DEFAULT_MODEL, default_model_path, load_model
from service.encoders.maps import new_encoder
from service.serving.evidence import scorer

_PERCENT = (10, 30, 100)
_FACTS = 10


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the benchmark."""
    bench = Bench("choosing", description=__doc__ or "", argv=argv)
    subjects, asked = (600, 120) if bench.full else (40, 16)
    settings = RehearsalSettings(subjects=subjects)
    model, tokenizer = load_model(default_model_path(), dtype=torch.float32)
    embedder, bank = SentenceEmbedder.load(), load()
    score = scorer(embedder)
    judge = load_encoder("default", DEFAULT_MODEL).meaning
    bind_to_model(judge.states, model, tokenizer)
    start = new_encoder(model, judge)
    torch.manual_seed(bench.seed)
    with bench.stage("start"):
        pairs = World(bank, tokenizer).pairs(random.Random(bench.seed), 2000 if bench.full else 200)
        closed_form_start(start, model, tokenizer, pairs, StartSettings())

    def read(shown: PhraseBank, count: int, held_out: bool) -> list[ReadSubject]:
        rng = random.Random(f"{bench.seed}/{held_out}")
        world = World(shown, tokenizer)
        problems = [world.subject(rng, _FACTS, held_out=held_out) for _ in range(count)]
        chosen = replace(settings, later=0.0) if held_out else settings
        return read_subjects(start, model, tokenizer, problems, score, chosen, bench.seed)

    with bench.stage(f"reading {asked} held-out subjects"):
        held = read(bank, asked, True)
    keys = _figures("start", start, held, bench.seed)
    relations = random.Random(bench.seed).sample(bank.relations_of("train"), len(bank.relations_of("train")))
    for percent in _PERCENT:
        part = relations[: len(relations) * percent // 100]
        with bench.stage(f"{len(part)} relations"):
            known = read(replace(bank, relations=tuple(part)), subjects, False)
            encoder = copy.deepcopy(start)
            rehearse(encoder, known, settings, bench.seed)
        keys |= {f"relations_{percent}": len(part)} | _figures(f"choose_{percent}", encoder, held, bench.seed)
    questions = sum(len(item.right) for item in held)
    bench.finish(keys | {"subjects": subjects}, n=questions, model=DEFAULT_MODEL, rows=[])


def _figures(name: str, encoder: KVEncoder, held: Sequence[ReadSubject], seed: int) -> dict[str, float]:
    figures: dict[str, float] = {}
    for suffix, evidence in (("states", False), ("all", True)):
        found = [hit for item in held for hit in choices(encoder, item, evidence=evidence)]
        figures |= share_keys(f"{name}_{suffix}", found, seed=seed)
    return figures


if __name__ == "__main__":
    main()
