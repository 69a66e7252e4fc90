"""What a server decides with, fitted on validation facts and kept beside the weights that it was fitted for.

Weights say where attention goes; calibration says what to make of it: from which share of attention on a fact
an answer counts as grounded, how strongly the retriever's evidence counts, and how many facts to retrieve.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from editors.kv.encoder import KVEncoder
from editors.kv.storage import write_text

_AS_GOOD = 0.01  # of balanced accuracy

FILE = "calibration.json"


@dataclass(frozen=True, slots=True)
class Calibration:
    """The attention bias of a fact that is seen is multiplied by `prior_scale`; `prior_offset` is added to how likely
    a fact is asked for, before that is compared with the encoder's threshold: above zero more facts are seen."""

    digest: str  # of the weights
    grounded_threshold: float
    prior_scale: float = 1.0
    prior_offset: float = 0.0
    top_k: int = 8
    namespace: str = ""  # whose facts it was fitted on; empty: the held-out world
    created: str = ""  # ISO time
    figures: Mapping[str, float] = field(default_factory=dict)


def save_calibration(calibration: Calibration, folder: Path) -> Path:
    """Writes it, atomically; the folder is made when it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE
    write_text(path, json.dumps({"format": 1, **asdict(calibration)}, indent=2) + "\n")
    return path


def read_calibration(folder: Path, digest: str) -> Calibration | None:
    """None when there is none, or when it was made for other weights. ValueError when it is damaged."""
    path = folder / FILE
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    if values.get("digest") != digest:
        return None
    try:
        return Calibration(**{item.name: values[item.name] for item in fields(Calibration)})
    except KeyError as error:
        raise ValueError(f"{path} has no {error}: calibrate the encoder again") from None


class ScaledPrior(nn.Module):
    """A prior with one multiplier of its bias and one offset to the meaning that it is given."""

    def __init__(self, inner: nn.Module, scale: float, offset: float) -> None:
        super().__init__()
        self.inner, self.scale, self.offset = inner, scale, offset

    def forward(
        self, subject: Tensor, relation: Tensor, dense: Tensor, meaning: Tensor, visible: Tensor
    ) -> Tensor:
        """As the inner one, scaled."""
        bias: Tensor = self.inner(subject, relation, dense, meaning + self.offset, visible)
        return bias * self.scale


@contextmanager
def prior_scaled(encoder: KVEncoder, scale: float, offset: float) -> Iterator[None]:
    """Within, the encoder weighs evidence so."""
    inner = encoder.prior
    encoder.prior = ScaledPrior(inner, scale, offset)  # type: ignore[assignment]
    try:
        yield
    finally:
        encoder.prior = inner


@dataclass(frozen=True, slots=True)
class Verdict:
    """How well attention on the most attended fact tells answers with a fact from answers without one."""

    threshold: float
    accuracy: float  # mean of the two sides' accuracies
    auroc: float
    refusal_precision: float  # of what is called ungrounded, the share that is
    refusal_recall: float  # of what is ungrounded, the share that is called so


def verdict(present: Tensor, absent: Tensor) -> Verdict:
    """Puts the threshold halfway between the two values where it separates best. Where facts are either attended to or
    not in sight at all, a long stretch is next to as good: then in the middle of it, not where no attention is."""
    values = torch.unique(torch.cat([present, absent])).double()
    if not len(values):
        values = torch.zeros(1).double()
    lowest = (values[:1] - 1e-6).clamp_min(0.0)  # what draws no attention at all is never grounded
    lower = torch.cat([lowest, values[:-1]])  # of each stretch within which all thresholds do the same
    reached = torch.stack(_sides(present, absent, (lower + values) / 2)).mean(0)
    good = (reached >= reached.max() - _AS_GOOD).nonzero()[:, 0]
    threshold = (lower[good[0]] + values[good[-1]]) / 2
    kept, refused = (float(side) for side in _sides(present, absent, threshold[None]))
    wrong, right = (1 - kept) * len(present), refused * len(absent)
    above = (present[:, None] > absent[None]).double() + 0.5 * (present[:, None] == absent[None]).double()
    return Verdict(
        threshold=float(threshold),
        accuracy=(kept + refused) / 2,
        auroc=float(above.mean()),
        refusal_precision=right / (right + wrong) if right + wrong else 1.0,
        refusal_recall=refused,
    )


def _sides(present: Tensor, absent: Tensor, cuts: Tensor) -> tuple[Tensor, Tensor]:
    """Of each cut: the share with a fact that is above it, the share without one that is not."""
    return (present[None] > cuts[:, None]).double().mean(1), (absent[None] <= cuts[:, None]).double().mean(1)
