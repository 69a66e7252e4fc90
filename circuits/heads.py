"""What heads do where the answer is said: carry the subject's attribute there (movers), set what kind of thing is
asked for (relation heads), or both.

A head's direct say is split by where it comes from: the weighted values of the subject's tokens, of the relation's.
Mover score: what comes through the subject, to the object's first token, against the mean of other objects of the
relation (of the vocabulary, where none are given). Relation score: what comes through the relation's words, to all
objects of the relation, against the mean of the vocabulary. Both in logits, with the final norm's scale held.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from circuits.interventions import Ablation, Head, Reference, ablated
from circuits.lab import Lab, Passes, batches
from circuits.look import Look, look
from circuits.probe import Placed, Probe, answer_tokens, place


class Role(enum.Enum):
    """What a head was found to do for a probe."""

    NONE = "none"
    MOVER = "mover"
    RELATION = "relation"
    MIXTURE = "mixture"


@dataclass(frozen=True, slots=True)
class HeadThresholds:
    """Scores that count, and how often a span that means nothing reaches them (measured on other probes)."""

    mover: float
    relation: float
    false_positives: float = math.nan
    probes: int = 0


@dataclass(frozen=True, slots=True)
class HeadReport:
    """One head at the last position of a prompt. Scores in logits, attention 0..1.

    delta: change of the answer's log-probability (all of its tokens) without the head; NaN where not measured.
    first_delta: of its first token alone. says: the tokens that its output favours most.
    """

    head: Head
    role: Role
    attention_subject: float
    attention_relation: float
    direct: float
    mover: float
    relation: float
    delta: float = math.nan
    first_delta: float = math.nan
    says: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HeadScores:
    """The same for all heads [L, H], before anything is judged."""

    attention_subject: Tensor
    attention_relation: Tensor
    direct: Tensor
    mover: Tensor
    relation: Tensor


def head_scores(
    seen: Look, subject: Sequence[int], relation: Sequence[int], token: int, others: Sequence[int]
) -> HeadScores:
    """At the look's first position. `others`: first tokens of other objects of the relation."""
    pattern = seen.patterns[:, 0]
    through_subject, through_relation = seen.through(0, subject), seen.through(0, relation)
    objects = list(dict.fromkeys([token, *others]))
    rest = [other for other in objects if other != token]

    def against(written: Tensor) -> Tensor:
        said = seen.direct(written, 0, [token])[..., 0]
        base = seen.direct(written, 0, rest).mean(-1) if rest else seen.direct_mean(written, 0)
        return said - base

    return HeadScores(
        pattern[..., list(subject)].sum(-1),
        pattern[..., list(relation)].sum(-1),
        against(seen.head_writes(0)),
        against(through_subject),
        seen.direct(through_relation, 0, objects).mean(-1) - seen.direct_mean(through_relation, 0),
    )


def heads_cost(lab: Lab, deltas: bool, longest: int = 0) -> Passes:
    """For one probe of so many tokens, its answer among them."""
    each = math.ceil(lab.layers * lab.spec.heads / lab.rows_for(longest))
    return Passes(forward=1 + (1 + each if deltas else 0))


def study_heads(
    lab: Lab,
    probe: Probe,
    thresholds: HeadThresholds | None,
    *,
    deltas: bool = True,
    how: Ablation = Ablation.ZERO,
    reference: Reference | None = None,
    words: int = 5,
) -> tuple[list[HeadReport], HeadThresholds]:
    """Every head of the model, the strongest say first, and the thresholds that were used: without any, those that
    the prompt itself gives (`own_thresholds`)."""
    placed = place(lab, probe.prompt, probe.subject, probe.relation)
    tokens = answer_tokens(lab, probe.prompt, probe.object, "object")
    others = [answer_tokens(lab, probe.prompt, text, "alternatives")[0] for text in probe.alternatives]
    seen = look(lab, placed.ids, [placed.last])
    scores = head_scores(seen, placed.subject, placed.relation, tokens[0], others)
    chosen = thresholds or own_thresholds(seen, placed, tokens[0], others)
    changes = _deltas(lab, placed, tokens, how, reference) if deltas else {}
    favoured = seen.direct_top(seen.head_writes(0), 0, words)
    reports = []
    for layer in range(lab.layers):
        for index in range(lab.spec.heads):
            mover, relation = float(scores.mover[layer, index]), float(scores.relation[layer, index])
            head = Head(layer, index)
            report = HeadReport(
                head,
                role_of(mover, relation, chosen),
                float(scores.attention_subject[layer, index]),
                float(scores.attention_relation[layer, index]),
                float(scores.direct[layer, index]),
                mover,
                relation,
                says=lab.prompts.pieces(favoured[layer, index].tolist()),
            )
            if head in changes:
                report = replace(report, delta=changes[head][0], first_delta=changes[head][1])
            reports.append(report)
    return sorted(reports, key=lambda report: -abs(report.direct)), chosen


