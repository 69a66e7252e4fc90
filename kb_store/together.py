"""Which facts a text asks for together: "the chef and the opening hours of Ana's", "the capital of Mali and of Togo".

From words alone, and strict: a fact counts when the text has the whole name of its subject and all telling words of
its relation, and when none of these are but part of what names another one ("chef" in "the pastry chef").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kb_store.contained import Span
from kb_store.scoring import Described, Question

# Places of one name or relation that are looked at: who repeats it more often asks for nothing more.
_MOST = 32


@dataclass(frozen=True, slots=True)
class _Named:
    """A candidate, and where the text names its subject and its relation."""

    place: int
    subjects: tuple[Span, ...]
    relations: tuple[Span, ...]


def asked_together(question: Question, candidates: Sequence[Described]) -> tuple[int, ...]:
    """The candidates that the text names, in the order in which it does; none when it does not name two."""
    named = _named(question, candidates)
    if len({item.subjects for item in named}) > 1 and len({item.relations for item in named}) > 1:
        named = [item for item in named if _is_nearest(item, named)]
    if len(named) < 2:
        return ()
    return tuple(item.place for item in sorted(named, key=lambda item: (item.subjects, item.relations)))


def _named(question: Question, candidates: Sequence[Described]) -> list[_Named]:
    names = [_with_genitive(question, item) for item in candidates]
    taken = _spans(names)
    relations = [
        tuple(span for span in question.relation_spans(item.relation)[:_MOST] if not _meets(span, taken))
        for item in candidates
    ]
    asked = _spans(relations)
    found = [
        _Named(place, _own(subjects, taken), _own(spans, asked))
        for place, (subjects, spans) in enumerate(zip(names, relations, strict=True))
    ]
    return [item for item in found if item.subjects and item.relations]


def _with_genitive(question: Question, item: Described) -> tuple[Span, ...]:
    """The "s" of "Mali's currency" belongs to the name: what follows it stands next to it."""
    words = question.words
    return tuple(
        (start, end + (words[end : end + 1] == ("s",)))
        for start, end in question.name_spans(item.subject, item.aliases)[:_MOST]
    )


def _spans(groups: Sequence[Sequence[Span]]) -> set[Span]:
    return {span for spans in groups for span in spans}


def _own(spans: Sequence[Span], all_spans: set[Span]) -> tuple[Span, ...]:
    """Those that are not part of a longer one."""
    return tuple(
        span
        for span in spans
        if not any(o != span and o[0] <= span[0] and span[1] <= o[1] for o in all_spans)
    )


def _meets(span: Span, others: set[Span]) -> bool:
    return any(span[0] < other[1] and other[0] < span[1] for other in others)


def _is_nearest(item: _Named, among: Sequence[_Named]) -> bool:
    """Of several subjects and several relations: whether a place that names the relation is as near to none of the
    other subjects as to this one's."""
    others = {other.subjects for other in among if other.subjects != item.subjects}
    return any(
        all(_distance(asked, item.subjects) < _distance(asked, spans) for spans in others)
        for asked in item.relations
    )


def _distance(asked: Span, subjects: Sequence[Span]) -> int:
    return min(max(start - asked[1], asked[0] - end) for start, end in subjects)
