"""The retriever's evidence as the encoder wants it: the same functions in training and in service."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from editors.kv.contract import Evidence, FactText
from kb_store.contract import Embedder
from kb_store.keys import key_text, query_text
from kb_store.scoring import Candidate, Question


def scorer(embedder: Embedder) -> Callable[[Sequence[str], Sequence[FactText]], list[list[Evidence]]]:
    """Evidence for every fact, per prompt, as `Retriever` would find it."""

    def score(prompts: Sequence[str], facts: Sequence[FactText]) -> list[list[Evidence]]:
        asked = embedder.embed([query_text(prompt) for prompt in prompts])
        known = embedder.embed([key_text(fact.relation, fact.subject) for fact in facts])
        dense = (asked @ known.T).clip(0.0, 1.0)
        candidates = [Candidate(fact.subject, fact.relation) for fact in facts]
        return [
            [
                Evidence(cover.subject, cover.relation, float(similarity))
                for cover, similarity in zip(Question(prompt).score(candidates), row, strict=True)
            ]
            for prompt, row in zip(prompts, dense, strict=True)
        ]

    return score
