"""What `client.edits` takes and returns. Texts are untrusted, times are aware UTC datetimes."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from interleaf._pictures import Picture


class EditState(enum.StrEnum):
    """Where an edit stands."""

    COMPUTED = "computed"  # there, not applied
    APPLIED = "applied"
    NOT_RESTORED = "not_restored"  # it was applied and could not be after a restart: `problem` says why
    DAMAGED = "damaged"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class EditFact:
    """After `prompt`, which names `subject`, the model shall say `target`; the rest is for the receipt.

    `old` is what holds now, `paraphrases` are prompts where the edit should be seen too, `neighbours` prompts about
    others with the old object, which should stay. `relation` is needed to compare with facts as key/value tokens.
    """

    prompt: str
    subject: str
    target: str
    old: str = ""
    relation: str = ""
    paraphrases: tuple[str, ...] = ()
    neighbours: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EditedTensor:
    """A tensor that an edit changes, with its digest before and after. `kind` is LowRank or Dense."""

    name: str
    kind: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Standing:
    """How an object stands behind a prompt; `rank` is its first token's, 1 the likeliest."""

    log_probability: float
    probability: float
    rank: int


@dataclass(frozen=True, slots=True)
class LiveCheck:
    """What the engine that answers said of a target when the edit was applied."""

    prompt: str
    target: str
    before: Standing
    after: Standing


@dataclass(frozen=True, slots=True)
class Edit:
    """A change of the model's weights. `name` is edits/{edit}, `id` its last part.

    `problems` are the receipt's, in sentences; `problem` says why it is in a state that it should not be in.
    """

    name: str
    state: EditState
    method: str
    namespace: str
    facts: tuple[EditFact, ...]
    settings: Mapping[str, object] = field(hash=False)
    digest: str
    model_digest: str
    tensors: tuple[EditedTensor, ...]
    problems: tuple[str, ...]
    problem: str
    create_time: datetime | None
    apply_time: datetime | None
    compute_seconds: float
    size_bytes: int
    live: tuple[LiveCheck, ...]

    @property
    def id(self) -> str:
        """The last part of the name."""
        return self.name.rpartition("/")[2]

    @property
    def applied(self) -> bool:
        """Whether it is part of the served weights."""
        return self.state is EditState.APPLIED


@dataclass(frozen=True, slots=True)
class ReceiptLine:
    """One object behind one prompt, before and after. `fact` counts from 0.

    `kind` is edited, paraphrase or neighbour; or a control: absent (a subject that nobody edited) or shuffled (an
    object that nobody asked for). `is_new` marks the object that the edit is for.
    """

    fact: int
    kind: str
    prompt: str
    object: str
    is_new: bool
    before: Standing
    after: Standing


@dataclass(frozen=True, slots=True)
class ReceiptText:
    """What the model says by itself behind an edited prompt; `is_target`: it now begins with the target."""

    fact: int
    prompt: str
    before: str
    after: str
    is_target: bool


@dataclass(frozen=True, slots=True)
class EditReceipt:
    """What an edit was measured to do, controls included. `problems` are sentences; none where all is well."""

    edit: str
    lines: tuple[ReceiptLine, ...]
    texts: tuple[ReceiptText, ...]
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MethodComparison:
    """What one method made of the facts; `original` is the unedited model.

    `figures` are es, ps, ns, s, seconds, ...; `layers` those whose weights it changes, `said` what the model says
    behind the first fact's prompt.
    """

    method: str
    figures: Mapping[str, float] = field(hash=False)
    layers: tuple[int, ...]
    said: str


@dataclass(frozen=True, slots=True)
class EditComparison:
    """Several methods on the same facts; `left_out` says of the others why."""

    methods: tuple[MethodComparison, ...]
    left_out: Mapping[str, str] = field(hash=False)
    picture: Picture
