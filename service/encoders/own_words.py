"""How an application says its relations are asked for, divided: some of it describes, the rest asks.

A calibration asks for facts as the application's users do, where it was told how. What a relation is described by is
not asked: that would measure whether the judge knows a text that it was given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from editors.kv.phrases import Phrasing
from kb_store.model import RelationExamples
from service.serving.examples import Asking, asking, key_of

Asked = Mapping[str, tuple[Phrasing, ...]]  # by `key_of` the relation
_ENDS = (".", "?", "!", '"')


def divided(examples: Mapping[str, Sequence[str]]) -> tuple[Asking, Asked]:
    """Every second example of a relation asks, the first and the others describe."""
    described = [RelationExamples(relation, tuple(texts[::2])) for relation, texts in examples.items()]
    asked = {
        key_of(relation): tuple(phrasing for text in texts[1::2] for phrasing in _phrasings(text))
        for relation, texts in examples.items()
        if len(texts) > 1
    }
    return asking(tuple(described)), asked


def _phrasings(text: str) -> tuple[Phrasing, ...]:
    """A question as a turn and as a text; what the object completes as it stands."""
    if text.rstrip().endswith(_ENDS):
        return Phrasing("", user=text), Phrasing(f"Question: {text}\nAnswer:")
    return (Phrasing(text),)
