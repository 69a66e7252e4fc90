from __future__ import annotations

from service.api_docs import PAGE, with_table
from service.serving.citations import Grounding, ValueCheck
from tests.unit.service.descriptors import METHODS


def test_the_table_of_errors_is_the_one_that_is_used() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == with_table(page), "run: python -m service.api_docs"


def test_every_method_and_verdict_is_described() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for method in METHODS:
        assert method.rpartition("/")[2] in page, method
    for verdict in (*Grounding, *ValueCheck):
        assert verdict is ValueCheck.UNCHECKED or verdict.name in page
