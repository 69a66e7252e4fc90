"""Trains the small model; what was interrupted goes on.

python -m scripts.small_model --size quick|full --seed N --out FOLDER
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from scripts.small_model import SIZES, recipe_path, train_small_model
from scripts.small_model.training import OtherRun

_EVERY = 20


def main() -> int:
    """Progress on stderr; the folder as the last line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=sorted(SIZES), default="full")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("small-model"))
    arguments = parser.parse_args()
    size = SIZES[arguments.size]

    def note(step: int, loss: float) -> None:
        if step % _EVERY == 0 or step + 1 == size.steps:
            sys.stderr.write(f"step {step + 1} of {size.steps}: loss {loss:.3f}\n")

    try:
        found = train_small_model(arguments.out, size, arguments.seed, note)
    except OtherRun as error:
        sys.stderr.write(f"Error: {error}\n")
        return 1
    sys.stderr.write(f"{found.parameters:,} parameters, {found.seconds / 60:.1f} minutes; its encoder:\n")
    recipe = recipe_path(arguments.size)
    sys.stderr.write(f"  interleaf encoder train small --model {found.folder} --config {recipe}\n")
    sys.stdout.write(f"{found.folder}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
