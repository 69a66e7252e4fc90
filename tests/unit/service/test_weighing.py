"""Why facts are shown or not."""

from __future__ import annotations

from datetime import UTC, datetime

from editors.kv.contract import Evidence
from kb_store.model import Content, Fact
from service.serving.weighing import Weight, weighed_facts

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def fact(name: str) -> Fact:
    return Fact("n", name, f"uid of {name}", Content("Anna", name, "x"), 1, 1, "etag", NOW, NOW)


def test_the_reason_is_the_first_that_decides_and_what_is_shown_comes_first() -> None:
    found = [(fact(name), 0.5) for name in ("stranger", "unlikely", "behind", "shown", "together")]
    evidence = [
        Evidence(0.8, 1.0, 0.9, -0.1),
        Evidence(1.0, 0.0, 0.9, -5.6),
        Evidence(1.0, 0.0, 0.9, -5.5),
        Evidence(1.0, 1.0, 0.9, -0.1),
        Evidence(1.0, 1.0, 0.9, -9.0),
    ]
    weighed = weighed_facts(found, evidence, {"uid of shown", "uid of together"}, fit_needed=-5.5)
    assert [(item.fact.fact_id, item.weight) for item in weighed] == [
        ("shown", Weight.SHOWN),
        ("together", Weight.SHOWN),
        ("stranger", Weight.SUBJECT_NOT_NAMED),
        ("unlikely", Weight.NOT_ASKED_FOR),
        ("behind", Weight.BEHIND_ANOTHER),
    ]
