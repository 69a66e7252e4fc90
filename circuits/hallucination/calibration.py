"""From features to the chance that an answer is wrong: a logistic model, and thresholds of the verdicts.

Fitted on answers that were judged right or wrong; kept as JSON, named by the model that it is for.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from circuits.errors import Uncalibrated

# What the score is made of. Confidence at the output is part of it; the rest is what happens inside.
USED = (
    "output_top_log_probability",
    "output_entropy",
    "told_log_probability",
    "told_entropy",
    "lens_early",
    "lens_late",
    "lens_entropy_early",
    "lens_entropy_late",
    "lens_rank_late",
    "emerged",
    "settled",
    "moved",
    "moved_most",
    "moved_against",
    "related",
    "heads",
    "mlps",
    "attention_subject",
    "attention_subject_most",
    "subject_rank",
)
_RIDGE = 0.02
_STEPS = 200
_LOW, _HIGH = 0.1, 0.9  # of right answers: what lies outside is unusual for one


@dataclass(frozen=True, slots=True)
class Calibration:
    """For one model. An answer is suspected when its chance of being wrong is over `threshold`.

    moved_least: right answers seldom have less brought to them from their subject; enriched_worst: nor is their
    token's rank in the subject's representation seldom worse (log10 of 1 + rank).
    """

    model: str  # digest
    names: tuple[str, ...]
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    weights: tuple[float, ...]
    bias: float
    threshold: float
    moved_least: float
    enriched_worst: float
    answers: int = 0
    relations: tuple[str, ...] = ()
    figures: Mapping[str, float] = field(default_factory=dict)

    def chance_wrong(self, values: Mapping[str, float]) -> float:
        """0..1."""
        terms = zip(self.names, self.mean, self.scale, self.weights, strict=True)
        total = self.bias + sum(weight * (values[name] - mean) / scale for name, mean, scale, weight in terms)
        return 1 / (1 + math.exp(-max(-50.0, min(50.0, total))))

    def to_json(self) -> str:
        """The inverse of `read_calibration`."""
        return json.dumps(asdict(self), indent=1) + "\n"


def fit(
    model: str,
    rows: Sequence[Mapping[str, float]],
    wrong: Sequence[bool],
    relations: Sequence[str],
    names: Sequence[str] = USED,
) -> Calibration:
    """A ridge logistic model. Every relation weighs the same, and right and wrong answers do."""
    if len(set(wrong)) != 2:
        raise Uncalibrated("a calibration needs right answers and wrong ones")
    table = torch.tensor([[row[name] for name in names] for row in rows], dtype=torch.float64)
    labels = torch.tensor(wrong, dtype=torch.float64)
    mean, scale = table.mean(0), table.std(0).clamp(min=1e-6)
    weights, bias = _logistic((table - mean) / scale, labels, _balance(wrong, relations))
    right = [row for row, is_wrong in zip(rows, wrong, strict=True) if not is_wrong]
    moved = torch.tensor([row["moved_most"] for row in right])
    enriched = torch.tensor([row["subject_rank"] for row in right])
    return Calibration(
        model=model,
        names=tuple(names),
        mean=tuple(mean.tolist()),
        scale=tuple(scale.tolist()),
        weights=tuple(weights.tolist()),
        bias=bias,
        threshold=0.5,
        moved_least=float(moved.quantile(_LOW)),
        enriched_worst=float(enriched.quantile(_HIGH)),
        answers=len(rows),
        relations=tuple(sorted(set(relations))),
    )


def _balance(wrong: Sequence[bool], relations: Sequence[str]) -> Tensor:
    counts: dict[tuple[str, bool], int] = {}
    for key in zip(relations, wrong, strict=True):
        counts[key] = counts.get(key, 0) + 1
    weights = torch.tensor(
        [1 / math.sqrt(counts[key]) for key in zip(relations, wrong, strict=True)], dtype=torch.float64
    )
    for kind in (True, False):
        chosen = torch.tensor([is_wrong is kind for is_wrong in wrong])
        weights[chosen] /= weights[chosen].sum()
    return weights / 2


def _logistic(table: Tensor, labels: Tensor, weights: Tensor) -> tuple[Tensor, float]:
    slope = torch.zeros(table.shape[1], dtype=torch.float64, requires_grad=True)
    bias = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([slope, bias], max_iter=_STEPS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        errors = F.binary_cross_entropy_with_logits(table @ slope + bias, labels, reduction="none")
        total = (errors * weights).sum() + _RIDGE * (slope * slope).sum()
        total.backward()  # type: ignore[no-untyped-call]
        return total

    with torch.enable_grad():
        optimiser.step(loss)  # type: ignore[no-untyped-call]
    return slope.detach(), float(bias.detach())


def read_calibration(text: str) -> Calibration:
    """Uncalibrated when the text is none."""
    try:
        values: dict[str, Any] = json.loads(text)
        for name in ("names", "mean", "scale", "weights", "relations"):
            values[name] = tuple(values[name])
        return Calibration(**values)
    except (KeyError, TypeError, ValueError) as error:
        raise Uncalibrated(f"not a calibration: {error}") from error


def calibration_of(model: str, folder: Path | None = None) -> Calibration | None:
    """The one that comes with Interleaf, or lies in a folder, for the model of this digest."""
    name = f"calibration-{model}.json"
    if folder is not None and (folder / name).is_file():
        return read_calibration((folder / name).read_text(encoding="utf-8"))
    shipped = files(__package__).joinpath(name)
    return read_calibration(shipped.read_text(encoding="utf-8")) if shipped.is_file() else None
