"""What the threshold decides from which on a fact is shown: facts said against answers left alone.

    python -m bench.likely --size quick|full --seed N [--encoder FOLDER]

The shipped encoder on questions about unseen subjects and objects with up to sixteen rivals, teacher-forced. Every
problem is read once; at each threshold (of the fit by meaning; `_own` is the encoder's): right_SLICE, the whole object;
kept_SLICE, where the fact is absent, every token as the plain model's; intruded_SLICE, another fact's first token. The
rows have the whole curve. preferred_SLICE: the prior prefers the right fact to its rivals, whatever is said then.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import torch

from bench.common import Bench, share_keys
from bench.service_run import model_arguments
from editors.kv.encoder import KVEncoder
from editors.kv.evaluate import SLICES, Judged, judge_known
from editors.kv.meaning import FLOOR
from editors.kv.phrases import load
from editors.kv.reading import Known, read_problem
from editors.kv.states import bind_to_model
from editors.kv.storage import load_weights
from editors.kv.trained import load_encoder
from editors.kv.world import World
from engines.embedder import SentenceEmbedder
from engines.models import load_model, resolve_model
from service.serving.evidence import scorer

_THRESHOLDS = (FLOOR, -8.0, -6.0, -4.0)


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the benchmark."""
    bench = Bench("likely", description=__doc__ or "", argv=argv, add_arguments=model_arguments)
    path = resolve_model(bench.args.model)
    model, tokenizer = load_model(path, dtype=torch.float32)
    encoder, _ = load_weights(load_encoder(bench.args.encoder, path.name).folder)
    bind_to_model(encoder.meaning.states, model, tokenizer)
    world, score = World(load(), tokenizer), scorer(SentenceEmbedder.load())
    own = float(encoder.prior.likely)
    keys: dict[str, Any] = {"threshold_own": own}
    rows: list[dict[str, Any]] = []
    asked = 0
    for name, view in SLICES.items():
        with bench.stage(name):
            known = [
                read_problem(
                    model,
                    tokenizer,
                    encoder.config,
                    encoder.meaning,
                    score,
                    world.problem(random.Random(f"likely/{bench.seed}/{name}/{number}"), view),
                )
                for number in range(16 if bench.full else 2)
            ]
        for threshold in dict.fromkeys((own, *_THRESHOLDS)):
            encoder.prior.likely.fill_(threshold)
            judged = [judge_known(encoder, model, item) for item in known]
            shares = _shares(name, judged, absent=bool(view.absent))
            rows.append(
                {"slice": name, "threshold": threshold} | {key: _mean(v) for key, v in shares.items()}
            )
            if threshold == own:
                asked += sum(len(item.right) for item in judged)
                for key, outcomes in shares.items():
                    keys |= share_keys(key, outcomes, seed=bench.seed)
        if not view.absent:
            keys |= share_keys(f"preferred_{name}", _preferred(encoder, known), seed=bench.seed)
    bench.finish(keys, n=asked, model=f"{path.name}, encoder {encoder.digest}", rows=rows)


def _shares(name: str, judged: Sequence[Judged], *, absent: bool) -> dict[str, list[bool]]:
    if not absent:
        return {name: _all(judged, "right")}
    return {
        f"kept_{name}": _all(judged, "kept"),
        f"unchanged_{name}": _all(judged, "unchanged"),
        f"intruded_{name}": _all(judged, "intruded"),
    }


def _all(judged: Sequence[Judged], field: str) -> list[bool]:
    found: list[bool] = torch.cat([getattr(item, field) for item in judged]).tolist()
    return found


def _preferred(encoder: KVEncoder, known: Sequence[Known]) -> list[bool]:
    """With every fact shown."""
    encoder.prior.likely.fill_(FLOOR)
    return [
        int(best) == question.asked
        for item in known
        for best, question in zip(
            encoder.prior(*item.evidence).argmax(-1), item.problem.questions, strict=True
        )
    ]


def _mean(outcomes: Sequence[bool]) -> float:
    return sum(outcomes) / len(outcomes)


if __name__ == "__main__":
    main()
