"""What the editors' benchmark and layer sweep read: CounterFact records, and the built-in facts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.counterfact_records import Record
from editors.metrics.counterfact import EditCase
from editors.weights.corpus import Corpus, builtin_corpus
from editors.weights.request import EditRequest
from editors.weights.tune import KnownRelation
from kb_store.factbank import load_facts_with_relation, relations


def edit_cases(records: Sequence[Record]) -> list[EditCase]:
    """Records as edits; a neighbour's right answer is the record's true object."""
    return [
        EditCase(
            EditRequest(record.prompts[0], record.subject, record.new),
            record.true,
            (record.prompts[1],),
            (record.prompts[2],),
        )
        for record in records
    ]


def known_relations() -> list[KnownRelation]:
    """The built-in facts with how people speak of them: what the layer sweep edits."""
    facts: dict[str, list[tuple[str, str]]] = {}
    for info, content in load_facts_with_relation():
        facts.setdefault(info.relation_id, []).append((content.subject, content.object))
    return [
        KnownRelation(info.templates, tuple(facts[info.relation_id]))
        for info in relations()
        if info.relation_id in facts
    ]


def key_text() -> Corpus:
    """Built-in text with the built-in facts as sentences."""
    return builtin_corpus(_sentences())


def _sentences() -> Iterator[str]:
    for info, content in load_facts_with_relation():
        yield info.statement.replace("{s}", content.subject).replace("{o}", content.object)
