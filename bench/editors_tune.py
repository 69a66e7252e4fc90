"""The layer sweep on the built-in facts: writes the best layer of a method, with the sweep, to a spec file.

    python -m bench.editors_tune --method ft_m --layers 0,2,4 --cases 10 --spec FILE [--settings '{"steps": 20}']

For memit a group of layers is joined by plus signs: --layers 2+3+4,3+4+5. The facts are Interleaf's own, of those
that the model knows: the choice is not made on what the editors are judged by. The last line is the best row as JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from bench.editors_data import key_text, known_relations
from editors.metrics.speaking import ModelSpeaker
from editors.weights.contract import Means
from editors.weights.methods import METHODS
from editors.weights.model import EditableModel
from editors.weights.statistics import KeyStatistics
from editors.weights.tune import known_cases, those_known, tune
from engines.models import cache_dir, load_model, resolve_model

_DRAWN = 20  # cases for each that is wanted: the model knows only some of the facts


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the sweep."""
    parser = argparse.ArgumentParser(prog="bench.editors_tune", description=__doc__)
    parser.add_argument("--method", choices=sorted(METHODS), required=True)
    parser.add_argument("--layers", type=_layers, required=True)
    parser.add_argument("--cases", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", default="default")
    parser.add_argument("--settings", type=json.loads, default={}, help="JSON, the same for every layer")
    parser.add_argument("--spec", type=Path, required=True)
    parser.add_argument("--key-tokens", type=int, default=50_000)
    args = parser.parse_args(argv)
    path = resolve_model(args.model)
    editable = EditableModel(*load_model(path, dtype=torch.float32))
    drawn = known_cases(known_relations(), args.cases * _DRAWN, args.seed)
    cases = those_known(ModelSpeaker(editable.model, editable.tokenizer), drawn, args.cases)
    result = tune(
        editable,
        args.method,
        args.layers,
        cases,
        Means(KeyStatistics(key_text(), args.key_tokens, cache_dir() / "keys")),
        settings=args.settings,
        spec=args.spec,
        model_name=path.name,
    )
    for row in result.rows:
        print(json.dumps(row), file=sys.stderr)
    print(json.dumps(result.best))


def _layers(text: str) -> list[int | tuple[int, ...]]:
    """`0,2` or, for several at once, `2+3,3+4`."""
    groups = [tuple(int(layer) for layer in group.split("+")) for group in text.split(",")]
    return [group if "+" in text else group[0] for group in groups]


if __name__ == "__main__":
    main()
