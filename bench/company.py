"""Whether an answer depends on who else is asking: greedy answers alone and in company, by the model's type.

    python -m bench.company --size quick|full --seed N

same_TYPE: share of answers that are, letter by letter, those that the same question got alone, when all are decoded
together. twins_TYPE: share of questions that, asked twice at once, get one answer. slower_bfloat16: its seconds
together against float32's, in the same run. Questions are drawn from the phrase bank; nothing is injected. No aim:
it is what docs/adr/0024 rests on.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence

import torch

from bench.common import Bench, share_keys
from editors.kv.phrases import load as load_bank
from engines.contract import GenerateRequest, Message, Sampling
from engines.models import DEFAULT_MODEL, load_model, resolve_model
from engines.transformers_engine import EngineSettings, TransformersEngine

_QUICK, _FULL = 64, 256
_LENGTH = 24
_TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the benchmark."""
    bench = Bench("company", description=__doc__ or "", argv=argv)
    count = _FULL if bench.full else _QUICK
    requests = _requests(count, bench.seed)
    keys: dict[str, float] = {}
    together: dict[str, float] = {}
    for name, dtype in _TYPES.items():
        engine = TransformersEngine(
            *load_model(resolve_model("default"), dtype=dtype), settings=EngineSettings(max_queue=2 * count)
        )
        try:
            with bench.stage(f"{name}: {count} questions alone"):
                alone = [engine.generate([request])[0].text for request in requests]
            began = time.perf_counter()
            with bench.stage(f"{name}: together"):
                company = [made.text for made in engine.generate(requests)]
            together[name] = time.perf_counter() - began
            with bench.stage(f"{name}: each twice at once"):
                twins = [[made.text for made in engine.generate([request] * 2)] for request in requests]
        finally:
            engine.close()
        keys |= share_keys(f"same_{name}", [a == b for a, b in zip(alone, company, strict=True)])
        keys |= share_keys(f"twins_{name}", [first == second for first, second in twins])
    keys["slower_bfloat16"] = together["bfloat16"] / together["float32"]
    bench.finish(keys, n=count, model=DEFAULT_MODEL)


def _requests(count: int, seed: int) -> list[GenerateRequest]:
    bank, rng = load_bank(), random.Random(f"company/{seed}")
    made: list[GenerateRequest] = []
    while len(made) < count:
        relation = rng.choice(bank.relations)
        phrasing = rng.choice(relation.train_phrasings)
        user, start = phrasing.filled(bank.subject(relation.subject_kind, rng), relation.name, "")
        sampling = Sampling(max_tokens=_LENGTH)
        made.append(GenerateRequest([Message("user", user)] if user else start, sampling=sampling))
    return made


if __name__ == "__main__":
    main()