def role_of(mover: float, relation: float, thresholds: HeadThresholds) -> Role:
    """By both thresholds."""
    moves, relates = mover >= thresholds.mover, relation >= thresholds.relation
    if moves and relates:
        return Role.MIXTURE
    return Role.MOVER if moves else Role.RELATION if relates else Role.NONE


def own_thresholds(
    seen: Look, placed: Placed, token: int, others: Sequence[int], false_positives: float = 0.01
) -> HeadThresholds:
    """For a model that nobody calibrated: what this share of heads brings from single tokens that are neither the
    subject's nor the relation's (the first, the last), or, for each score, from the other span's tokens."""
    both: tuple[list[Tensor], list[Tensor]] = ([], [])
    for at in range(len(placed.ids)):
        scores = head_scores(seen, [at], [at], token, others)
        if at not in placed.subject:
            both[0].append(scores.mover.flatten())
        if at not in placed.relation:
            both[1].append(scores.relation.flatten())
    found = [float(torch.cat(each).quantile(1 - false_positives)) if each else math.inf for each in both]
    return HeadThresholds(found[0], found[1])


def calibrate_heads(
    lab: Lab, probes: Sequence[Probe], false_positives: float = 0.01, seed: int = 0
) -> HeadThresholds:
    """From probes that the model answers rightly: the scores that only this share of spans of the same size, drawn
    anywhere else in the prompt, reaches. Fitted on half of them; the rate that is stated is of the other half."""
    generator = torch.Generator().manual_seed(seed)
    null: tuple[list[tuple[Tensor, Tensor]], list[tuple[Tensor, Tensor]]] = ([], [])
    for number, probe in enumerate(probes):
        placed = place(lab, probe.prompt, probe.subject, probe.relation)
        token = answer_tokens(lab, probe.prompt, probe.object, "object")[0]
        others = [answer_tokens(lab, probe.prompt, text, "alternatives")[0] for text in probe.alternatives]
        seen = look(lab, placed.ids, [placed.last])
        elsewhere = [at for at in range(len(placed.ids)) if at not in placed.subject]
        foreign = [at for at in range(len(placed.ids)) if at not in placed.relation]
        drawn = [
            [pool[at] for at in torch.randperm(len(pool), generator=generator)[: len(span)].tolist()]
            for pool, span in ((elsewhere, placed.subject), (foreign, placed.relation))
        ]
        scores = head_scores(seen, drawn[0], drawn[1], token, others)
        null[number % 2].append((scores.mover.flatten(), scores.relation.flatten()))
    fitted, held_out = null
    movers = torch.cat([mover for mover, _ in fitted])
    relations = torch.cat([relation for _, relation in fitted])
    chosen = HeadThresholds(
        float(movers.quantile(1 - false_positives)), float(relations.quantile(1 - false_positives))
    )
    reached = torch.cat(
        [torch.cat([mover >= chosen.mover, relation >= chosen.relation]) for mover, relation in held_out]
    )
    return replace(chosen, false_positives=float(reached.float().mean()), probes=len(probes))


def _deltas(
    lab: Lab, placed: Placed, tokens: Sequence[int], how: Ablation, reference: Reference | None
) -> Mapping[Head, tuple[float, float]]:
    row = [*placed.ids, *tokens]
    plain = lab.said([row], [len(placed.ids)])[0]
    heads = [Head(layer, head) for layer in range(lab.layers) for head in range(lab.spec.heads)]
    found: dict[Head, tuple[float, float]] = {}
    for part in batches(heads, lab.rows_for(len(row))):
        with ExitStack() as stack:
            for at, head in enumerate(part):
                rows = torch.zeros(len(part), 1, dtype=torch.bool)
                rows[at] = True
                stack.enter_context(ablated(lab.spec, [head], how, reference, where=rows))
            changed = lab.said([row] * len(part), [len(placed.ids)] * len(part))
        for head, said in zip(part, changed, strict=True):
            found[head] = float(said.sum() - plain.sum()), float(said[0] - plain[0])
    return found
