"""The layer sweep on the built-in facts: writes the best layer of a method, with the sweep, to a spec file.

    python -m bench.editors_tune --method ft_m --layers 0,2,4 --cases 10 --spec FILE [--settings '{"steps": 20}']

For memit a group of layers is joined by plus signs: --layers 2+3+4,3+4+5. The last line is the best row as JSON.
`interleaf edits tune` does the same for users, into their own specs.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from editors.weights.methods import METHODS
from service.edit_tuning import parse_layers, tune_layers


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the sweep."""
    parser = argparse.ArgumentParser(prog="bench.editors_tune", description=__doc__)
    parser.add_argument("--method", choices=sorted(METHODS), required=True)
    parser.add_argument("--layers", type=parse_layers, required=True)
    parser.add_argument("--cases", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", default="default")
    parser.add_argument("--settings", type=json.loads, default={}, help="JSON, the same for every layer")
    parser.add_argument("--spec", type=Path, required=True)
    parser.add_argument("--key-tokens", type=int, default=50_000)
    args = parser.parse_args(argv)
    result = tune_layers(
        args.method,
        args.layers,
        args.settings,
        model=args.model,
        cases=args.cases,
        seed=args.seed,
        spec=args.spec,
        key_tokens=args.key_tokens,
        progress=lambda what, share: None,
    )
    for row in result.rows:
        print(json.dumps(row), file=sys.stderr)
    print(json.dumps(result.best))


if __name__ == "__main__":
    main()
