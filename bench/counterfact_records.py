"""CounterFact records, and what is measured on each."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.counterfact_relations import relation_of, template_of
from editors.metrics.counterfact import harmonic_mean
from kb_store.model import Content

KINDS = ("es", "ps", "ns")  # efficacy, paraphrase, neighbourhood
_FIELDS = (
    "prompt",
    "subject",
    "target_new",
    "ground_truth",
    "rephrase_prompt",
    "locality_prompt",
    "locality_ground_truth",
)
_ROUNDS = 2000


@dataclass(frozen=True, slots=True)
class Record:
    """One edit: after `prompt` the model shall prefer `new` to `true`, and leave its neighbour alone."""

    case: int
    subject: str
    new: str
    true: str
    prompts: tuple[str, str, str]  # in the order of KINDS
    neighbour: str  # the right answer to the last of them

    @property
    def content(self) -> Content:
        """The edit as a fact."""
        relation = relation_of(template_of(self.prompts[0], self.subject))
        return Content(self.subject, relation, self.new)

    def pair(self, kind: str) -> tuple[str, str]:
        """What should be likelier for the record to count, and than what."""
        return (self.neighbour, self.new) if kind == "ns" else (self.new, self.true)


def read_records(path: Path) -> list[Record]:
    """ValueError, naming the record and the field, when the file is not what it should be."""
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path.name} is not JSON: {error}") from None
    if not isinstance(entries, list):
        raise ValueError(f"{path.name} must hold a list of records")
    return [_record(number, entry) for number, entry in enumerate(entries)]


def _record(number: int, entry: Any) -> Record:
    for name in _FIELDS:
        if not isinstance(entry, dict) or not isinstance(entry.get(name), str) or not entry[name].strip():
            raise ValueError(f"record {number}: {name} must be a text")
    value = {name: str(entry[name]).strip() for name in _FIELDS}
    template_of(value["prompt"], value["subject"])
    return Record(
        int(entry.get("case_id", number)),
        value["subject"],
        value["target_new"],
        value["ground_truth"],
        (value["prompt"], value["rephrase_prompt"], value["locality_prompt"]),
        value["locality_ground_truth"],
    )


def contradicted(records: Iterable[Record]) -> set[int]:
    """Cases whose subject and relation another live edit gives another object: not all of them can hold."""
    records = list(records)
    said: dict[tuple[str, str], set[str]] = {}
    for record in records:
        content = record.content
        said.setdefault((content.subject, content.relation), set()).add(content.object)
    return {
        record.case for record in records if len(said[record.content.subject, record.content.relation]) > 1
    }


def relations(records: Iterable[Record]) -> dict[str, int]:
    """How many edits each relation has."""
    return dict(Counter(record.content.relation for record in records).most_common())


def score_keys(suffix: str, table: Sequence[Sequence[bool]]) -> dict[str, float]:
    """`es`, `ps`, `ns` and `s` with intervals, from one row (es, ps, ns) a record; records are drawn as a whole."""
    values = np.asarray(table, dtype=float)
    draw = np.random.default_rng(0)
    means = np.array([values[draw.integers(0, len(values), len(values))].mean(0) for _ in range(_ROUNDS)])
    scores = np.array([harmonic_mean(row.tolist()) for row in means])
    keys: dict[str, float] = {}
    for column, kind in enumerate(KINDS):
        low, high = np.percentile(means[:, column], [2.5, 97.5])
        keys |= _three(f"{kind}{suffix}", float(values[:, column].mean()), low, high)
    low, high = np.percentile(scores, [2.5, 97.5])
    return keys | _three(f"s{suffix}", harmonic_mean(values.mean(0).tolist()), low, high)


def _three(name: str, value: float, low: float, high: float) -> dict[str, float]:
    return {name: value, f"{name}_lo": float(low), f"{name}_hi": float(high)}
