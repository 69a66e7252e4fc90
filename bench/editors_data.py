"""What the editors' benchmark edits: CounterFact records."""

from __future__ import annotations

from collections.abc import Sequence

from bench.counterfact_records import Record
from editors.metrics.counterfact import EditCase
from editors.weights.request import EditRequest


def edit_cases(records: Sequence[Record]) -> list[EditCase]:
    """Records as edits; a neighbour's right answer is the record's true object."""
    return [
        EditCase(
            EditRequest(record.prompts[0], record.subject, record.new, record.content.relation),
            record.true,
            (record.prompts[1],),
            (record.prompts[2],),
        )
        for record in records
    ]
