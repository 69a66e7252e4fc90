"""The layer sweep on the built-in facts: writes the best layer of a method, with the sweep, to a spec file.

    python -m bench.editors_tune --method ft_m --layers 0,2,4 --cases 10 --spec FILE [--settings '{"steps": 20}']

For memit a group of layers is joined by plus signs: --layers 2+3+4,3+4+5. All layers edit the first case, then the
second; each is kept (bench/kept.py), so that a sweep that was ended goes on, and with --minutes compares the layers on
the cases so far. The last line is the best row as JSON. `interleaf edits tune` does the same for users, into their own
specs.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.common import Bench
from bench.kept import Kept, kept_arguments
from editors.weights import finetune, memit, optimise, rome, tune
from editors.weights.methods import METHODS
from engines.models import resolve_model
from service.edits.tuning import parse_layers, tune_layers


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the sweep."""
    bench = Bench("editors_tune", description=__doc__ or "", argv=argv, add_arguments=_arguments)
    args = bench.args
    model = resolve_model(args.model)
    kept = Kept(bench, (tune, finetune, memit, optimise, rome), model=str(model), key_tokens=args.key_tokens)
    result = tune_layers(
        args.method,
        args.layers,
        args.settings,
        model=args.model,
        cases=args.cases,
        seed=bench.seed,
        spec=args.spec,
        key_tokens=args.key_tokens,
        progress=lambda what, share: None,
        keep=kept.row,
    )
    for row in result.rows:
        print(json.dumps(row), file=sys.stderr)
    print(json.dumps(result.best))


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--method", choices=sorted(METHODS), required=True)
    parser.add_argument("--layers", type=parse_layers, required=True)
    parser.add_argument("--cases", type=int, default=20)
    parser.add_argument("--model", default="default")
    parser.add_argument("--settings", type=json.loads, default={}, help="JSON, the same for every layer")
    parser.add_argument("--spec", type=Path, required=True)
    parser.add_argument("--key-tokens", type=int, default=50_000)
    kept_arguments(parser)


if __name__ == "__main__":
    main()
