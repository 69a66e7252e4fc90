"""What `client.circuits` takes and returns. Layers, heads and positions count from 0; texts are untrusted."""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from google.protobuf import json_format

from interleaf._pictures import Picture


class Verdict(enum.StrEnum):
    """How an answer came to be wrong."""

    OK = "ok"  # right, or nothing speaks against it
    NO_MOVER = "no_mover"  # no head carries the subject's attribute to the end
    WRONG_MOVER = "wrong_mover"  # what heads bring from the subject speaks for the wrong one
    LATE_OVERRIDE = "late_override"  # the right answer stood at mid-depth and was overtaken
    NEVER_ENRICHED = "never_enriched"  # the subject's representation never held the right answer
    NOT_PREFERRED = "not_preferred"  # the answer is wrong, and the model itself prefers the right one
    OUTWEIGHED = "outweighed"  # heads bring the right one from the subject, other parts outweigh them
    UNKNOWN = "unknown"


class TruthSource(enum.StrEnum):
    """Who said what the right answer is."""

    NONE = "none"
    CALLER = "caller"
    STORE = "store"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Probe:
    """A question about a fact, for studies: what is asked, of whom (as it stands in the prompt), and the answer.

    `prompt` is a question to the model; with `complete=True` a text that the answer follows. `relation` are the
    prompt's words that say it (empty: all but the subject), `alternatives` other objects of the relation.
    """

    prompt: str
    subject: str
    object: str
    relation: str = ""
    alternatives: tuple[str, ...] = ()
    complete: bool = False


@dataclass(frozen=True, slots=True)
class Node:
    """A head, or (`head` is None) the MLP of a layer."""

    layer: int
    head: int | None

    def __str__(self) -> str:
        return f"MLP{self.layer}" if self.head is None else f"L{self.layer}H{self.head}"


@dataclass(frozen=True, slots=True)
class Trajectory:
    """One answer through the layers: after the attention, then after the MLP of each.

    `log_probability` is the whole answer's, `first_log_probability` and `rank` (0 the top) its first token's.
    `subject_rank`, by layer, is the best rank over the subject's positions.
    """

    answer: str
    tokens: int
    log_probability: tuple[float, ...]
    first_log_probability: tuple[float, ...]
    rank: tuple[int, ...]
    subject_rank: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Driver:
    """A part by which the model says the answer rather than the truth, in logits."""

    node: Node
    towards_answer: float
    through_subject: float


@dataclass(frozen=True, slots=True)
class NeededForTruth:
    """What a right answer would have needed: the logits it lacked, the parts that make them up, the gap without."""

    gap: float
    nodes: tuple[Node, ...]
    gap_without: float


@dataclass(frozen=True, slots=True)
class FactReader:
    """A head that reads an injected fact: its attention on facts, and the logits it adds to the truth from there."""

    head: Node
    attention: float
    direct: float


@dataclass(frozen=True, slots=True)
class Repair:
    """What injecting the facts does to both answers, in log-probability; `readers` are the heads that do it."""

    answer_before: float
    answer_after: float
    truth_before: float
    truth_after: float
    repaired: bool
    says_truth: bool
    readers: tuple[FactReader, ...]


@dataclass(frozen=True, slots=True)
class HallucinationReport:
    """Whether an answer was made up, how, and what a right one would have needed.

    `chance_wrong` comes from what happens inside alone, and is None where nobody calibrated the model. `fact` is the
    stored one that holds the truth, `repair` None without one; `explanation` is a sentence for people.
    """

    verdict: Verdict
    chance_wrong: float | None
    threshold: float
    answer: str
    truth: str
    truth_source: TruthSource
    fact: str
    subject: str
    answer_trajectory: Trajectory
    truth_trajectory: Trajectory | None
    overtaken: int | None
    drivers: tuple[Driver, ...]
    needed: NeededForTruth | None
    repair: Repair | None
    features: Mapping[str, float] = field(hash=False)
    forward_passes: int
    explanation: str
    picture: Picture

    @property
    def suspected(self) -> bool | None:
        """Whether the chance of being wrong is over the threshold; None where it is not known."""
        return None if self.chance_wrong is None else self.chance_wrong > self.threshold


@dataclass(frozen=True, slots=True)
class AnswerTrace:
    """Answers at every depth; `top` is the token that stands highest there."""

    answers: tuple[Trajectory, ...]
    top: tuple[str, ...]
    picture: Picture


@dataclass(frozen=True, slots=True, repr=False)
class Study:
    """What a study found. `data` is its message of interleaf.v1 (HeadStudy, KnockoutStudy, ...; see circuits.proto).

    `pictures` are by name; `picture` is the first of them.
    """

    data: Any
    pictures: Mapping[str, Picture] = field(hash=False)

    @property
    def picture(self) -> Picture:
        """The study as a picture; the first, where there are several."""
        return next(iter(self.pictures.values()))

    def save(self, folder: str | Path) -> tuple[Path, ...]:
        """Writes the data as JSON and the pictures into a folder, which is made, and returns what was written."""
        place = Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        shown = json_format.MessageToDict(self.data, preserving_proto_field_name=True)
        data = place / f"{type(self.data).__name__}.json"
        kept = {name: value for name, value in shown.items() if not name.endswith("svg")}
        data.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        return (data, *(self.pictures[name].save(place / f"{name}.svg") for name in self.pictures))

    def __repr__(self) -> str:
        return f"<Study: {type(self.data).__name__} with {', '.join(self.pictures)}>"
